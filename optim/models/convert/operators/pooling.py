"""Pooling."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from optim.models.convert.builder import Builder, Constant, Handler, Traced, Value
from optim.models.convert.operators.layers import explicit_pads, torch_pads
from optim.models.convert.reader import Operation

__all__ = ["POOLING", "global_average"]

_MAX: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d}
_AVERAGE: dict[int, Any] = {1: nn.AvgPool1d, 2: nn.AvgPool2d}
_GLOBAL: dict[int, Any] = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d}


def _window(op: Operation, x: Traced) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return sizes, steps and padding before and after of a pooling window."""
    kernel = [int(n) for n in op.attributes["kernel_shape"]]
    strides = [int(n) for n in op.get("strides", (1,) * len(kernel))]
    if len(kernel) not in _MAX or x.rank != len(kernel) + 2:
        raise op.refuse(f"has {len(kernel)} spatial dimensions; 1 and 2 are read")
    return kernel, strides, *explicit_pads(op, x.shape[2:], kernel, strides)


def _fits(pads: list[int], kernel: list[int]) -> bool:
    return all(0 <= pad <= size // 2 for pad, size in zip(pads, kernel, strict=True))


def _max_pool(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    kernel, strides, before, after = _window(op, x)
    if len([name for name in op.outputs if name]) > 1:
        raise op.refuse("also returns where the largest values are, which a module does not")
    dilations = tuple(op.get("dilations", (1,) * len(kernel)))
    if before != after or not _fits(before, kernel):
        lowest = float(torch.finfo(torch.float32).min)
        x = to.call("pad", x, torch_pads(before, after), "constant", lowest)
        before = [0] * len(kernel)
    ceil = bool(op.get("ceil_mode", 0))

    def make() -> nn.Module:
        pool: nn.Module = _MAX[len(kernel)](
            _one(kernel), _one(strides), _one(before), _one(dilations), ceil_mode=ceil
        )
        return pool

    return to.layer(op, "max_pool", make, x)


def _average_pool(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    kernel, strides, before, after = _window(op, x)
    if any(n != 1 for n in op.get("dilations", (1,))):
        raise op.refuse("has dilations, which average pooling in torch does not know")
    count, ceil = bool(op.get("count_include_pad", 0)), bool(op.get("ceil_mode", 0))

    def make() -> nn.Module:
        pool: nn.Module = _AVERAGE[len(kernel)](
            _one(kernel), _one(strides), _one(before), ceil, count
        )
        return pool

    if before == after and _fits(before, kernel):
        return to.layer(op, "avg_pool", make, x)
    padded = to.call("pad", x, torch_pads(before, after))
    spatial = x.shape[2:]
    inside = nn.functional.pad(torch.ones(1, 1, *spatial), torch_pads(before, after))
    before = [0] * len(kernel)
    pooled = to.layer(op, "avg_pool", make, padded)
    if count:
        return pooled
    share = 1 / make()(inside)  # padding does not count: divide by what is inside only
    return to.call("mul", pooled, to.constant_node(op, Constant.of(share.numpy())))


def _one(sizes: Any) -> Any:
    """Return one number where all dimensions agree, as layers are usually written."""
    sizes = tuple(int(n) for n in sizes)
    return sizes[0] if len(set(sizes)) == 1 else sizes


def global_average(to: Builder, op: Operation) -> Traced:
    """Return the mean over all positions ``(N, C, 1, ...)``."""
    x = to.traced(op)
    if x.rank - 2 not in _GLOBAL:
        raise op.refuse(f"pools {x.rank - 2} spatial dimensions; 1 and 2 are read")
    return to.layer(op, "pool", lambda: _GLOBAL[x.rank - 2](1), x)


def _global_max(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    return to.call("amax", x, tuple(range(2, x.rank)), True)


POOLING: dict[str, Handler] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": global_average,
    "GlobalMaxPool": _global_max,
}
