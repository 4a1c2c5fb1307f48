"""ONNX files in packed form come back byte by byte, whoever wrote them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optim.codecs.opack import pack, sizes_of, unpack
from optim.errors import UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.graph.packed import pack_onnx, parts_of
from optim.measure.size import layer_sizes
from optim.techniques import TECHNIQUES

SHORTCUT = 41
"""Bytes of a constant of the file that belongs to no layer."""
QUANTIZED = {
    "4 bits": {"weight_bits": 4},
    "ternary": {"weight_bits": "ternary"},
    "groups": {"weight_bits": 3, "granularity": "per_group", "activation_bits": "float"},
    "zero points": {"weight_bits": 8, "weight_scheme": "affine"},
    "16 bits": {"weight_bits": 16, "activation_bits": "float"},
}


@pytest.fixture(scope="module")
def pruned():
    from tests.helpers import context_for, tiny_bundle

    bundle = tiny_bundle("resnet")
    context = context_for(bundle)
    return TECHNIQUES["prune_weights"](sparsity=0.8).apply(bundle, context).bundle, context


def test_files_of_every_family_come_back(bundle):
    file = onnx_bytes(bundle)
    data = pack_onnx(file)
    assert unpack(data) == file
    assert len(data) < 0.95 * len(file)


@pytest.mark.parametrize("setting", QUANTIZED)
def test_weights_in_every_container_come_back_and_are_as_small_as_the_lab_says(pruned, setting):
    bundle, context = pruned
    quantized = TECHNIQUES["quantize"](**QUANTIZED[setting]).apply(bundle, context).bundle
    file = onnx_bytes(quantized)
    data = pack_onnx(file)
    assert unpack(data) == file
    layers = [size for size in layer_sizes(quantized) if size.name]
    coded = sum(size.bytes["entropy"] - size.bytes["bit_width"] for size in layers)
    assert coded < 0
    found = sum(
        size.bytes["entropy"] - _beside_weights(quantized, size.name)
        for size in layers
        if _weights(quantized, size.name) >= 256
    )
    scales = [part for part in parts_of(file) if part.shape[1] == 1 and part.numbers >= 256]
    beside = sizes_of(pack(file, scales)).weights + SHORTCUT
    assert sizes_of(data).weights == pytest.approx(found + beside, rel=0.02, abs=40)


def test_pruned_floats_take_no_more_than_the_lab_says(pruned):
    bundle, _ = pruned
    layers = [size for size in layer_sizes(bundle) if size.name]
    large = [size for size in layers if _weights(bundle, size.name) >= 256]
    biases = 4 * sum(len(bundle.module.get_parameter(f"{s.name}.weight")) for s in large)
    found = sizes_of(pack_onnx(onnx_bytes(bundle))).weights
    assert found == sum(s.bytes["entropy"] for s in large) - biases + SHORTCUT


def _weights(bundle, layer):
    return bundle.module.get_parameter(f"{layer}.weight").numel()


def _beside_weights(bundle, layer):
    """Return the bytes of biases and scales that the Lab counts to a layer."""
    outputs = len(bundle.module.get_parameter(f"{layer}.weight"))
    return 4 * outputs + 4 * len(bundle.table.weights[layer].scale)


def foreign(**fields):
    """Return a file with numbers in every way that ONNX has for them."""
    rng = np.random.default_rng(0)
    floats = rng.standard_normal((20, 30)).astype(np.float32)
    spelled = helper.make_tensor("spelled", TensorProto.FLOAT, (20, 30), floats.reshape(-1))
    tensors = [
        numpy_helper.from_array(floats, "raw"),
        spelled,
        numpy_helper.from_array(floats.astype(np.float16), "half"),
        numpy_helper.from_array(floats.astype(np.float64), "double"),
        numpy_helper.from_array(rng.integers(0, 9, (20, 30)), "whole"),
        numpy_helper.from_array(rng.integers(-9, 9, (300,), np.int32), "biases"),
        numpy_helper.from_array(rng.integers(0, 255, (20, 30)).astype(np.uint8), "bytes"),
        numpy_helper.from_array(np.array(["one", "two"], dtype=object), "text"),
        numpy_helper.from_array(np.zeros((0, 3), np.float32), "nothing"),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 30])
    node = helper.make_node("Add", ["x", "raw"], ["y"])
    graph = helper.make_graph([node], "g", [value], [value], tensors)
    return helper.make_model(graph, **fields)


def test_numbers_in_every_way_of_writing_them_come_back():
    file = foreign(producer_name="somebody").SerializeToString()
    assert unpack(pack_onnx(file)) == file
    assert [part.numbers for part in parts_of(file)] == [600, 600, 600, 300, 600, 0]


def test_fields_in_another_order_come_back():
    model = foreign()
    graph, rest = model.graph.SerializeToString(), onnx.ModelProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    length, size = b"", len(graph)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    file = b"\x3a" + length + bytes([size]) + graph + rest.SerializeToString()
    assert onnx.load_from_string(file) == model
    assert file != model.SerializeToString()
    assert unpack(pack_onnx(file)) == file


def test_weights_in_other_files_are_refused_with_what_to_do():
    model = foreign()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    with pytest.raises(UnsupportedModelError, match="further files") as caught:
        pack_onnx(model.SerializeToString())
    assert "onnx.save" in caught.value.hint


@pytest.mark.parametrize("data", [b"\xff" * 30, b"\x3a\x7f", b"\x3b", b"text, not a model"])
def test_what_is_no_onnx_file_is_refused(data):
    with pytest.raises(UnsupportedModelError, match="no ONNX file"):
        pack_onnx(data)
