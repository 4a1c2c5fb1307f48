"""The best setting under a limit, worked out by hand, and the form in which a grid is kept."""

import json

import pytest

from optim.quantity import Comparison, Quantity
from optim.runtime import providers
from optim.sweet_spot.fusion import AtLevel, Fusion
from optim.sweet_spot.grid import Cell, Grid, Ran, runtimes_here, thread_counts


def cell(runtime, threads, batch, ms, spread=0.1, change=None):
    latency = Quantity(ms, "ms", ms * (1 - spread), ms * (1 + spread), 21)
    rate = 1e3 * batch / ms
    throughput = Quantity(rate, "per_s", rate / (1 + spread), rate / (1 - spread), 21)
    return Cell(runtime, threads, batch, latency, throughput, change)


def at_level(level, threads, batch, ms, change=None):
    return AtLevel(level, threads, batch, Quantity(ms, "ms", ms * 0.9, ms * 1.1, 21), change)


def grid(*cells, refused=None, fusion=None, layout=None):
    names = dict.fromkeys(cell.runtime for cell in cells)
    ran = {name: Ran(f"{name} 1.0") for name in names}
    return Grid(
        ran,
        refused or {},
        (1, 2, 8),
        (1, 2),
        cells,
        "a chip",
        "not tested on GPU",
        (),
        fusion or Fusion(),
        layout or Fusion(),
    )


SMALL = cell("onnx", 1, 1, 1.0)
MIDDLE = cell("onnx", 2, 2, 1.5)
LARGE = cell("onnx", 2, 8, 4.0)
OTHER = cell("openvino", 2, 2, 1.45)


def test_the_best_has_the_highest_throughput_within_the_limit():
    found = grid(SMALL, MIDDLE, LARGE)
    assert found.best(10.0) is LARGE
    assert found.best(2.0) is MIDDLE
    assert found.best(1.2) is SMALL
    assert found.best(0.5) is None


def test_the_whole_interval_of_a_latency_has_to_lie_within_the_limit():
    assert grid(MIDDLE).best(1.5) is None
    assert grid(MIDDLE).best(MIDDLE.latency.high) is MIDDLE


def test_a_runtime_has_a_best_of_its_own():
    found = grid(SMALL, MIDDLE, OTHER)
    assert found.best(2.0) is OTHER
    assert found.best(2.0, "onnx") is MIDDLE
    assert found.best(2.0, "compile") is None


def test_what_the_intervals_do_not_tell_apart_is_named():
    found = grid(SMALL, MIDDLE, OTHER, LARGE)
    assert found.equals_of(OTHER, 2.0) == [MIDDLE]
    assert found.equals_of(LARGE, 10.0) == []


def test_a_grid_is_read_as_it_was_written():
    change = Comparison(Quantity(0.5, "x", 0.4, 0.6, 21), better="lower")
    levels = (at_level("off", 1, 1, 2.0), at_level("basic", 1, 1, 1.0, change))
    found = grid(
        SMALL,
        cell("openvino", 1, 1, 0.5, change=change),
        refused={"compile": "No."},
        fusion=Fusion(levels, {"all": "No."}),
    )
    assert Grid.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (16, (1, 2, 4, 8, 16))]
)
def test_threads_are_tried_by_doubling_up_to_all_cores(cores, counts):
    assert thread_counts(cores) == counts


@pytest.mark.parametrize("gpus", [(), ("cuda",), ("cuda", "tensorrt")], ids=len)
def test_runtimes_on_a_gpu_are_offered_only_where_they_are(monkeypatch, gpus):
    offered = [providers.PROVIDERS[name].order[0] for name in ("cpu", *gpus)]
    monkeypatch.setattr(providers, "_offered", lambda: offered)
    assert runtimes_here() == ("onnx", "openvino", "compile", *gpus)
