"""A grid is filled by a clock that the test holds, and by real runtimes; what fails says why."""

import io
import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from optim.errors import ConfigError, ExportError
from optim.export.deploy import onnx_bytes
from optim.export.torch_program import TorchProgramSession, torch_program
from optim.models.bundle import GraphModel
from optim.models.interface import Interface
from optim.recipe import Recipe
from optim.runtime import providers
from optim.runtime.session import InferenceSession
from optim.sweet_spot import child, measuring
from optim.sweet_spot.fusion import LAYOUTS, LEVELS
from optim.sweet_spot.kept import SHELF, kept_grid, key_of
from optim.sweet_spot.measuring import measure_fusion, measure_grid, measure_recipe
from optim.sweet_spot.runtimes import Contender, contenders, in_layouts
from optim.techniques.finetune import FineTune
from optim.whatif.engine import Engine
from tests.helpers import assert_similar, data_for, inputs_for, tiny_bundle

RECIPE = Recipe("breast-cancer-mlp", "breast-cancer")
CPU = ["onnx", "openvino", "compile"]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Session:
    """Takes a known time for each sample, divided by its threads."""

    def __init__(self, clock, seconds, threads, fails_at=None):
        self.clock, self.seconds, self.threads = clock, seconds, threads
        self.fails_at, self.runtime = fails_at, "Fake 1.0"

    def timed(self, x):
        def run():
            if len(x) == self.fails_at:
                raise RuntimeError("no memory")
            self.clock.now += self.seconds * len(x) / self.threads

        return run


def measured(batches=(1, 2, 4), threads=(1, 2), **seconds):
    clock = Clock()
    found = {
        name: Contender(lambda count, s=s: Session(clock, s, count)) for name, s in seconds.items()
    }
    return measure_grid(found, np.zeros((3, 2)), batches, threads, clock=clock)


def test_every_cell_has_its_latency_and_throughput():
    found = measured(onnx=0.004)
    assert [(c.threads, c.batch) for c in found.cells] == [
        (threads, batch) for threads in (1, 2) for batch in (1, 2, 4)
    ]
    for cell in found.cells:
        assert cell.latency.value == pytest.approx(4 * cell.batch / cell.threads)
        assert cell.throughput.value == pytest.approx(250 * cell.threads)
        assert cell.latency.n == cell.throughput.n >= 7
        assert cell.change is None


def test_others_are_compared_with_the_first_runtime_block_by_block():
    found = measured(onnx=0.004, openvino=0.002)
    others = [cell for cell in found.cells if cell.runtime == "openvino"]
    assert len(others) == 6
    for cell in others:
        assert cell.change.difference.value == pytest.approx(0.5)
        assert cell.change.direction == "better"


def test_without_the_first_runtime_nothing_is_compared_with_it():
    found = measured(openvino=0.002, compile=0.003)
    assert {cell.change for cell in found.cells} == {None}


def test_what_took_too_long_is_not_tried_with_more_samples():
    found = measured(onnx=0.3, openvino=0.001)
    slow = [(c.threads, c.batch) for c in found.cells if c.runtime == "onnx"]
    assert slow == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 4)]
    assert sum(cell.runtime == "openvino" for cell in found.cells) == 6


def test_a_runtime_that_fails_is_left_out_from_there_on_with_the_reason():
    clock = Clock()
    found = measure_grid(
        {
            "onnx": Contender(lambda count: Session(clock, 0.001, count)),
            "openvino": Contender(lambda count: Session(clock, 0.001, count, fails_at=2)),
        },
        np.zeros((3, 2)),
        (1, 2, 4),
        (1, 2),
        clock=clock,
    )
    assert found.refused == {"openvino": "Fake 1.0 failed on inputs of shape (2, 2): no memory."}
    assert [c.batch for c in found.cells if c.runtime == "openvino"] == [1]
    assert sum(c.runtime == "onnx" for c in found.cells) == 6


def test_a_runtime_that_cannot_load_the_model_says_why():
    def refuse(count):
        raise ExportError("It knows no such operator.")

    found = measure_grid({"onnx": Contender(refuse)}, np.zeros((1, 2)), (1,), (1,))
    assert found.refused == {"onnx": "It knows no such operator."}
    assert found.cells == ()


def test_a_runtime_that_needs_one_thread_is_not_tried_with_more():
    clock = Clock()
    found = measure_grid(
        {
            "onnx": Contender(lambda count: Session(clock, 0.004, count)),
            "cuda": Contender(lambda count: Session(clock, 0.001, count), most_threads=1),
        },
        np.zeros((3, 2)),
        (1, 2),
        (1, 2),
        clock=clock,
    )
    assert [(c.threads, c.batch) for c in found.cells if c.runtime == "cuda"] == [(1, 1), (1, 2)]
    assert found.refused == {}


def test_levels_are_compared_with_no_rewriting_at_each_setting():
    clock = Clock()

    def refuse(count):
        raise ExportError("It knows no such kernel.")

    found = measure_fusion(
        {
            "off": Contender(lambda count: Session(clock, 0.008, count)),
            "basic": Contender(refuse),
            "all": Contender(lambda count: Session(clock, 0.002, count)),
        },
        np.zeros((3, 2)),
        [(1, 1), (2, 4)],
        clock=clock,
    )
    assert found.refused == {"basic": "It knows no such kernel."}
    by_setting = found.by_setting()
    assert list(by_setting) == [(1, 1), (2, 4)]
    for (threads, batch), levels in by_setting.items():
        assert list(levels) == ["off", "all"]
        assert levels["off"].change is None
        assert levels["off"].latency.value == pytest.approx(8 * batch / threads)
        assert levels["all"].change.difference.value == pytest.approx(0.25)


def test_a_recipe_is_measured_in_real_runtimes(monkeypatch):
    monkeypatch.setattr(measuring, "_ROUNDS", (7, 7))
    monkeypatch.setattr(measuring, "BATCHES", (1, 2))
    shares = []
    found = measure_recipe(
        Engine(),
        RECIPE,
        ("openvino", "onnx"),
        cores=1,
        told=lambda share, what: shares.append(share),
    )
    assert list(found.ran) == ["onnx", "openvino"]
    assert found.ran["onnx"].version.startswith("ONNX Runtime ")
    assert {(c.runtime, c.batch) for c in found.cells} == {
        (runtime, batch) for runtime in ("onnx", "openvino") for batch in (1, 2)
    }
    assert all(cell.throughput.value > 0 for cell in found.cells)
    assert shares == sorted(shares)
    assert "on GPU" in found.gpu
    best = found.best(math.inf, "onnx")
    assert list(found.fusion.by_setting()) == sorted({(1, 1), (best.threads, best.batch)})
    assert all(list(levels) == list(LEVELS) for levels in found.fusion.by_setting().values())
    assert found.layout.measured == ()  # its samples are no images


def test_a_step_that_was_not_trained_is_left_out_and_named(monkeypatch):
    monkeypatch.setattr(measuring, "_ROUNDS", (7, 7))
    monkeypatch.setattr(measuring, "BATCHES", (1,))
    trained = RECIPE.with_step(FineTune())
    found = measure_recipe(Engine(), trained, ("onnx",), cores=1)
    assert found.omitted == ("finetune",)
    assert "Left out, because not trained yet: finetune." in found.notes


def test_without_onnx_runtime_nothing_is_said_about_its_levels(monkeypatch):
    monkeypatch.setattr(measuring, "_ROUNDS", (7, 7))
    monkeypatch.setattr(measuring, "BATCHES", (1,))
    assert measure_recipe(Engine(), RECIPE, ("openvino",), cores=1).fusion.measured == ()


@pytest.mark.parametrize("wanted", [(), ("onnx", "tflite")])
def test_only_runtimes_that_are_known_can_be_asked_for(wanted):
    with pytest.raises(ConfigError, match="runtimes must be some of onnx, openvino, compile"):
        measure_recipe(Engine(), RECIPE, wanted)


# --- runtimes -----------------------------------------------------------------------------------


def test_a_missing_runtime_says_how_it_is_installed(monkeypatch):
    bundle = tiny_bundle("mlp")
    monkeypatch.setitem(sys.modules, "openvino", None)
    found, refused = contenders(bundle, RECIPE, data_for(bundle).part("test"), CPU)
    assert list(found) == ["onnx", "compile"]
    assert "pip install openvino" in refused["openvino"]


def test_a_graph_cannot_be_compiled_by_torch_and_says_so():
    bundle = tiny_bundle("mlp")
    content = GraphModel(onnx_bytes(bundle), interface=Interface("input"))
    graph = replace(bundle, content=content)
    found, refused = contenders(graph, RECIPE, data_for(bundle).part("test"), ["onnx", "compile"])
    assert list(found) == ["onnx"]
    assert "kept as an ONNX graph" in refused["compile"]


def test_images_are_measured_in_both_layouts_of_pytorch(monkeypatch):
    monkeypatch.setattr(measuring, "_ROUNDS", (7, 7))
    monkeypatch.setattr(measuring, "BATCHES", (1,))
    found = measure_recipe(Engine(), Recipe("digits-resnet8", "digits"), ("onnx",), cores=1)
    ((setting, layouts),) = found.layout.by_setting().items()
    assert setting == (1, 1)
    assert list(layouts) == list(LAYOUTS)
    assert layouts["channels_first"].change is None
    assert layouts["channels_last"].change.difference.n == 7


def test_both_layouts_compute_the_same():
    bundle = tiny_bundle("resnet")
    x = inputs_for(bundle, 4).numpy()
    samples = data_for(bundle).part("test")
    recipe = Recipe("digits-resnet8", "digits")
    first, last = (c.open(1) for c in in_layouts(bundle, recipe, samples).values())
    weights = [p for p in last.module.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    assert_similar(torch.from_numpy(first.run(x)), torch.from_numpy(last.run(x)))


@pytest.mark.parametrize("name", providers.GPUS)
def test_a_gpu_takes_the_same_file_on_one_thread(monkeypatch, name):
    opened = []

    def open_(model, threads, interface, **options):
        opened.append((model, threads, options))

    bundle = tiny_bundle("mlp")
    monkeypatch.setattr(InferenceSession, "open", open_)
    monkeypatch.setattr(providers, "_offered", lambda: list(providers.PROVIDERS[name].order))
    found, _ = contenders(bundle, RECIPE, data_for(bundle).part("test"), ["onnx", name])
    for contender in found.values():
        contender.open(1)
    (file, *_), (same, threads, options) = opened
    assert same == file
    assert (threads, options) == (1, {"provider": name})
    assert found[name].most_threads == 1
    assert "to the GPU" in found[name].note


def test_a_gpu_that_is_missing_is_refused_with_what_to_install(monkeypatch):
    bundle = tiny_bundle("mlp")
    monkeypatch.setattr(providers, "_offered", lambda: ["CPUExecutionProvider"])
    found, refused = contenders(bundle, RECIPE, data_for(bundle).part("test"), ["onnx", "cuda"])
    assert list(found) == ["onnx"]
    assert "Install onnxruntime-gpu" in refused["cuda"]


def test_a_compiled_program_runs_on_its_own_threads_and_says_that_it_is_compiled(monkeypatch):
    asked = {}

    def compile_(module, **options):
        """Note what is asked for; making kernels would take the test a minute."""

        def run(x):
            asked["threads"] = torch.get_num_threads()
            return module(x)

        asked.update(options)
        return run

    monkeypatch.setattr(torch, "compile", compile_)
    bundle = tiny_bundle("mlp")
    file, x = torch_program(bundle), inputs_for(bundle).numpy()
    known = torch.get_num_threads()
    session = TorchProgramSession.open(file, 3, compiled=True)
    assert session.runtime.startswith("torch.compile, PyTorch ")
    assert_similar(session.run(x), TorchProgramSession.open(file, 1).run(x))
    assert asked == {"fullgraph": True, "dynamic": True, "threads": 3}
    assert torch.get_num_threads() == known


# --- the process of its own ---------------------------------------------------------------------


@pytest.fixture
def ask(own_home, monkeypatch):
    """Return a function that lets the child measure a recipe, and gives its key back."""

    def measure(recipe, *runtimes):
        request = {"key": key_of(recipe), "recipe": recipe.to_json(), "runtimes": runtimes}
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request) + "\n"))
        child.main()
        return request["key"]

    return measure


def test_what_a_child_measured_is_kept_under_its_recipe(ask, monkeypatch):
    grid = measured(onnx=0.004)

    def measure(engine, recipe, wanted, *, told, check):
        check()
        assert engine.registered_only
        told(0.5, "measuring")
        return grid

    monkeypatch.setattr(child, "measure_recipe", measure)
    key = ask(RECIPE, "onnx")
    assert kept_grid(key) == grid
    assert SHELF.told(key) == {"share": 0.5, "what": "measuring"}
    assert kept_grid(key_of(Recipe(RECIPE.model, RECIPE.data, seed=1))) is None


def test_a_child_does_not_measure_for_ever(ask, monkeypatch):
    monkeypatch.setattr(child, "_MOST_S", -1)
    key = ask(RECIPE, "onnx")
    refused = SHELF.told(key)["refused"]
    assert refused["kind"] == "MeasurementError"
    assert "within 10 minutes" in refused["message"]
    assert kept_grid(key) is None


def test_a_child_opens_no_file_that_a_link_names(ask, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx_bytes(tiny_bundle("mlp")))
    key = ask(Recipe(str(file), "breast-cancer"), "onnx")
    assert SHELF.told(key)["refused"]["message"]
    assert kept_grid(key) is None
