"""The bench of deployed speed: which files are compared, and what its table says of them."""

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
N = 400


@pytest.fixture
def bench(monkeypatch, tmp_path, own_home):
    """The bench, with a file of its own."""
    monkeypatch.syspath_prepend(str(BENCH))
    module = importlib.import_module("deployed")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "deployed.json")
    return module


def hits(bench, wrong):
    right = np.ones(N, bool)
    right[:wrong] = False
    return bench.packed(right)


@pytest.fixture
def found(bench):
    """Two files of ours and one of a peer; ours is fast where it loses two points."""
    own = {bench.WHOLE: (40, 1.0), "1 of 9 blocks, refitted, 8 bits": (43, 0.8), "less": (48, 0.1)}
    files = {
        name: {"ours": True, "bytes": 9, "choosing": hits(bench, wrong), "test": hits(bench, wrong)}
        for name, (wrong, _) in own.items()
    }
    files["NNCF, fast"] = {
        **{"ours": False, "bytes": 12},
        **{"choosing": hits(bench, 40), "test": hits(bench, 42)},
    }
    times = {name: [ms] * 20 for name, (_, ms) in own.items()} | {"NNCF, fast": [1.2] * 20}
    return {
        "original": {part: {"n": N, "right": hits(bench, 40)} for part in ("choosing", "test")},
        "files": files,
        "times": {f"{r}, batch {b}, threads {t}": times for r, b, t in bench.SITUATIONS},
    }


def test_what_loses_more_than_a_point_is_not_the_fastest(bench, found):
    situation = next(iter(found["times"]))
    assert bench.fastest(found, situation, ours=True) == "1 of 9 blocks, refitted, 8 bits"
    assert bench.fastest(found, situation, ours=False) == "NNCF, fast"


def test_accuracy_is_told_of_images_that_chose_nothing(bench, found):
    assert bench.lost(found, "NNCF, fast", "choosing").value == 0
    assert bench.lost(found, "NNCF, fast", "test").value == pytest.approx(-0.5)


def test_the_table_compares_the_fastest_round_by_round_and_tells_what_was_not_run(bench, found):
    text = bench.table({"resnet20": found})
    assert "| ONNX Runtime | 1 | 1 | 1 of 9 blocks, refitted, 8 bits | NNCF, fast | 1.50x" in text
    assert "Not run: 2 of the first 3 blocks, refitted" in text
    assert text.endswith("Not run.")


def test_the_table_tells_what_else_the_machine_did(bench, found):
    load = dict(zip(found["times"], range(3, 11), strict=True))
    text = bench.table({"resnet20": {**found, "load": load, "machine": {"cores": 4}}})
    assert "3 to 10 processes wanted the 4 cores" in text
    assert "wanted" not in bench.table({"resnet20": found})


def test_every_candidate_has_a_place_of_its_own(bench):
    network = bench.NETWORKS["resnet20"]
    places = {bench.path_of(network, name) for name in network.candidates}
    assert len(places) == len(network.candidates)
