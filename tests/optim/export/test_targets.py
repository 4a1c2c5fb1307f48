"""Every kind of file: what is in it, and what is said before it is made."""

import io
import json
import zipfile

import onnx
import pytest

from optim.errors import ConfigError
from optim.export.targets import TARGETS, container_notes, export
from optim.models.checkpoint import load_checkpoint
from optim.models.onnx_file import open_onnx
from optim.recipe import Recipe
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import context_for

RECIPE = Recipe("clutter-resnet8", "cluttered-digits").with_step(Quantize(weight_bits=4))


@pytest.fixture
def compressed(tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.5).apply(tiny_cnn, context).bundle
    return Quantize(weight_bits=3, activation_bits=6, samples=32).apply(sparse, context).bundle


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_is_the_same_every_time(target, compressed):
    first = export(compressed, RECIPE, target)
    assert export(compressed, RECIPE, target) == first
    assert first


def test_an_unknown_kind_is_refused_with_those_there_are(compressed):
    with pytest.raises(ConfigError, match=r"target must be one of onnx, .*got 'tflite'"):
        export(compressed, RECIPE, "tflite")


def test_an_onnx_file_carries_what_is_needed_to_use_it(compressed, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(export(compressed, RECIPE, "onnx"))
    bundle = open_onnx(path)
    assert bundle.spec == compressed.spec
    assert bundle.task == compressed.task
    assert bundle.provenance.seen == compressed.provenance.seen
    properties = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert Recipe.from_link(json.loads(properties["optim"])["recipe"]) == RECIPE


def test_the_float_file_has_no_integers(compressed):
    model = onnx.load_from_string(export(compressed, RECIPE, "onnx_float"))
    kinds = {t.data_type for t in model.graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT}
    assert not any(n.op_type.endswith("Linear") for n in model.graph.node)


def test_the_archive_holds_model_and_recipe(compressed, tmp_path):
    data = export(compressed, RECIPE, "safetensors")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert set(archive.namelist()) == {"model.safetensors", "recipe.yaml", "input.json"}
        assert Recipe.from_yaml(archive.read("recipe.yaml").decode()) == RECIPE
        archive.extractall(tmp_path)
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
