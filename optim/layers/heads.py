"""Attention heads: found in a network, so that they can leave it whole.

What is found is plain multi-head attention (Vaswani et al., Attention Is All You Need, 2017,
arXiv:1706.03762): queries, keys and values of dense layers, divided into heads of a fixed size,
and a dense layer that reads all heads side by side. Nothing in it knows how many heads there are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from optim.layers.graph import kind_of, nodes_of

__all__ = ["Attention", "find_attention"]

_BETWEEN = frozenset({"softmax", "mul", "identity"})
"""Kinds that stand between the two products, and treat all heads alike."""


@dataclass(frozen=True)
class Attention:
    """One multi-head attention.

    Attributes:
        makers: Names of the layers that make queries, keys and values, in order of execution.
        project: Name of the layer that reads all heads.
        head: Numbers of one head.
    """

    makers: tuple[str, ...]
    project: str
    head: int


def find_attention(module: nn.Module) -> tuple[Attention, ...]:
    """Return every attention of a module whose heads can leave, in order of execution."""
    found = []
    nodes = nodes_of(module)
    calls = Counter(str(node.target) for node in nodes if node.op == "call_module")
    for node in nodes:
        heads = _heads_read_by(module, node)
        if heads is None:
            continue
        sizes = {size for _, size in heads}
        makers = {maker for maker, _ in heads}
        widths = {module.get_submodule(str(maker.target)).out_features for maker in makers}
        project = module.get_submodule(str(node.target))
        once = all(calls[str(layer.target)] == 1 for layer in (*makers, node))
        if once and len(makers) == 3 and len(sizes) == 1 and widths == {project.in_features}:
            order = tuple(str(n.target) for n in nodes if n in makers)
            found.append(Attention(order, str(node.target), sizes.pop()))
    return tuple(found)


def _heads_read_by(module: nn.Module, project: fx.Node) -> tuple[tuple[fx.Node, int], ...] | None:
    """Return who makes values, queries and keys of what a layer reads, and the size of a head."""
    if kind_of(project) != "linear":
        return None
    mixed = _before(_before(_input(project), "flatten", (2,)), "transpose", (1, 2))
    if mixed is None or kind_of(mixed) != "matmul" or len(mixed.users) > 1:
        return None
    weights, values = mixed.args[:2]
    while isinstance(weights, fx.Node) and kind_of(weights) in _BETWEEN:
        constants = [a for a in weights.args[1:] if isinstance(a, fx.Node)]
        if constants or len(weights.users) > 1:
            return None
        weights = weights.args[0]
    if not isinstance(weights, fx.Node) or kind_of(weights) != "matmul" or len(weights.users) > 1:
        return None
    queries, keys = weights.args[:2]
    ends = ((2, 3), (3, 2), (-2, -1), (-1, -2))
    turned = next((n for axes in ends if (n := _before(keys, "transpose", axes))), None)
    heads = [_maker(module, node) for node in (values, queries, turned)]
    return None if None in heads else tuple(heads)  # type: ignore[arg-type]


def _maker(module: nn.Module, heads: Any) -> tuple[fx.Node, int] | None:
    """Return the layer whose outputs were divided into heads, and the size of a head."""
    divided = _before(heads, "transpose", (1, 2))
    if divided is None or kind_of(divided) != "unflatten" or len(divided.users) > 1:
        return None
    maker, axis, sizes = divided.args
    is_last = axis in (-1, 2)
    if not is_last or not isinstance(sizes, tuple) or len(sizes) != 2 or sizes[0] != -1:
        return None  # who states how many heads there are could not lose one
    if not isinstance(maker, fx.Node) or kind_of(maker) != "linear" or len(maker.users) > 1:
        return None
    return maker, int(sizes[1])  # type: ignore[arg-type]


def _input(node: fx.Node) -> Any:
    return node.args[0] if node.args else None


def _before(node: Any, kind: str, arguments: tuple[int, ...]) -> fx.Node | None:
    """Return what a node takes, if it is of a kind, has these arguments, and serves one reader."""
    if not isinstance(node, fx.Node) or kind_of(node) != kind or len(node.users) > 1:
        return None
    source = node.args[0]
    return source if node.args[1:] == arguments and isinstance(source, fx.Node) else None
