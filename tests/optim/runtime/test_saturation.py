"""Sums of 16 bits: by hand, against plain loops, and on a processor that has them."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from optim.instructions import vnni_here
from optim.models import probing
from optim.runtime.deployed import deployed_graph, deployed_sizes
from optim.runtime.saturation import pairs_at_risk, saturating_graph
from optim.runtime.session import InferenceSession
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, inputs_for, tiny_bundle

LOW, HIGH = -(2**15), 2**15 - 1


def test_two_products_are_cut_where_sixteen_bits_end():
    weights = np.array([[127, 127, 2, 3]], np.int8)  # 255 * 254 = 64770 becomes 32767
    model = layer("Gemm", weights, shape=(4,), transB=1)
    x = np.array([[255, 255, 10, 20], [129, 129, 10, 20]], np.float32)
    assert run(model, x).tolist() == [[64850], [32846]]
    assert run(saturating_graph(model, {"x": x[:1].shape}).model, x).tolist() == [
        [32847],
        [32846],
    ]


def test_negative_sums_are_cut_as_well():
    weights = np.array([[-128, -128]], np.int8)
    model = layer("Gemm", weights, shape=(2,), transB=1)
    x = np.array([[255, 255], [128, 128]], np.float32)
    found = run(saturating_graph(model, {"x": (1, 2)}).model, x)
    assert found.tolist() == [[LOW], [LOW]]


def test_only_pairs_that_some_input_makes_saturate_are_at_risk():
    rows = np.array([[127, 127, 64, 64, -128, 127, 100], [1, 1, 1, 1, -100, -100, 127]])
    found = pairs_at_risk(rows, 0, 255)
    assert found.share == 2 / 8
    assert found.indices[:, 0].tolist() == [[0], [1]]
    assert found.weights[:, 0].tolist() == [[127], [127]]
    assert found.weights[:, 1].tolist() == [[-100], [-100]]
    assert pairs_at_risk(rows, 0, 127).share == 0  # activations of 7 bits


def test_weights_of_reduced_range_never_saturate():
    extremes = np.array(np.meshgrid([-64, 63], [-64, 63])).reshape(1, -1)
    assert pairs_at_risk(extremes, 0, 255).share == 0
    assert 2 * 255 * 64 == 32640 <= HIGH


def layer(op, weights, *, shape, offset=0, signed=False, step=1.0, **attributes):
    """Return a graph of one layer on integers: inputs are what it multiplies, less an offset.

    Its result is put on a grid of ``step``, as a convolution on integers needs it.
    """
    kind = np.int8 if signed else np.uint8
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "one", "zero"], ["read"]),
        helper.make_node("DequantizeLinear", ["weights", "one"], ["factors"]),
        helper.make_node(op, ["read", "factors"], ["sums"], **attributes),
    ]
    constants = {
        "one": np.float32(1),
        "zero": kind(offset),
        "weights": weights,
        "step": np.float32(step),
        "middle": kind(0),
    }
    output = "sums"
    if op == "Conv":
        nodes.append(helper.make_node("QuantizeLinear", ["sums", "step", "middle"], ["rounded"]))
        nodes.append(helper.make_node("DequantizeLinear", ["rounded", "step", "middle"], ["y"]))
        output = "y"
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def run(model, x, *, level="off"):
    session = InferenceSession.open(model, level=level)
    return session.session.run(None, {"x": x})[0]


def cut_sums(columns, rows):
    """Return what the pairs of ``(n, K)`` bytes and ``(O, K)`` weights add up to, one by one."""
    sums = np.zeros((len(columns), len(rows)))
    for start in range(0, rows.shape[1], 2):
        pair = slice(start, start + 2)
        sums += np.clip(columns[:, pair].astype(int) @ rows[:, pair].T.astype(int), LOW, HIGH)
    return sums


WINDOWS = {
    "plain": {"channels": 3, "outputs": 4},
    "strides": {"channels": 2, "outputs": 3, "strides": [2, 2]},
    "dilated": {"channels": 3, "outputs": 2, "dilations": [2, 2]},
    "padded": {"channels": 3, "outputs": 2, "pads": [1, 1, 1, 1]},
    "pointwise": {"channels": 5, "outputs": 3, "window": 1},
    "groups": {"channels": 6, "outputs": 4, "group": 2},
    "many of one": {"channels": 3, "outputs": 6, "group": 3},
}


@pytest.fixture(params=WINDOWS, ids=str)
def convolution(request):
    """A convolution, its bytes and its result with sums of 16 bits, in loops over everything."""
    fields = {"window": 3, "strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4, "group": 1}
    fields |= WINDOWS[request.param]
    channels, outputs, size = (fields.pop(name) for name in ("channels", "outputs", "window"))
    rng = np.random.default_rng(0)
    x = rng.integers(150, 256, (2, channels, 6, 7))
    inputs = channels // fields["group"]
    weights = rng.integers(60, 128, (outputs, inputs, size, size)).astype(np.int8)
    weights *= rng.choice([1, 1, -1], (outputs, 1, 1, 1)).astype(np.int8)
    pad, stride, gap = fields["pads"][0], fields["strides"][0], fields["dilations"][0]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    reach = gap * (size - 1) + 1
    places = [
        (i, j)
        for i in range(0, padded.shape[2] - reach + 1, stride)
        for j in range(0, padded.shape[3] - reach + 1, stride)
    ]
    result = np.zeros((2, outputs, len(places)))
    for output in range(outputs):
        first = output // (outputs // fields["group"]) * inputs
        row = weights[output].transpose(1, 2, 0).reshape(1, -1)  # channels of a position together
        for place, (i, j) in enumerate(places):
            seen = padded[:, first : first + inputs, i : i + reach : gap, j : j + reach : gap]
            result[:, output, place] = cut_sums(seen.transpose(0, 2, 3, 1).reshape(2, -1), row)[
                :, 0
            ]
    return x.astype(np.float32), weights, fields, result


def test_convolutions_lose_what_their_pairs_lose(convolution):
    x, weights, fields, expected = convolution
    model = layer("Conv", weights, shape=x.shape[1:], step=2.0**20, **fields)
    found = saturating_graph(model, {"x": (1, *x.shape[1:])})
    (share,) = found.at_risk.values()
    assert share > 0
    assert sums_of(found.model, x).reshape(expected.shape).tolist() == expected.tolist()
    assert sums_of(model, x).reshape(expected.shape).tolist() != expected.tolist()


def sums_of(model, x):
    """Return the result of a convolution before it is rounded to its grid."""
    model = type(model).FromString(model.SerializeToString())
    model.graph.output[0].name = "sums"
    return run(model, x)


def test_signed_activations_are_multiplied_as_bytes_from_zero_up():
    weights = np.array([[127, 127]], np.int8)
    model = layer("Gemm", weights, shape=(2,), signed=True, transB=1)
    # Kernels add 128 to both, cut 255 * 254 at 32767, and take 128 * 254 off again.
    found = run(saturating_graph(model, {"x": (1, 2)}).model, np.array([[127, 127]], np.float32))
    assert found.tolist() == [[32767 - 128 * 254]]


def test_the_zero_point_is_multiplied_as_well():
    weights = np.array([[127, 127]], np.int8)
    model = layer("Gemm", weights, shape=(2,), offset=100, transB=1)
    found = run(saturating_graph(model, {"x": (1, 2)}).model, np.array([[155, 155]], np.float32))
    assert found.tolist() == [[32767 - 100 * 254]]


def test_products_of_matrices_of_any_rank_lose_alike():
    rng = np.random.default_rng(1)
    x = rng.integers(100, 256, (2, 3, 7)).astype(np.float32)
    weights = rng.integers(90, 128, (7, 4)).astype(np.int8)
    model = layer("MatMul", weights, shape=(3, 7))
    found = run(saturating_graph(model, {"x": (1, 3, 7)}).model, x)
    assert found.reshape(6, 4).tolist() == cut_sums(x.reshape(6, 7), weights.T).tolist()


def test_depthwise_convolutions_add_in_32_bits():
    weights = np.full((4, 1, 3, 3), 127, np.int8)
    model = layer("Conv", weights, shape=(4, 6, 6), step=2.0**20, group=4)
    assert saturating_graph(model, {"x": (1, 4, 6, 6)}).at_risk == {}


@pytest.mark.parametrize("family", ["mobilenet", "vit", "cnn-1d"])
def test_reduced_range_leaves_nothing_to_lose(family):
    bundle = tiny_bundle(family)
    context = context_for(bundle)
    whole = Quantize(samples=32).apply(bundle, context).bundle
    reduced = Quantize(samples=32, reduce_range=True).apply(bundle, context).bundle
    found = saturating_graph(deployed_graph(reduced), deployed_sizes(reduced))
    assert found.at_risk
    assert not found.may_saturate
    assert saturating_graph(deployed_graph(whole), deployed_sizes(whole)).may_saturate


@pytest.mark.skipif(vnni_here() is not False, reason="this processor does not add in 16 bits")
@pytest.mark.parametrize("family", ["resnet", "mobilenet", "vit", "mlp", "cnn-1d", "cells"])
def test_a_processor_without_vnni_computes_just_that(family, monkeypatch):
    monkeypatch.setattr(probing, "EXACT_INTEGERS", ("session.x64quantprecision", "0"))
    bundle = tiny_bundle(family)
    bundle = Quantize(samples=32).apply(bundle, context_for(bundle)).bundle
    graph, x = deployed_graph(bundle), inputs_for(bundle, 32).numpy()
    exact = InferenceSession.open(graph, level="off").run(x)
    saturated = saturating_graph(graph, deployed_sizes(bundle)).model
    simulated = InferenceSession.open(saturated, level="off").run(x)
    here = InferenceSession.open(graph).run(x)
    # Rounding to a grid may tip over for single values, as it does between any two runtimes.
    assert np.abs(here - simulated).mean() < 0.01 * np.abs(here - exact).mean()
