"""Memory for activations: closed forms, what every schedule must hold to, and both lanes."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optim.errors import UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.graph.dataflow import dataflow
from optim.measure.memory import activation_memory, schedule_memory
from optim.models.bundle import GraphModel
from optim.models.interface import Interface
from optim.quantity import How
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, tiny_bundle


def graph(nodes, inputs, outputs, constants=()):
    """Return a graph of float32 values; sizes inside it are inferred."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
            [numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in constants],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
    )


def node(op_type, inputs, output, **attributes):
    return helper.make_node(op_type, inputs.split(), [output], name=f"make_{output}", **attributes)


def quantized(bundle):
    return Quantize(samples=32).apply(bundle, context_for(bundle)).bundle


def test_a_chain_needs_the_largest_pair_of_neighbours():
    sizes = [10, 40, 30, 5]
    nodes = [node("MatMul", f"v{i} w{i}", f"v{i + 1}") for i in range(3)]
    weights = [(f"w{i}", np.ones((sizes[i], sizes[i + 1]))) for i in range(3)]
    model = graph(nodes, {"v0": [1, 10]}, {"v3": [1, 5]}, weights)
    found = schedule_memory(dataflow(model))
    assert found.peak.value == 4 * (40 + 30)
    assert found.at == "make_v2"
    assert found.arena.value >= found.peak.value
    assert found.total.value == 4 * sum(sizes)
    assert [count for _, count in found.live] == [4 * 50, 4 * 70, 4 * 35]


def test_a_skipped_value_stays_until_it_is_added():
    nodes = [
        node("MatMul", "x w", "a"),
        node("MatMul", "a w", "b"),
        node("Add", "b x", "c"),
        node("MatMul", "c w", "y"),
    ]
    model = graph(nodes, {"x": [1, 8]}, {"y": [1, 8]}, [("w", np.ones((8, 8)))])
    found = schedule_memory(dataflow(model))
    # While b is computed, x and a live beside it; the sum then takes the place of b.
    assert found.live == (("make_a", 64), ("make_b", 96), ("make_c", 64), ("make_y", 64))
    assert found.offsets["b"] == found.offsets["c"]


def test_an_activation_function_needs_no_memory_of_its_own():
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "y")]
    model = graph(nodes, {"x": [1, 8]}, {"y": [1, 8]}, [("w", np.ones((8, 8)))])
    flow = dataflow(model)
    assert [kernel.node.op_type for kernel in flow.kernels] == ["MatMul"]
    assert [after.op_type for after in flow.kernels[0].after] == ["Relu"]
    assert schedule_memory(flow).peak.value == 64


def test_a_value_that_is_read_again_is_not_written_over():
    nodes = [node("Relu", "x", "a"), node("Add", "a x", "y")]
    model = graph(nodes, {"x": [1, 8]}, {"y": [1, 8]})
    found = schedule_memory(dataflow(model))
    assert found.offsets["a"] != found.offsets["x"]
    assert found.peak.value == 64


def test_integers_take_a_quarter_of_floats(bundle):
    memory, small = activation_memory(bundle), activation_memory(quantized(bundle))
    assert small.peak.value <= memory.peak.value
    # A transformer computes much in floating point; the last result is float32 everywhere.
    if bundle.provenance.source != "tiny-vit":
        assert small.peak.value == memory.peak.value / 4
    assert small.peak.how is How.ESTIMATED
    assert small.peak.is_exact


def test_values_that_live_together_never_share_a_byte(bundle):
    for model in (bundle, quantized(bundle)):
        found = activation_memory(model)
        for one, other in combinations(found.placed, 2):
            if one.meets(other):
                apart = one.offset + one.bytes <= other.offset
                assert apart or other.offset + other.bytes <= one.offset, (one, other)
        assert found.peak.value <= found.arena.value <= found.total.value * 1.1 + 64
        assert found.peak.value == max(count for _, count in found.live)


def test_both_lanes_agree(bundle):
    model = quantized(bundle)
    interface = Interface("input")
    graph_model = replace(bundle, content=GraphModel(onnx_bytes(model), interface=interface))
    layers = {name for name, _ in bundle.module.named_modules()}

    def without_names(memory):
        """What is told, without the names of kernels that no layer has: files shorten them."""
        live = [k if k["kernel"] in layers else k["bytes"] for k in memory["live"]]
        return {**memory, "live": live}

    first, second = activation_memory(model).to_json(), activation_memory(graph_model).to_json()
    assert without_names(first) == without_names(second)
    if bundle.name != "tiny cells":  # no other family has kernels that only change a grid
        assert first == second


def test_narrow_activations_take_a_byte_and_wide_ones_more():
    bundle = tiny_bundle("lenet-5")
    found = {
        bits: activation_memory(
            Quantize(activation_bits=bits, samples=32).apply(bundle, context_for(bundle)).bundle
        ).peak.value
        for bits in (4, 8, 16)
    }
    # Of 16 bits there are no integer kernels: layers read floats that are made for them.
    assert found[4] == found[8] < found[16] / 2


def test_a_size_that_nobody_knows_is_named():
    model = graph([node("NonZero", "x", "places")], {"x": [1, 8]}, {"places": [2, "n"]})
    with pytest.raises(UnsupportedModelError, match="size of the value 'places' is not known"):
        dataflow(model)


def test_a_graph_within_the_graph_is_named():
    body = helper.make_graph(
        [node("Relu", "x", "inner")],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 8])],
    )
    branch = helper.make_node("If", ["c"], ["y"], "choice", then_branch=body, else_branch=body)
    model = graph([branch], {"x": [1, 8], "c": []}, {"y": [1, 8]})
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    with pytest.raises(UnsupportedModelError, match="If 'choice' runs a graph of its own"):
        dataflow(model)


def test_a_model_without_kernels_needs_its_input():
    found = schedule_memory(dataflow(graph([node("Identity", "x", "y")], {"x": [8]}, {"y": [8]})))
    assert (found.peak.value, found.arena.value, found.at) == (32, 32, "")


def test_constants_are_no_activations():
    model = onnx.load_from_string(onnx_bytes(quantized(tiny_bundle("resnet"))))
    flow = dataflow(model, {"input": (1, 3, 16, 16)})
    constants = {t.name for t in model.graph.initializer}
    assert constants.isdisjoint(flow.values)
    assert all(value.width == 1 for value in flow.values.values() if value.grid)
