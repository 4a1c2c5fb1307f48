"""Take back the changes of layout around layers that exporters of channels-last models write.

TensorFlow keeps channels last, torch and ONNX keep them first, so that every convolution of such a
file may stand between two transpositions. A transposition is moved behind what treats every value
alike, until it meets its opposite and both go.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.layers.functions import BINARY, REDUCTIONS, UNARY
from optim.layers.quantized_graph import FakeQuantize
from optim.models.convert.builder import Builder, Traced
from optim.models.convert.rewriting import (
    args_of,
    constant_of,
    is_call,
    layer_at,
    replace,
    value_of,
)

__all__ = ["settle_layout", "take_channels_first"]

_ALIKE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid),
    *(nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardsigmoid, nn.Hardswish, nn.Dropout, FakeQuantize),
)
"""Layers that treat every value alike, wherever it stands."""

_FIRST = (0, 3, 1, 2)
_MOVES = 20
"""Moves for each node of a graph, after which what is left stays where it is."""


def take_channels_first(to: Builder) -> None:
    """Let the module take images with channels first; the file transposes them first of all."""
    (image,) = (node for node in to.graph.nodes if node.op == "placeholder")
    value = value_of(image)
    users = list(image.users)
    assert all(_order(user) == _FIRST for user in users)
    first, second = (torch.permute(sample, _FIRST) for sample in value.samples)
    image.meta["value"] = Traced(image, (first, second))
    for user in users:
        user.replace_all_uses_with(image)
        to.drop(user)


def settle_layout(to: Builder) -> None:
    """Move transpositions down and remove those that cancel, in place."""
    left = _MOVES * len(to.graph.nodes)
    changed = True
    while changed and left > 0:
        changed = False
        for node in list(to.graph.nodes):
            if (
                _order(node) is not None
                and node.users
                and (_cancelled(to, node) or _moved(to, node))
            ):
                changed, left = True, left - 1


def _order(node: Any) -> tuple[int, ...] | None:
    return tuple(args_of(node)[1]) if is_call(node, "permute") else None


def _cancelled(to: Builder, node: fx.Node) -> bool:
    """Join a transposition with the one it reads."""
    source = node.all_input_nodes[0]
    inner, outer = _order(source), _order(node)
    if inner is None or outer is None:
        return False
    joined = tuple(inner[axis] for axis in outer)
    x = value_of(source.all_input_nodes[0])
    if joined == tuple(range(len(joined))):
        replace(to, node, lambda: x)
    else:
        replace(to, node, lambda: to.call("permute", x, joined))
    return True


def _moved(to: Builder, node: fx.Node) -> bool:
    """Move a transposition behind one of its readers, if it may stand there as well.

    For the other readers it stays where it is.
    """
    order = _order(node)
    assert order is not None
    return any(_moved_behind(to, user, order) for user in list(node.users))


def _moved_behind(to: Builder, user: fx.Node, order: tuple[int, ...]) -> bool:
    if layer_at(to, user, *_ALIKE) is not None:
        path, x = str(user.target), value_of(user.all_input_nodes[0].all_input_nodes[0])
        if sum(str(n.target) == path for n in to.graph.nodes) > 1:
            return False
        replace(to, user, lambda: to.call("permute", to.call_layer(path, x), order))
        return True
    if _moved_behind_reduction(to, user, order) or _moved_behind_pad(to, user, order):
        return True
    kind = next((k for k in (*BINARY, *UNARY, "concat") if is_call(user, k)), None)
    if kind is None:
        return False
    inner = _arguments(to, user, order, kind)
    if inner is None:
        return False
    args, kwargs = inner
    replace(to, user, lambda: to.call("permute", to.call(kind, *args, **kwargs), order))
    return True


def _moved_behind_reduction(to: Builder, user: fx.Node, order: tuple[int, ...]) -> bool:
    kind = next((k for k in REDUCTIONS if is_call(user, k)), None)
    if kind is None:
        return False
    _, axes, keep = args_of(user)
    inner = tuple(sorted(order[axis % len(order)] for axis in axes))
    left = [axis for axis in order if axis not in inner]
    if not keep and left != sorted(left):
        return False
    x = value_of(user.all_input_nodes[0].all_input_nodes[0])

    def make() -> Traced:
        if kind == "mean" and x.rank == 4 and inner == (2, 3):
            path = to.new_layer("", "pool", nn.AdaptiveAvgPool2d(1))
            pooled = to.call_layer(path, x)
            return to.call("permute", pooled, order) if keep else to.call("flatten", pooled, 1)
        reduced = to.call(kind, x, inner, keep)
        return to.call("permute", reduced, order) if keep else reduced

    replace(to, user, make)
    return True


def _moved_behind_pad(to: Builder, user: fx.Node, order: tuple[int, ...]) -> bool:
    if not is_call(user, "pad") or tuple(args_of(user)[2:3]) not in ((), ("constant",)):
        return False
    widths = args_of(user)[1]
    pairs = [widths[i : i + 2] for i in range(0, len(widths), 2)]
    by_axis = {order[len(order) - 1 - i]: pair for i, pair in enumerate(pairs)}
    inner = [by_axis.get(axis, (0, 0)) for axis in reversed(range(len(order)))]
    while inner and inner[-1] == (0, 0):
        inner.pop()
    x = value_of(user.all_input_nodes[0].all_input_nodes[0])
    spread = tuple(width for pair in inner for width in pair)
    rest = args_of(user)[2:]
    replace(to, user, lambda: to.call("permute", to.call("pad", x, spread, *rest), order))
    return True


def _arguments(
    to: Builder, user: fx.Node, order: tuple[int, ...], kind: str
) -> tuple[list[Any], dict[str, Any]] | None:
    """Return what a call takes if nothing is transposed before it, or None if that cannot be."""
    if kind == "concat":
        parts, axis = args_of(user)
        before = [_before(to, part, order) for part in parts]
        if any(part is None for part in before):
            return None
        return [before, order[axis % len(order)]], {}
    args: list[Any] = []
    for part in args_of(user):
        if not isinstance(part, fx.Node):
            args.append(part)
            continue
        found = _before(to, part, order)
        if found is None:
            return None
        args.append(found)
    return args, dict(user.kwargs)


def _before(to: Builder, part: Any, order: tuple[int, ...]) -> Traced | None:
    """Return what a transposition gives ``part`` from; of a constant, the constant moved back."""
    if _order(part) == order:
        return value_of(part.all_input_nodes[0])
    constant = constant_of(to, part)
    if constant is None or len(part.users) != 1:
        return None
    spread = constant.reshape(*[1] * (len(order) - constant.ndim), *constant.shape)
    back = [order.index(axis) for axis in range(len(order))]
    _set_constant(to, part, spread.permute(*back).contiguous())
    return value_of(part)


def _set_constant(to: Builder, node: fx.Node, constant: Tensor) -> None:
    path, _, name = str(node.target).rpartition(".")
    holder = to.root.get_submodule(path)
    if name in holder._parameters:
        holder.register_parameter(name, nn.Parameter(constant))
    else:
        holder.register_buffer(name, constant)
    empty = constant.to("meta")
    node.meta["value"] = Traced(node, (empty, empty))
