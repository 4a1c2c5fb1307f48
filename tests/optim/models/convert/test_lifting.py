"""Layers that files spell out as arithmetic are layers again."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from optim.layers.shortcut import ChannelPadShortcut
from tests.optim.models.convert.graphs import assert_converts, graph, layers_of, node, values, whole

IMAGE = (4, 6, 5)


def number(value):
    return np.array(value, dtype=np.float32)


GELU_TAIL = [node("Add", "e one", "g"), node("Mul", "x g", "p"), node("Mul", "p half")]
NUMBERS = {
    "root": number(math.sqrt(2)),
    "one": number(1),
    "half": number(0.5),
    "three": number(3),
    "zero": number(0),
    "six": number(6),
    "sixth": number(1 / 6),
    "c": number(math.sqrt(2 / math.pi)),
    "k": number(0.044715),
}

ACTIVATIONS = {
    "gelu": (nn.GELU, [node("Div", "x root", "d"), node("Erf", "d", "e"), *GELU_TAIL]),
    "gelu, half first": (
        nn.GELU,
        [
            node("Div", "x root", "d"),
            node("Erf", "d", "e"),
            node("Add", "one e", "g"),
            node("Mul", "half x", "h"),
            node("Mul", "h g"),
        ],
    ),
    "gelu by tanh": (
        nn.GELU,
        [
            node("Pow", "x three", "x3"),
            node("Mul", "x3 k", "kx3"),
            node("Add", "x kx3", "s"),
            node("Mul", "s c", "cs"),
            node("Tanh", "cs", "e"),
            *GELU_TAIL,
        ],
    ),
    "silu": (nn.SiLU, [node("Sigmoid", "x", "s"), node("Mul", "s x")]),
    "mish": (nn.Mish, [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Mul", "x t")]),
    "hardswish": (
        nn.Hardswish,
        [node("HardSigmoid", "x", "s", alpha=1 / 6, beta=0.5), node("Mul", "x s")],
    ),
    "hardswish by clip": (
        nn.Hardswish,
        [
            node("Add", "x three", "a"),
            node("Clip", "a zero six", "b"),
            node("Mul", "x b", "p"),
            node("Div", "p six"),
        ],
    ),
    "hardsigmoid by clip": (
        nn.Hardsigmoid,
        [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Mul", "b sixth")],
    ),
}


@pytest.mark.parametrize(("layer", "nodes"), ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_an_activation_function_is_one_layer(layer, nodes):
    used = {name for n in nodes for name in n.input}
    constants = {name: value for name, value in NUMBERS.items() if name in used}
    module = assert_converts(graph(nodes, IMAGE, opset=13, **constants), times=2)
    (found,) = layers_of(module).values()
    assert type(found) is layer
    assert len(module.graph.nodes) == 3, "input, layer, output"


NOT_QUITE = {
    "another gate": [node("Sigmoid", "h", "s"), node("Mul", "s x")],
    "another sign": [node("Sigmoid", "x", "s"), node("Sub", "x s")],
}


@pytest.mark.parametrize("nodes", NOT_QUITE.values(), ids=NOT_QUITE)
def test_what_only_looks_like_an_activation_function_is_left_alone(nodes):
    module = assert_converts(graph([node("Neg", "x", "h"), *nodes], IMAGE, opset=13))
    assert [type(layer) for layer in layers_of(module).values()] == [nn.Sigmoid]


def layer_norm(*, root="Sqrt", tail="Div"):
    nodes = [
        node("ReduceMean", "x", "mean", axes=[-1]),
        node("Sub", "x mean", "d"),
        node("Mul", "d d", "sq") if root == "Pow" else node("Pow", "d two", "sq"),
        node("ReduceMean", "sq", "var", axes=[-1]),
        node("Add", "var eps", "v"),
        node("Pow", "v half", "s") if root == "Pow" else node("Sqrt", "v", "s"),
    ]
    if tail == "Mul":
        nodes += [node("Reciprocal", "s", "i"), node("Mul", "d i", "n")]
    else:
        nodes += [node("Div", "d s", "n")]
    return [*nodes, node("Mul", "n norm1.weight", "m"), node("Add", "m norm1.bias")]


@pytest.mark.parametrize("form", [{}, {"root": "Pow"}, {"tail": "Mul"}], ids=str)
def test_a_layer_norm_of_nine_nodes_is_one_layer_with_its_name(form):
    numbers = {"eps": number(1e-3), "two": number(2), "half": number(0.5)}
    nodes = layer_norm(**form)
    used = {name for n in nodes for name in n.input}
    constants = {name: value for name, value in numbers.items() if name in used}
    model = graph(
        nodes, (3, 8), opset=13, norm1__weight=values(8), norm1__bias=values(8, seed=1), **constants
    )
    module = assert_converts(model, times=2)
    (layer,) = layers_of(module).values()
    assert isinstance(layer, nn.LayerNorm)
    assert layer.eps == pytest.approx(1e-3)
    assert layers_of(module).keys() == {"norm1"}
    assert {name for name, _ in module.named_parameters()} == {"norm1.weight", "norm1.bias"}


def test_an_instance_norm_between_reshapes_is_a_group_norm():
    nodes = [
        node("Reshape", "x apart", "a"),
        node("InstanceNormalization", "a ones zeros", "n"),
        node("Shape", "x", "shape"),
        node("Reshape", "n shape", "t"),
        node("Mul", "t w", "m"),
        node("Add", "m b"),
    ]
    model = graph(
        nodes,
        IMAGE,
        opset=13,
        apart=whole(0, 2, -1),
        ones=np.ones(2, np.float32),
        zeros=np.zeros(2, np.float32),
        w=values(4, 1, 1),
        b=values(4, 1, 1, seed=1),
    )
    module = assert_converts(model, times=2)
    (layer,) = layers_of(module).values()
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == 2
    assert torch.equal(layer.weight, torch.from_numpy(values(4)))


def test_a_shortcut_of_slices_and_zeros_is_one_layer():
    nodes = [
        node("Slice", "x zero end two steps", "rows"),
        node("Slice", "rows zero end three steps", "both"),
        node("Pad", "both pads"),
    ]
    model = graph(
        nodes,
        IMAGE,
        opset=13,
        zero=whole(0),
        end=whole(2**62),
        two=whole(2),
        three=whole(3),
        steps=whole(2),
        pads=whole(0, 1, 0, 0, 0, 3, 0, 0),
    )
    (layer,) = layers_of(assert_converts(model)).values()
    assert isinstance(layer, ChannelPadShortcut)
    assert layer.source.tolist() == [-1, 0, 1, 2, 3, -1, -1, -1]
    assert layer.stride == 2


SCALES = {
    "conv": (node("Conv", "x w", "c"), {"w": values(6, 4, 3, 3)}, 6),
    "grouped conv": (node("Conv", "x w", "c", group=2), {"w": values(6, 2, 3, 3)}, 6),
    "transposed conv": (node("ConvTranspose", "x w", "c"), {"w": values(4, 6, 3, 3)}, 6),
    "grouped transposed conv": (
        node("ConvTranspose", "x w", "c", group=2),
        {"w": values(4, 3, 3, 3)},
        6,
    ),
    "instance norm": (
        node("InstanceNormalization", "x w v", "c"),
        {"w": values(4), "v": values(4)},
        4,
    ),
}


@pytest.mark.parametrize(("layer", "constants", "channels"), SCALES.values(), ids=SCALES)
def test_scale_and_shift_of_channels_belong_to_the_layer_before(layer, constants, channels):
    nodes = [
        layer,
        node("Div", "c scale", "m"),
        node("Sub", "m shift", "s"),
        node("Mul", "more s", "t"),
        node("Add", "last t"),
    ]
    model = graph(
        nodes,
        IMAGE,
        opset=13,
        scale=values(channels, 1, 1, low=0.5),
        shift=values(1, channels, 1, 1, seed=1),
        more=values(channels, 1, 1, seed=2),
        last=values(channels, 1, 1, seed=3),
        **constants,
    )
    module = assert_converts(model, times=3)
    assert len(module.graph.nodes) == 3, "input, layer, output"


def test_a_constant_for_every_position_is_no_bias():
    model = graph(
        [node("Conv", "x w", "c"), node("Add", "c each")],
        IMAGE,
        w=values(6, 4, 3, 3),
        each=values(6, 4, 3),
    )
    module = assert_converts(model)
    assert [n.op for n in module.graph.nodes].count("get_attr") == 1
    assert isinstance(module.each, nn.Parameter)
