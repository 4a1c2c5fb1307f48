"""Every kind of file: what is in it, what is said before it is made, and what is refused."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import optim
from optim.errors import ConfigError, ExportError, MissingDependencyError
from optim.export.archive import files_of
from optim.export.c import session as c_session
from optim.export.deliver import deliver, order_of
from optim.export.targets import TARGETS, container_notes, refusal, target_of
from optim.models.bundle import GraphModel
from optim.models.checkpoint import load_checkpoint
from optim.models.interface import Interface
from optim.models.onnx_file import open_onnx
from optim.recipe import Recipe
from optim.runtime import openvino
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, data_for, tiny_bundle

RECIPE = Recipe("clutter-resnet8", "cluttered-digits").with_step(Quantize(weight_bits=4))

KINDS = [name for name in TARGETS if name != "onnx_nbits"]
"""Kinds that hold convolutions."""

NAMED_ANEW = ("openvino", "pt2")
"""Kinds whose writers number their values anew every time."""


@pytest.fixture
def compressed(tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.5).apply(tiny_cnn, context).bundle
    return Quantize(weight_bits=3, activation_bits=6, samples=32).apply(sparse, context).bundle


def made(bundle, target):
    """Return the bytes that are executed."""
    return TARGETS[target].make(order_of(bundle, RECIPE, target))


def delivered(bundle, target):
    """Return what is handed over."""
    data = data_for(bundle)
    return deliver(bundle, RECIPE, target, data.part("validation"), more=data.part("train"))


@pytest.mark.parametrize(
    "target", [pytest.param(k, marks=pytest.mark.slow) if k == "qonnx" else k for k in KINDS]
)
def test_a_file_is_verified_in_what_executes_it(target, trained):
    bundle, data = trained
    quantized = Quantize(samples=64).apply(bundle, context_for(bundle, data=data)).bundle
    samples = data.part("validation")
    found = deliver(quantized, RECIPE, target, samples, more=data.part("train"))
    verification = found.verification
    assert verification.problem == ""
    assert verification.accuracy.how == "measured"
    assert verification.accuracy.n == len(samples)
    runtimes = {
        "openvino": "OpenVINO",
        "pt2": "PyTorch",
        "c": "C99 on this machine",
        "qonnx": "QONNX",
    }
    assert verification.runtime.startswith(runtimes.get(target, "ONNX Runtime"))
    assert verification.latency.value > 0
    assert found.suffix == TARGETS[target].suffix


@pytest.mark.parametrize("target", KINDS)
def test_a_file_says_nothing_of_the_machine_it_was_made_on(target, compressed):
    file = made(compressed, target)
    parts = files_of(file).values() if zipfile.is_zipfile(BytesIO(file)) else [file]
    here = [str(Path(module.__file__).parent).encode() for module in (optim, torch)]
    assert not [path for part in parts for path in here if path in part]


@pytest.mark.parametrize("target", [name for name in KINDS if name not in NAMED_ANEW])
def test_a_file_is_the_same_every_time(target, compressed):
    order = order_of(compressed, RECIPE, target)
    file = TARGETS[target].make(order)
    assert file
    assert TARGETS[target].make(order) == file


@pytest.mark.parametrize("target", [name for name in TARGETS if TARGETS[name].pack])
def test_what_is_packed_is_the_same_for_the_same_figures(target, compressed):
    verification = delivered(compressed, target).verification
    order = order_of(compressed, RECIPE, target)
    pack, file = TARGETS[target].pack, TARGETS[target].make(order)
    assert pack(order, file, verification) == pack(order, file, verification)


def test_an_unknown_kind_is_refused_with_those_there_are(compressed):
    with pytest.raises(ConfigError, match=r"target must be one of onnx, .*got 'tflite'"):
        target_of("tflite")


def test_an_onnx_file_carries_what_is_needed_to_use_it(compressed, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(made(compressed, "onnx"))
    bundle = open_onnx(path)
    assert bundle.spec == compressed.spec
    assert bundle.task == compressed.task
    assert bundle.provenance.seen == compressed.provenance.seen
    properties = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert Recipe.from_link(json.loads(properties["optim"])["recipe"]) == RECIPE


def kinds_of(file):
    return {t.data_type for t in onnx.load_from_string(file).graph.initializer}


def test_the_float_file_has_no_integers(compressed):
    file = made(compressed, "onnx_float")
    assert kinds_of(file) == {onnx.TensorProto.FLOAT}
    nodes = onnx.load_from_string(file).graph.node
    assert not any(n.op_type.endswith("Linear") for n in nodes)


def test_the_half_file_is_half_as_large_with_float32_at_both_ends(tiny_cnn):
    file = made(tiny_cnn, "onnx_float16")
    assert onnx.TensorProto.FLOAT16 in kinds_of(file)
    graph = onnx.load_from_string(file).graph
    ends = {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    assert ends == {onnx.TensorProto.FLOAT}
    largest = max(graph.initializer, key=lambda t: int(np.prod(t.dims)))
    assert largest.data_type == onnx.TensorProto.FLOAT16


def test_int4_weights_are_stored_as_such_and_narrower_ones_stay(compressed, tiny_cnn):
    assert onnx.TensorProto.INT4 in kinds_of(made(tiny_cnn, "onnx_int4"))
    order = order_of(compressed, RECIPE, "onnx_int4")
    assert order.bundle.table.edges == {}
    for name, weight in order.bundle.table.weights.items():
        assert weight is compressed.table.weights[name]
    eight = Quantize(samples=32).apply(tiny_cnn, context_for(tiny_cnn)).bundle
    table = order_of(eight, RECIPE, "onnx_int4").bundle.table
    assert {weight.grid.bits for weight in table.weights.values()} == {4}


def test_a_graph_has_its_weights_in_four_bits_too(tiny_cnn):
    file = made(tiny_cnn, "onnx_float")
    graph = replace(tiny_cnn, content=GraphModel(file, interface=Interface("input")))
    table = order_of(graph, RECIPE, "onnx_int4").bundle.table
    expected = order_of(tiny_cnn, RECIPE, "onnx_int4").bundle.table
    for name, weight in expected.weights.items():
        np.testing.assert_allclose(table.weights[name].scale, weight.scale, rtol=1e-4)


def test_the_archive_holds_model_and_recipe(compressed, tmp_path):
    files = files_of(delivered(compressed, "safetensors").data)
    assert set(files) == {"model.safetensors", "recipe.yaml", "input.json"}
    assert Recipe.from_yaml(files["recipe.yaml"].decode()) == RECIPE
    (tmp_path / "model.safetensors").write_bytes(files["model.safetensors"])
    assert load_checkpoint(tmp_path / "model.safetensors").hash == compressed.hash


def test_a_wider_container_is_said_before_the_click(compressed):
    assert container_notes(compressed.table) == {
        "weight_bits": "3-bit weights are stored in int4.",
        "activation_bits": "6-bit activations run as int8.",
    }


def test_nothing_is_said_where_nothing_widens(tiny_cnn):
    table = Quantize(samples=32).apply(tiny_cnn, context_for(tiny_cnn)).bundle.table
    assert container_notes(table) == {}


def test_a_verified_target_names_the_model_it_holds(compressed):
    assert TARGETS["onnx"].deployed(compressed) is compressed
    plain = TARGETS["onnx_float"].deployed(compressed)
    assert not plain.table.is_quantized
    assert plain.table.masks.keys() == compressed.table.masks.keys()


# --- refused at the control -----------------------------------------------------------------------


@pytest.mark.parametrize("target", [n for n in TARGETS if "graph" not in TARGETS[n].lanes])
def test_a_graph_is_refused_where_layers_are_needed(target, tiny_cnn):
    graph = replace(tiny_cnn, content=GraphModel(made(tiny_cnn, "onnx_float")))
    why = refusal(graph, TARGETS[target])
    assert isinstance(why, ExportError)
    assert "kept as an ONNX graph" in why.message
    with pytest.raises(ExportError, match="kept as an ONNX graph"):
        order_of(graph, RECIPE, target)


def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch, tiny_cnn):
    monkeypatch.setitem(sys.modules, "openvino", None)
    why = refusal(tiny_cnn, TARGETS["openvino"])
    assert isinstance(why, MissingDependencyError)
    assert why.hint == "pip install openvino==2026.4.1"


def test_qonnx_that_is_missing_is_named_with_what_installs_it(monkeypatch, tiny_cnn):
    monkeypatch.setitem(sys.modules, "qonnx", None)
    assert refusal(tiny_cnn, TARGETS["qonnx"]).hint == "pip install qonnx==1.0.0"


def test_c_is_refused_where_no_compiler_could_verify_it(monkeypatch, compressed):
    monkeypatch.setattr(c_session.shutil, "which", lambda name: None)
    why = refusal(compressed, TARGETS["c"])
    assert "no C compiler was found" in why.message


def test_nothing_is_refused_of_a_model_that_has_all(compressed):
    assert {name: refusal(compressed, TARGETS[name]) for name in KINDS} == dict.fromkeys(KINDS)


def test_a_damaged_ir_is_refused(tiny_mlp):
    with pytest.raises(ExportError, match=r"OpenVINO 2026.* cannot load the model"):
        openvino.OpenVinoSession.open(b"<net/>", b"")


# --- the bundle -----------------------------------------------------------------------------------


@pytest.fixture
def unpacked(compressed, tmp_path):
    (tmp_path / "bundle.zip").write_bytes(delivered(compressed, "bundle").data)
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path / "bundle")
    return tmp_path / "bundle"


def run_in(folder, *command, python=sys.executable):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [python, *command], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )


def test_a_bundle_tests_itself(unpacked):
    done = run_in(unpacked, "test_bundle.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": passed") == 3


def test_a_bundle_predicts_raw_samples_as_the_model_does(unpacked, compressed):
    samples = data_for(compressed).part("test").inputs[:5]
    np.save(unpacked / "mine.npy", samples)
    done = run_in(unpacked, "predict.py", "mine.npy")
    assert done.returncode == 0, done.stderr
    simulated = compressed.simulated()(compressed.spec.normalise(samples)).argmax(1)
    names = compressed.task.class_names
    assert done.stdout.split() == [names[i] for i in simulated]


def test_a_bundle_notices_another_model(unpacked, tiny_cnn):
    (unpacked / "model.onnx").write_bytes(made(tiny_bundle("resnet"), "onnx_float"))
    inputs = np.load(unpacked / "sample_inputs.npy")
    np.save(unpacked / "sample_inputs.npy", inputs[::-1])
    done = run_in(unpacked, "test_bundle.py")
    assert done.returncode == 1
    assert "AssertionError" in done.stderr


def test_every_figure_of_the_card_says_how_it_was_obtained(unpacked):
    card = (unpacked / "MODEL_CARD.md").read_text()
    table = card.split("## Figures")[1].split("\n\n")[1].splitlines()[2:]
    assert len(table) >= 8
    assert all(row.split(" | ")[-1].rstrip(" |") in ("measured", "estimated") for row in table)
    assert Recipe.from_yaml((unpacked / "recipe.yaml").read_text()) == RECIPE


def test_names_from_anybody_break_no_table(compressed):
    bundle = replace(compressed, name="a|b\n# c <script>")
    card = files_of(delivered(bundle, "bundle").data)["MODEL_CARD.md"].decode()
    assert "\n# a b # c  script" in card
    assert card.startswith("---\nlibrary_name: onnx\n")


@pytest.mark.slow
def test_a_bundle_passes_in_a_clean_environment(unpacked, tmp_path):
    assert run_in(tmp_path, "-m", "venv", "clean").returncode == 0
    python = tmp_path / "clean" / "bin" / "python"
    needs = run_in(unpacked, "-m", "pip", "install", "-q", "-r", "requirements.txt", python=python)
    if needs.returncode:
        pytest.skip("no package index can be reached")
    done = run_in(unpacked, "test_bundle.py", python=python)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": passed") == 3
