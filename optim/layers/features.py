"""Intermediate results of a network: where they are worth looking at, and how to get at them.

A *place* is the result of an activation function or a residual addition. Places of one size, such
as all 8x8 maps, form a *stage*, represented by its last place; hidden layers without positions
are stages of their own. Two networks are compared at stages of one size.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import Tensor, fx, nn

from optim.layers.graph import kind_of, nodes_of, propagate_shapes

__all__ = ["ObservedModule", "Place", "common_stages", "observed_graph", "places_of", "stages_of"]

_KINDS = frozenset({"relu", "relu6", "gelu", "silu", "hardswish", "mish", "sigmoid", "tanh", "add"})


@dataclass(frozen=True)
class Place:
    """One intermediate result.

    Attributes:
        node: Name of the node that makes it.
        size: Positions, such as ``(8, 8)``, ``(128,)`` or, without any, ``()``.
        channels: Numbers at a position.
        axis: Dimension of the channels: 1, or -1 for the tokens of a transformer.
    """

    node: str
    size: tuple[int, ...]
    channels: int
    axis: int


def places_of(module: nn.Module, input_shape: tuple[int, ...]) -> list[Place]:
    """Return the places of a module in evaluation mode, in order of execution.

    Args:
        module: Traceable.
        input_shape: Shape of one sample.
    """
    observed = _graph_module(module, ())
    propagate_shapes(observed, input_shape)
    return [
        _place(node, input_shape)
        for node in observed.graph.nodes
        if kind_of(node) in _KINDS and 2 <= len(node.meta.get("shape", ())) <= len(input_shape) + 1
    ]


def _place(node: fx.Node, input_shape: tuple[int, ...]) -> Place:
    shape = node.meta["shape"]
    if len(shape) == 3 and len(input_shape) == 3:
        return Place(node.name, shape[1:2], shape[2], -1)
    return Place(node.name, shape[2:], shape[1], 1)


def stages_of(places: list[Place]) -> list[Place]:
    """Return the last place of every size, and every place without positions."""
    last = {place.size: place for place in places}
    return [place for place in places if not place.size or last[place.size] is place]


def common_stages(student: list[Place], teacher: list[Place]) -> list[tuple[Place, Place]]:
    """Return the stages of one size in two networks; several of a size are paired from the end."""
    pairs = []
    left = list(teacher)
    for place in reversed(student):
        same = [other for other in left if other.size == place.size]
        if same:
            pairs.append((place, same[-1]))
            left.remove(same[-1])
    return pairs[::-1]


def observed_graph(module: nn.Module, places: list[Place]) -> fx.GraphModule:
    """Return a graph that gives the outputs of a module and a tuple of intermediate results.

    Its layers are those of the module, dropout and batch norm included, so that training one
    trains the other.
    """
    return _graph_module(module, tuple(place.node for place in places))


def _graph_module(module: nn.Module, names: tuple[str, ...]) -> fx.GraphModule:
    graph = copy.deepcopy(nodes_of(module)[0].graph)
    by_name = {node.name: node for node in graph.nodes}
    end = next(node for node in graph.nodes if node.op == "output")
    end.args = ((end.args[0], tuple(by_name[name] for name in names)),)
    graph.lint()
    return fx.GraphModule(module, graph)


class ObservedModule(nn.Module):
    """A module whose intermediate results are at hand while it is trained, and its helpers.

    Attributes:
        student: See :func:`observed_graph`.
        helpers: Further layers that learn along and are dropped afterwards.
    """

    def __init__(self, module: nn.Module, places: list[Place], helpers: list[nn.Module]) -> None:
        super().__init__()
        self.student = observed_graph(module, places)
        self.helpers = nn.ModuleList(helpers)
        self._features: tuple[Tensor, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the module."""
        outputs, features = self.student(x)
        if self.training:
            self._features = features
        return outputs

    def take(self) -> tuple[Tensor, ...]:
        """Return the intermediate results of the last training batch, once."""
        features, self._features = self._features, ()
        return features
