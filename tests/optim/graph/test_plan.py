"""What integer kernels read is quantized, and nothing else."""

import numpy as np
import pytest

from optim.graph.fold import fold
from optim.graph.plan import GraphPlan
from optim.layers.graph import trace
from optim.layers.quantized_graph import QuantizationPlan
from tests.optim.graph.graphs import embedded, recurrent, upsampled
from tests.optim.models.convert.graphs import graph, node, values, whole
from tests.optim.models.convert.test_exporters import by_torchscript


def test_as_many_values_as_in_the_module(bundle):
    """The lanes agree on where quantizers stand."""
    module = QuantizationPlan.of(trace(bundle.module))
    found = GraphPlan.of(fold(by_torchscript(bundle)))
    assert len(found.edges) == len(module.edges)


def test_what_moves_values_passes_their_grid_on():
    nodes = [
        node("Relu", "x", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2]),
        node("Transpose", "p", "t", perm=[0, 1, 3, 2]),
        node("Conv", "t w"),
    ]
    plan = GraphPlan.of(graph(nodes, (3, 6, 6), w=values(4, 3, 1, 1)))
    assert plan.edges == ("r",)
    assert plan.inherits == {"p": "r", "t": "r"}


@pytest.mark.parametrize(
    ("filler", "passes"), [(None, True), (0.0, True), (1.0, False)], ids=["none", "zero", "one"]
)
def test_zeros_put_beside_values_lie_on_their_grid(filler, passes):
    given = {"pads": np.array([0, 1, 0, 0, 0, 0, 0, 0])}
    if filler is not None:
        given["c"] = np.float32(filler)
    nodes = [
        node("Relu", "x", "r"),
        node("Pad", "r pads c" if "c" in given else "r pads", "p"),
        node("Conv", "p w"),
    ]
    plan = GraphPlan.of(graph(nodes, (2, 6, 6), w=values(4, 3, 1, 1), **given))
    assert plan.edges == (("r",) if passes else ("p",))
    assert plan.inherits == ({"p": "r"} if passes else {})


def test_an_excluded_layer_keeps_its_input():
    nodes = [node("MatMul", "x a", "h", name="first"), node("MatMul", "h b", name="second")]
    model = graph(nodes, (4,), a=values(4, 4), b=values(4, 4))
    assert GraphPlan.of(model).edges == ("x", "h")
    assert GraphPlan.of(model, ["second"]).edges == ("x",)


def test_sizes_and_constants_are_not_quantized():
    nodes = [
        node("Shape", "x", "s"),
        node("Slice", "s zero one", "n"),
        node("Concat", "n rest", "shape", axis=0),
        node("Reshape", "x shape", "r"),
        node("Add", "r c", "a"),
        node("Relu", "a"),
    ]
    constants = {"zero": whole(0), "one": whole(1), "rest": whole(-1), "c": np.float32([0.5])}
    assert GraphPlan.of(graph(nodes, (4, 4), **constants)).edges == ()


@pytest.mark.parametrize(
    ("model", "edges"),
    [
        (recurrent(), ("m",)),
        (embedded(), ("m",)),
        (fold(upsampled()), ("x", "n", "z")),
    ],
)
def test_layers_without_an_integer_kernel_keep_their_inputs(model, edges):
    assert GraphPlan.of(model).edges == edges


def test_what_is_quantized_already_is_left_alone():
    nodes = [
        node("QuantizeLinear", "x s", "q"),
        node("DequantizeLinear", "q s", "d"),
        node("MatMul", "d w"),
    ]
    model = graph(nodes, (4,), w=values(4, 4), s=np.array(0.1, np.float32))
    assert GraphPlan.of(model).edges == ()
