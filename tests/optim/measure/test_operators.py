"""What the runtime makes of a file: kinds, sizes and layers of its operators."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optim.errors import ExportError
from optim.export.deploy import onnx_bytes
from optim.layers.graph import trace
from optim.measure.macs import layer_costs
from optim.measure.operators import constant_bytes, operators_of, timed_operators
from optim.models.interface import Interface
from optim.models.open import open_model
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.runtime.emit import kernel_owners
from optim.subject import open_subject
from optim.techniques.quantize import Quantize
from tests.optim.graph.graphs import recurrent
from tests.optim.models.convert.graphs import graph, node, values


def sample(bundle):
    return np.zeros((1, *bundle.spec.shape), np.float32)


@pytest.mark.parametrize("name", ["lenet-5", "mobilenetv2", "ds-cnn", "mlp", "vit-tiny"])
def test_macs_are_those_of_the_layers(name):
    bundle = open_model(name)
    found = operators_of(onnx_bytes(bundle), sample(bundle))
    in_layers = sum(cost.macs for cost in layer_costs(bundle.module, bundle.spec.shape))
    assert sum(operator.macs for operator in found) == pytest.approx(in_layers, rel=1e-6)


def test_a_shortcut_without_parameters_is_counted_as_the_convolution_it_is_exported_as():
    bundle = open_model("resnet8")
    found = operators_of(onnx_bytes(bundle), sample(bundle))
    in_layers = sum(cost.macs for cost in layer_costs(bundle.module, bundle.spec.shape))
    shortcuts = [o for o in found if o.name.endswith("shortcut")]
    assert len(shortcuts) == 2
    assert sum(o.macs for o in found) - sum(o.macs for o in shortcuts) == in_layers


def test_convolutions_of_a_residual_network_take_their_sums_with_them():
    bundle = open_model("resnet8")
    found = operators_of(onnx_bytes(bundle), sample(bundle))
    sums = [o for o in found if o.op == "Add"]
    assert sums
    assert all(o.fused for o in sums)
    assert not any(o.fused for o in found if o.macs)


def test_depthwise_convolutions_are_told_from_others():
    bundle = open_model("mobilenetv2")
    found = operators_of(onnx_bytes(bundle), sample(bundle))
    depthwise = [o for o in found if o.kind == "depthwise"]
    assert depthwise
    assert all(o.groups == o.inputs == o.outputs for o in depthwise)
    assert all(o.macs == o.rows * o.outputs * o.kernel for o in depthwise)


def test_a_quantized_file_computes_with_integers_and_reads_a_quarter():
    subject = open_subject(Recipe("digits-resnet8", "digits"))
    recipe = Recipe("digits-resnet8", "digits").with_step(
        Quantize(weight_bits=8, activation_bits=8)
    )
    quantized, _ = apply_recipe(recipe, subject)
    floats = operators_of(onnx_bytes(subject.bundle), sample(subject.bundle))
    integers = operators_of(onnx_bytes(quantized), sample(subject.bundle))
    assert {o.dtype for o in floats} == {"float32"}
    assert {o.dtype for o in integers if o.macs} == {"int8"}
    weights = [sum(o.weight_bytes for o in found) for found in (floats, integers)]
    assert weights[1] < weights[0] / 3


def made(*nodes, **weights):
    """Return the file of a graph from ``x`` (n, 4, 20) to ``y``."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 20])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def test_nodes_without_names_have_sizes_all_the_same():
    weight = np.ones((6, 4, 3), np.float32)
    file = made(
        helper.make_node("Sigmoid", ["x"], ["a"]), helper.make_node("Conv", ["a", "w"], ["y"]),
        w=weight,
    )  # fmt: skip
    (conv,) = (o for o in operators_of(file, np.zeros((1, 4, 20), np.float32)) if o.macs)
    assert (conv.rows, conv.outputs, conv.macs) == (18, 6, 18 * weight.size)


def test_weights_that_are_widened_anew_for_every_inference_are_multiplied_too():
    weight = np.ones((6, 4, 3), np.int8)
    file = made(
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["v"], axis=0),
        helper.make_node("Conv", ["x", "v"], ["y"]),
        w=weight, s=np.ones(6, np.float32), z=np.zeros(6, np.int8),
    )  # fmt: skip
    found = operators_of(file, np.zeros((1, 4, 20), np.float32))
    assert sum(o.macs for o in found) == 18 * weight.size
    assert {o.dtype for o in found if o.macs} == {"float32"}


def test_weights_that_two_operators_read_are_held_once():
    weight = np.ones((4, 4, 1), np.float32)
    file = made(
        helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["y"]), w=weight,
    )  # fmt: skip
    found = [o for o in operators_of(file, np.zeros((1, 4, 20), np.float32)) if o.macs]
    assert [o.weight_bytes for o in found] == [weight.nbytes] * 2
    assert [o.shared_bytes for o in found] == [0, weight.nbytes]
    assert constant_bytes(file) == weight.nbytes


def test_integers_of_four_bits_share_a_byte():
    file = made(helper.make_node("Relu", ["x"], ["y"]))
    model = onnx.load_from_string(file)
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.INT4, [3, 3], [1] * 9))
    assert constant_bytes(model.SerializeToString()) == 5


def test_operators_know_their_layers():
    bundle = open_model("lenet-5")
    owners = kernel_owners(trace(bundle.deployable()))
    found = operators_of(onnx_bytes(bundle), sample(bundle), owners)
    named = {o.layer for o in found if o.macs}
    assert named == {c.name for c in layer_costs(bundle.module, bundle.spec.shape)}


def test_times_are_of_what_this_machine_runs():
    bundle = open_model("lenet-5")
    found = timed_operators(onnx_bytes(bundle), sample(bundle))
    assert found
    assert all(o.ms >= 0 for o in found)
    assert any(o.op in ("Conv", "FusedConv") for o in found)


def convolutional(batch):
    nodes = [
        node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Flatten", "r", "f"),
        node("MatMul", "f k", "m"), node("Softmax", "m"),
    ]  # fmt: skip
    return graph(nodes, (3, 8, 8), batch=batch, w=values(6, 3, 3, 3), k=values(6 * 36, 4))


@pytest.mark.parametrize("make", [convolutional, recurrent], ids=["conv", "recurrent"])
def test_operators_of_a_fixed_batch_are_told_for_one_sample(make):
    found = []
    for batch in ("N", 4):
        model = make(batch=batch)
        shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]]
        interface = Interface("x", batch=4 if batch == 4 else 0)
        one = np.zeros((1, *shape), np.float32)
        told = operators_of(model.SerializeToString(), one, {}, interface)
        found.append([(o.op, o.kind, o.macs, o.moved_bytes) for o in told])
    assert found[0] == found[1]
    assert sum(macs for _, _, macs, _ in found[1]) > 0


def test_a_weight_on_the_left_is_told_as_one_on_the_right():
    model = graph([node("MatMul", "w x")], (16, 100), w=values(64, 16))
    (product,) = operators_of(model.SerializeToString(), np.zeros((1, 16, 100), np.float32))
    assert (product.inputs, product.outputs, product.rows) == (16, 64, 100)
    assert product.macs == 64 * 16 * 100
    assert product.weight_count == 64 * 16


@pytest.mark.parametrize(
    ("given", "equation", "kind"),
    [
        ("x w", "b i j , j k -> b i k", "matmul"),
        ("x w", "...ij,jk->...ik", "matmul"),
        ("x x", "bij,bkj->bik", "attention"),
    ],
)
def test_an_einsum_multiplies(given, equation, kind):
    model = graph([node("Einsum", given, equation=equation)], (6, 8), w=values(8, 6))
    (product,) = operators_of(model.SerializeToString(), np.zeros((1, 6, 8), np.float32))
    assert (product.kind, product.macs) == (kind, 6 * 6 * 8)
    assert (product.inputs, product.outputs, product.rows) == (8, 6, 6)


def test_a_file_the_runtime_refuses_is_said():
    with pytest.raises(ExportError, match="ONNX Runtime cannot run the file"):
        operators_of(b"no model", np.zeros((1, 2), np.float32))
