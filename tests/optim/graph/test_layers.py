"""Weights of a graph are seen as torch sees them, and go back as they were stored."""

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from optim.graph.fold import fold
from optim.graph.layers import (
    Layout,
    graph_layers,
    kept_layers,
    read_weights,
    replace_layer_weights,
    stored_weights,
)
from optim.layers.rewrite import weights_of
from optim.models.convert.parity import runtime_outputs
from tests.helpers import assert_similar
from tests.optim.graph.graphs import embedded, quantized, recurrent, upsampled
from tests.optim.models.convert.graphs import graph, node, values
from tests.optim.models.convert.test_exporters import by_torchscript


@pytest.mark.parametrize(
    ("layout", "shape", "rows"),
    [
        (Layout((0, 1, 2, 3)), (6, 3, 2, 2), (6, 3, 2, 2)),
        (Layout((1, 0, 2, 3)), (6, 4, 2, 2), (4, 6, 2, 2)),
        (Layout((1, 0)), (5, 7), (7, 5)),
        (Layout((2, 1, 0)), (2, 5, 7), (7, 5, 2)),
        (Layout((0, 1, 2), joined=2), (2, 16, 5), (32, 5)),
    ],
)
def test_a_layout_goes_both_ways(layout, shape, rows):
    stored = torch.arange(float(np.prod(shape))).reshape(shape)
    assert layout.rows(stored).shape == rows == layout.sizes(shape)
    assert torch.equal(layout.stored(layout.rows(stored), shape), stored)
    if layout.joined == 1:
        assert shape[layout.axis] == rows[0]


def test_the_weights_of_a_file_are_those_of_its_module(bundle):
    expected = [w.numpy() for w in weights_of(bundle.module).values()]
    found = [w.numpy() for w in read_weights(fold(by_torchscript(bundle))).values()]
    assert [w.shape for w in found] == [w.shape for w in expected]


def test_other_weights_have_another_result_and_the_given_graph_keeps_its_own():
    model = graph(node("Gemm", "x w", name="only"), (5,), w=values(5, 3))
    before = model.SerializeToString()
    changed = replace_layer_weights(model, {"only": torch.ones(3, 5)})
    assert model.SerializeToString() == before
    x = torch.arange(10.0).reshape(2, 5)
    expected = x.sum(1, keepdim=True).expand(2, 3)
    assert_similar(runtime_outputs(changed.SerializeToString(), x), expected)


@pytest.mark.parametrize("model", [recurrent(), embedded(), upsampled()])
def test_putting_the_same_weights_back_changes_nothing(model):
    again = replace_layer_weights(model, read_weights(model))
    assert again.SerializeToString() == model.SerializeToString()


def test_layers_have_the_name_of_their_node_or_of_its_output():
    nodes = [
        node("MatMul", "x a", "h", name="twice"),
        node("MatMul", "h b", "i", name="twice"),
        node("MatMul", "i b", "j"),
        node("MatMul", "j c"),
    ]
    model = graph(nodes, (4,), a=values(4, 4), b=values(4, 4), c=values(4, 4))
    # The second weight is read twice and belongs to the first who reads it.
    assert [layer.name for layer in graph_layers(model)] == ["h", "i", "y"]


def test_every_kind_of_weight_is_a_layer():
    found = [x for m in (recurrent(), embedded(), upsampled()) for x in graph_layers(m)]
    assert {(x.name, x.kind, x.sizes, x.bias) for x in found} == {
        ("rnn.W", "recurrent", (64, 5), "b"),
        ("rnn.R", "recurrent", (64, 8), "b"),
        ("words", "embedding", (12, 6), ""),
        ("head", "linear", (4, 16), ""),
        ("head", "linear", (4, 6), ""),
        ("down", "conv", (6, 3, 3, 3), ""),
        ("up", "conv_transpose", (4, 6, 2, 2), ""),
        ("out", "conv", (4, 4, 1, 1), ""),
    }


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_stored_as_integers_are_read_with_their_grid(per_channel, kind):
    model = quantized(per_channel, kind)
    (stored,) = stored_weights(model).values()
    assert kept_layers(model) == {"first": "the file stores its weights as integers already"}
    assert list(read_weights(model)) == ["head"]
    q, s, z = (numpy_helper.to_array(t) for t in model.graph.initializer[:3])
    expected = (q.astype(np.float32) - z.astype(np.float32)) * s
    assert_similar(stored.apply(torch.zeros(7, 5)), torch.from_numpy(expected.T.copy()))
    assert stored.grid.bits == 8
    assert stored.grid.symmetric
    assert len(stored.scale) == s.size


def test_weights_of_other_types_are_left_as_they_are():
    half = graph(
        [
            node("Cast", "x", "h", to=10),
            node("MatMul", "h w", "m", name="half"),
            node("Cast", "m", to=1),
        ],
        (4,),
        w=values(4, 4).astype(np.float16),
    )
    assert read_weights(half) == {}
    assert kept_layers(half) == {"half": "its weights are float16, and only float32 is changed"}


def test_what_is_no_weight_is_no_layer():
    """Products of two activations, sizes, and tables of other things than rows."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("MatMul", "x x", "m"),
        node("Gather", "cube n", "g"),
        node("Add", "m g"),
    ]
    constants = {"zero": np.array(0, np.int64), "cube": values(9, 2, 4, 4)}
    assert graph_layers(graph(nodes, (4, 4), **constants)) == []
