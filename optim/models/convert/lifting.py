"""Find layers in what files spell out as arithmetic.

Exporters take layers apart: a GELU becomes five operations, a layer norm nine, the bias of a dense
layer an addition. Here they are put together again, so that every technique meets the layer.
Found are products (activation functions), normalisations, what only scales and shifts channels
behind a layer with weights, and the parameter-free shortcut.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.layers.shortcut import ChannelPadShortcut
from optim.models.convert.builder import Builder, Traced
from optim.models.convert.rewriting import (
    args_of,
    constant_of,
    factors,
    is_call,
    layer_at,
    number_of,
    only_user,
    replace,
    value_of,
)

__all__ = ["lift"]


def lift(to: Builder) -> None:
    """Put layers together, in place."""
    _lift_products(to)
    _lift_layer_norms(to)
    _lift_group_norms(to)
    _lift_shortcuts(to)
    _absorb_scales(to)
    _shorten_names(to)


# --- activation functions -----------------------------------------------------------------------


def _lift_products(to: Builder) -> None:
    for node in reversed(list(to.graph.nodes)):
        if node.graph is not to.graph or not (is_call(node, "mul") or is_call(node, "div")):
            continue
        if not node.users:
            continue
        parts, number = factors(node)
        found = _activation(to, parts, number)
        if found is not None:
            name, layer, source = found
            _replace_by_layer(to, node, name, layer, source)


def _activation(
    to: Builder, parts: list[fx.Node], number: float
) -> tuple[str, nn.Module, fx.Node] | None:
    """Return name, layer and input of the activation function a product is, or None."""
    if len(parts) == 1:
        source = _relu6_of_three_more(to, parts[0])
        if source is not None and _near(number, 1 / 6):
            return "hardsigmoid", nn.Hardsigmoid(), source
        return None
    if len(parts) != 2:
        return None
    for gate, x in (parts, parts[::-1]):
        if _near(number, 1.0):
            if layer_at(to, gate, nn.Sigmoid) and args_of(gate)[0] is x:
                return "silu", nn.SiLU(), x
            if layer_at(to, gate, nn.Hardsigmoid) and args_of(gate)[0] is x:
                return "hardswish", nn.Hardswish(), x
            if layer_at(to, gate, nn.Tanh) and layer_at(to, args_of(gate)[0], nn.Softplus):
                softplus = args_of(gate)[0]
                if isinstance(softplus, fx.Node) and args_of(softplus)[0] is x:
                    return "mish", nn.Mish(), x
        if _near(number, 1 / 6) and _relu6_of_three_more(to, gate) is x:
            return "hardswish", nn.Hardswish(), x
        if _near(number, 0.5) and _is_one_more_than_erf(gate, x):
            return "gelu", nn.GELU(), x
        if _near(number, 0.5) and _is_one_more_than_tanh(to, gate, x):
            return "gelu", nn.GELU("tanh"), x
    return None


def _near(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=1e-4)


def _plus(node: Any, number: float) -> fx.Node | None:
    """Return what a node adds a number to, or None."""
    if not is_call(node, "add"):
        return None
    for source, other in (args_of(node), args_of(node)[::-1]):
        if isinstance(source, fx.Node) and _near(number_of(other) or 0.0, number):
            return source
    return None


def _relu6_of_three_more(to: Builder, node: Any) -> fx.Node | None:
    return _plus(args_of(node)[0], 3.0) if layer_at(to, node, nn.ReLU6) else None


def _is_one_more_than_erf(node: fx.Node, x: fx.Node) -> bool:
    inner = _plus(node, 1.0)
    if inner is None or not is_call(inner, "erf") or not isinstance(args_of(inner)[0], fx.Node):
        return False
    parts, number = factors(args_of(inner)[0])
    return parts == [x] and _near(number, math.sqrt(0.5))


def _is_one_more_than_tanh(to: Builder, node: fx.Node, x: fx.Node) -> bool:
    inner = _plus(node, 1.0)
    if (
        inner is None
        or not layer_at(to, inner, nn.Tanh)
        or not isinstance(args_of(inner)[0], fx.Node)
    ):
        return False
    parts, number = factors(args_of(inner)[0])
    if len(parts) != 1 or not _near(number, math.sqrt(2 / math.pi)) or not is_call(parts[0], "add"):
        return False
    for own, cube in (args_of(parts[0]), args_of(parts[0])[::-1]):
        if own is x and isinstance(cube, fx.Node):
            inside, scale = factors(cube)
            is_cube = len(inside) == 1 and is_call(inside[0], "pow")
            is_cube = (
                is_cube and args_of(inside[0])[0] is x and number_of(args_of(inside[0])[1]) == 3
            )
            return _near(scale, 0.044715) and (is_cube or inside == [x, x, x])
    return False


def _replace_by_layer(
    to: Builder, node: fx.Node, name: str, layer: nn.Module, *sources: fx.Node, wanted: str = ""
) -> fx.Node:
    values = [value_of(source) for source in sources]
    wanted = wanted or _scope(to, node, name)
    return replace(to, node, lambda: to.call_layer(to.new_layer(wanted, name, layer), *values))


def _scope(to: Builder, node: fx.Node, name: str) -> str:
    """Return a path for a layer beside those whose results it takes."""
    queue, seen = list(node.all_input_nodes), set()
    while queue:
        source = queue.pop(0)
        if source in seen:
            continue
        seen.add(source)
        if source.op == "call_module":
            above = str(source.target).rpartition(".")[0]
            return f"{above}.{name}" if above else name
        queue.extend(source.all_input_nodes)
    return name


# --- normalisations -----------------------------------------------------------------------------


def _lift_layer_norms(to: Builder) -> None:
    for node in list(to.graph.nodes):
        found = _standardised(node)
        if found is None:
            continue
        x, axes, epsilon = found
        value = value_of(x)
        if axes != tuple(range(value.rank - len(axes), value.rank)):
            continue
        layer = nn.LayerNorm(value.shape[-len(axes) :], epsilon)
        user = only_user(node)
        scale = (
            next((n for n in args_of(user) if constant_of(to, n) is not None), None)
            if user
            else None
        )
        wanted = str(scale.target) if isinstance(scale, fx.Node) else ""
        name = wanted.rpartition(".")[0] if wanted.endswith((".weight", ".gamma")) else wanted
        _replace_by_layer(to, node, "norm", layer, x, wanted=name)


def _standardised(node: fx.Node) -> tuple[fx.Node, tuple[int, ...], float] | None:
    """Return what a node centres and divides by its standard deviation, along what, and epsilon."""
    if is_call(node, "div"):
        centred, spread = args_of(node)
    elif is_call(node, "mul"):
        centred, spread = sorted(args_of(node), key=lambda n: is_call(n, "reciprocal"))
        if not is_call(spread, "reciprocal"):
            return None
        spread = args_of(spread)[0]
    else:
        return None
    if not is_call(centred, "sub") or not _is_root(spread):
        return None
    assert isinstance(centred, fx.Node)
    assert isinstance(spread, fx.Node)
    x, mean = args_of(centred)
    shifted = args_of(spread)[0]
    if not is_call(mean, "mean") or args_of(mean)[0] is not x or not is_call(shifted, "add"):
        return None
    for variance, number in (args_of(shifted), args_of(shifted)[::-1]):
        epsilon = number_of(number)
        if (
            epsilon is None
            or not is_call(variance, "mean")
            or args_of(variance)[1] != args_of(mean)[1]
        ):
            continue
        if _is_square(args_of(variance)[0], centred, x, mean) and isinstance(x, fx.Node):
            rank = value_of(x).rank
            axes = tuple(axis % rank for axis in args_of(mean)[1])
            keeps = bool(args_of(mean)[2]) and bool(args_of(variance)[2])
            return (x, axes, epsilon) if keeps else None
    return None


def _is_root(node: Any) -> bool:
    return is_call(node, "sqrt") or (is_call(node, "pow") and number_of(args_of(node)[1]) == 0.5)


def _is_square(node: Any, centred: fx.Node, x: Any, mean: Any) -> bool:
    """Whether a node is the square of the centred values, computed anew or not."""
    args = args_of(node) if isinstance(node, fx.Node) else ()
    is_power = is_call(node, "pow") and number_of(args[1]) == 2
    if not is_power and not (is_call(node, "mul") and args[0] is args[1]):
        return False
    inside = args[0]
    return inside is centred or (is_call(inside, "sub") and args_of(inside) == (x, mean))


def _lift_group_norms(to: Builder) -> None:
    """Find a group norm in an instance norm between two changes of shape."""
    for node in list(to.graph.nodes):
        layer = layer_at(to, node, nn.InstanceNorm1d, nn.InstanceNorm2d)
        if layer is None:
            continue
        before, after = node.all_input_nodes[0], only_user(node)
        if after is None or not _reshapes(before) or not _reshapes(after):
            continue
        x = before.all_input_nodes[0]
        value, inside = value_of(x), value_of(before)
        if value.shape != value_of(after).shape or value.batch_axes != (0,):
            continue
        groups, channels = inside.shape[1], value.shape[1]
        if inside.batch_axes != (0,) or channels % groups:
            continue
        assert isinstance(layer, nn.InstanceNorm1d | nn.InstanceNorm2d)
        norm = nn.GroupNorm(groups, channels, layer.eps)
        with torch.no_grad():
            norm.weight.copy_(layer.weight.repeat_interleave(channels // groups))
            norm.bias.copy_(layer.bias.repeat_interleave(channels // groups))
        _replace_by_layer(to, after, "norm", norm, x, wanted=_norm_name(str(node.target)))


def _norm_name(path: str) -> str:
    head, _, tail = path.rpartition(".")
    return head if tail.startswith("InstanceNormalization") else path


def _reshapes(node: fx.Node) -> bool:
    return any(is_call(node, kind) for kind in ("reshape", "flatten", "unsqueeze"))


def _shorten_names(to: Builder) -> None:
    """Let a norm that was put together have the name of what its constants were part of."""
    targets = {str(n.target) for n in to.graph.nodes if n.op in ("call_module", "get_attr")}
    for node in to.graph.nodes:
        above, _, name = str(node.target).rpartition(".")
        if node.op != "call_module" or name != "norm" or not above:
            continue
        if sum(target == above or target.startswith(f"{above}.") for target in targets) == 1:
            to.place(above, to.root.get_submodule(str(node.target)))
            node.target = above


# --- what belongs to the layer before -----------------------------------------------------------

_SCALABLE = (
    nn.Conv1d,
    nn.Conv2d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.LayerNorm,
)
_SIGNS = {"add": 1.0, "sub": -1.0}


def _absorb_scales(to: Builder) -> None:
    """Let layers take over the scale and the shift of their channels that follow them."""
    for node in list(to.graph.nodes):
        layer = layer_at(to, node, *_SCALABLE)
        calls = [n for n in to.graph.nodes if n.op == "call_module" and n.target == node.target]
        if layer is None or len(calls) != 1:
            continue
        while (user := only_user(node)) is not None and _absorbed(to, node, layer, user):
            user.replace_all_uses_with(node)
            constants = [n for n in user.all_input_nodes if n is not node]
            to.drop(user)
            for constant in constants:
                if not constant.users:
                    to.drop(constant)


def _absorbed(to: Builder, node: fx.Node, layer: nn.Module, user: fx.Node) -> bool:
    """Change a layer so that it does what its one reader does with a constant, if it can."""
    kind = next((k for k in ("add", "sub", "mul", "div") if is_call(user, k)), "")
    if not kind:
        return False
    first = args_of(user)[0] is node
    constant = constant_of(to, args_of(user)[1 if first else 0])
    if constant is None or (kind in ("sub", "div") and not first):
        return False
    row = _by_channel(constant, value_of(node), layer)
    if row is None:
        return False
    with torch.no_grad():
        if kind in _SIGNS:
            shift = row * _SIGNS[kind]
            bias = layer.bias if isinstance(layer.bias, Tensor) else torch.zeros_like(shift)
            layer.register_parameter("bias", nn.Parameter(bias.detach() + shift))
            return True
        factor = row if kind == "mul" else 1 / row
        _scale_(layer, factor)
    return True


def _by_channel(constant: Tensor, value: Traced, layer: nn.Module) -> Tensor | None:
    """Return a constant as one number for each output of a layer, or None if it is not that."""
    if isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1:
        return None
    is_dense = isinstance(layer, nn.Linear | nn.LayerNorm)
    axis = value.rank - 1 if is_dense else 1
    channels = value.shape[axis]
    shape = (*[1] * (value.rank - constant.ndim), *constant.shape)
    wanted = tuple(channels if i == axis else 1 for i in range(value.rank))
    if shape != wanted or axis in value.batch_axes:
        return None
    return constant.reshape(-1)


def _scale_(layer: nn.Module, factor: Tensor) -> None:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
        by_group = factor.reshape(layer.groups, -1)
        per_input = by_group.repeat_interleave(weight.shape[0] // layer.groups, dim=0)
        spread = per_input.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))
    else:
        spread = factor.reshape(-1, *[1] * (weight.ndim - 1))
    layer.register_parameter("weight", nn.Parameter(weight.detach() * spread))
    if isinstance(layer.bias, Tensor):
        layer.register_parameter("bias", nn.Parameter(layer.bias.detach() * factor))


# --- shortcuts ----------------------------------------------------------------------------------


def _lift_shortcuts(to: Builder) -> None:
    """Find the parameter-free shortcut: every second position, and channels of zeros."""
    for node in list(to.graph.nodes):
        if not is_call(node, "pad") or tuple(args_of(node)[2:]) not in ((), ("constant", 0.0)):
            continue
        widths = args_of(node)[1]
        if not isinstance(widths, tuple) or len(widths) != 6 or any(widths[:4]):
            continue
        if min(widths[4:]) < 0:
            continue
        source, strides = node.all_input_nodes[0], [1, 1]
        while is_call(source, "slice") and len(source.users) == 1:
            cut = _strides(source)
            if cut is None:
                break
            strides = [a * b for a, b in zip(strides, cut, strict=True)]
            source = source.all_input_nodes[0]
        value = value_of(source)
        if value.rank != 4 or strides[0] != strides[1]:
            continue
        before, after = widths[4:]
        index = torch.full((value.shape[1] + before + after,), -1)
        index[before : before + value.shape[1]] = torch.arange(value.shape[1])
        layer = ChannelPadShortcut.from_source(index, value.shape[1], strides[0])
        _replace_by_layer(to, node, "shortcut", layer, source)


def _strides(node: fx.Node) -> tuple[int, int] | None:
    """Return the steps of a slice that only subsamples height and width, or None."""
    parts = args_of(node)[1]
    assert isinstance(parts, tuple)
    shape = value_of(node.all_input_nodes[0]).shape
    steps = [1] * len(shape)
    for axis, part in enumerate(parts):
        start, stop, step = part.indices(shape[axis])
        if start or stop != shape[axis]:
            return None
        steps[axis] = step
    return (steps[2], steps[3]) if len(steps) == 4 and steps[:2] == [1, 1] else None
