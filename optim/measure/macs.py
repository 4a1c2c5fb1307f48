"""Count parameters and multiply-accumulates, layer by layer.

One MAC is one multiplication and one addition, that is 2 FLOPs. Counted are convolutions, dense
layers and matrix products, for one sample; normalisations fold away and everything else is linear
in the number of activations. Weights that are zero still cost their MAC: dense kernels multiply
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor, fx, nn

from optim.layers.graph import (
    COMPUTE,
    attribute_of,
    kind_of,
    layer_of,
    propagate_shapes,
    trace,
)

__all__ = ["LayerCost", "costs_of", "einsum_macs", "layer_costs", "parameters_in"]


@dataclass(frozen=True)
class LayerCost:
    """Static cost of one layer with weights.

    Attributes:
        name: Dotted path of the layer.
        kind: ``"conv"``, ``"conv_transpose"``, ``"linear"``, ``"matmul"`` or ``"einsum"``.
        shape: Shape of the weight; empty for a product of two activations.
        params: Weights and biases of the deployed layer, batch norm folded in.
        macs: Multiply-accumulates for one sample.
        activations: Numbers it writes for one sample.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int
    macs: int
    activations: int


def layer_costs(module: nn.Module, input_shape: tuple[int, ...]) -> list[LayerCost]:
    """Return the cost of every layer that multiplies, in order of execution.

    Args:
        module: A traceable module.
        input_shape: Shape of one sample.
    """
    traced = trace(module)
    propagate_shapes(traced, input_shape)
    return costs_of(traced)


def costs_of(traced: fx.GraphModule) -> list[LayerCost]:
    """Return the costs in a traced graph whose shapes were propagated."""
    return [_cost(node) for node in traced.graph.nodes if kind_of(node) in _COUNTED]


def einsum_macs(equation: str, shapes: Sequence[Sequence[int]]) -> int:
    """Return one MAC for each combination of indices: what a product without detours takes.

    Args:
        equation: Such as ``"bij,bkj->bik"``; may have spaces and ellipses, whose axes are
            broadcast from the last one on.
        shapes: Of the factors. A single one is summed or transposed, and not multiplied.

    Example:
        >>> einsum_macs("... i j, jk -> ...ik", [(2, 3, 4), (4, 5)])
        120
    """
    if len(shapes) < 2:
        return 0
    sizes: dict[str, int] = {}
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    for term, shape in zip(terms, shapes, strict=False):  # a file may say what cannot be
        head, _, tail = term.partition("...")
        others = [str(place) for place in range(len(shape) - len(head) - len(tail), 0, -1)]
        for index, size in zip((*head, *others, *tail), shape, strict=False):
            sizes[index] = max(sizes.get(index, 1), size)
    return prod(sizes.values())


def parameters_in(traced: fx.GraphModule) -> int:
    """Return how many learned numbers a traced graph uses: of norms and embeddings as well.

    What two of its layers have in common counts once.
    """
    found: dict[int, int] = {}
    for node in traced.graph.nodes:
        own: list[Tensor] = []
        if node.op == "call_module":
            own = list(traced.get_submodule(str(node.target)).parameters())
        elif node.op == "get_attr":
            value = attribute_of(traced, str(node.target))
            own = [value] if isinstance(value, nn.Parameter) else []
        found |= {id(one): one.numel() for one in own}
    return sum(found.values())


_COUNTED = (*COMPUTE, "conv_transpose", "matmul", "einsum")


def _cost(node: fx.Node) -> LayerCost:
    outputs = prod(node.meta["shape"])
    if kind_of(node) == "matmul":
        inner = node.all_input_nodes[0].meta["shape"][-1]
        return LayerCost(node.name, "matmul", (), 0, outputs * inner, outputs)
    if kind_of(node) == "einsum":
        return LayerCost(node.name, "einsum", (), 0, _einsum_macs(node), outputs)
    weight = layer_of(node).get_parameter("weight")
    if kind_of(node) == "conv_transpose":
        # Every input meets every weight of its channel.
        macs = prod(node.all_input_nodes[0].meta["shape"]) * weight[0].numel()
    else:
        macs = outputs * weight[0].numel()
    params = sum(p.numel() for p in layer_of(node).parameters())
    return LayerCost(
        name=str(node.target),
        kind=kind_of(node),
        shape=tuple(weight.shape),
        params=params,
        macs=macs,
        activations=outputs,
    )


def _einsum_macs(node: fx.Node) -> int:
    shapes: list[tuple[int, ...]] = []

    def note(source: fx.Node) -> fx.Node:
        shapes.append(source.meta["shape"])
        return source

    fx.map_arg(node.args[1:], note)  # a value that is read twice is two factors
    return einsum_macs(str(node.args[0]), shapes)
