"""Convolutions, dense layers, normalisations and embeddings: what holds weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from optim.models.convert.builder import Builder, Constant, Handler, Traced, Value
from optim.models.convert.reader import Operation

__all__ = ["LAYERS", "embedding", "explicit_pads", "torch_pads"]

_CONVS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
_TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}


def explicit_pads(
    op: Operation, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return what is added before and after each spatial dimension.

    Args:
        op: A convolution or pooling.
        sizes: Spatial sizes of its input.
        kernel: Spatial sizes of its window.
        strides: Its steps.
    """
    dims = len(kernel)
    dilations = op.get("dilations", (1,) * dims)
    mode = op.get("auto_pad", "NOTSET")
    if mode == "VALID":
        return [0] * dims, [0] * dims
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        before, after = [], []
        for size, window, step, spread in zip(sizes, kernel, strides, dilations, strict=True):
            reach = (window - 1) * spread + 1
            missing = max(0, (-(-size // step) - 1) * step + reach - size)
            small, large = missing // 2, missing - missing // 2
            before.append(small if mode == "SAME_UPPER" else large)
            after.append(large if mode == "SAME_UPPER" else small)
        return before, after
    pads = list(op.get("pads", (0,) * (2 * dims)))
    return pads[:dims], pads[dims:]


def _filled(layer: nn.Module, **arrays: np.ndarray | None) -> nn.Module:
    """Give a layer its values; sizes must already agree."""
    for name, array in arrays.items():
        if array is None:
            continue
        value = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
        if name in layer._buffers:
            layer._buffers[name] = value
        else:
            layer.register_parameter(name, nn.Parameter(value))
    return layer


def _conv(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    weight = to.needed(op, 1, "its weights")
    bias = to.array(op, 2, "its bias")
    dims = weight.ndim - 2
    if dims not in _CONVS or x.rank != weight.ndim:
        raise op.refuse(f"has {dims} spatial dimensions; convolutions of 1 and 2 are read")
    group, strides = int(op.get("group", 1)), tuple(op.get("strides", (1,) * dims))
    before, after = explicit_pads(op, x.shape[2:], weight.shape[2:], strides)
    if before != after or any(n < 0 for n in before):
        x = to.call("pad", x, torch_pads(before, after))
        before = [0] * dims
    in_channels = weight.shape[1] * group
    if in_channels != x.shape[1] or weight.shape[0] % group:
        raise op.refuse(f"has weights for {in_channels} channels and is given {x.shape[1]}")
    dilations = tuple(op.get("dilations", (1,) * dims))

    def make() -> nn.Module:
        with torch.device("meta"):
            layer = _CONVS[dims](
                in_channels,
                weight.shape[0],
                tuple(weight.shape[2:]),
                strides,
                tuple(before),
                dilations,
                group,
                bias is not None,
            )
        return _filled(layer, weight=weight, bias=bias)

    return to.layer(op, "conv", make, x, weight=1)


def _conv_transpose(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    weight = to.needed(op, 1, "its weights")
    bias = to.array(op, 2, "its bias")
    dims = weight.ndim - 2
    if dims not in _TRANSPOSED or x.rank != weight.ndim:
        raise op.refuse(f"has {dims} spatial dimensions; convolutions of 1 and 2 are read")
    group, strides = int(op.get("group", 1)), tuple(op.get("strides", (1,) * dims))
    dilations = tuple(op.get("dilations", (1,) * dims))
    extra = list(op.get("output_padding", (0,) * dims))
    before, after = _transposed_pads(op, x.shape[2:], weight.shape[2:], strides, dilations, extra)
    # What ONNX cuts off behind less than before is what torch adds there.
    extra = [e + b - a for e, b, a in zip(extra, before, after, strict=True)]
    surplus = [max(0, -e) for e in extra]
    extra = [max(0, e) for e in extra]
    limits = [max(s, d) for s, d in zip(strides, dilations, strict=True)]
    if any(e >= limit for e, limit in zip(extra, limits, strict=True)):
        raise op.refuse(f"cuts off {before} before and {after} behind, which torch cannot")

    def make() -> nn.Module:
        with torch.device("meta"):
            layer = _TRANSPOSED[dims](
                weight.shape[0],
                weight.shape[1] * group,
                tuple(weight.shape[2:]),
                strides,
                tuple(before),
                tuple(extra),
                group,
                bias is not None,
                dilations,
            )
        return _filled(layer, weight=weight, bias=bias)

    result = to.layer(op, "conv_transpose", make, x, weight=1)
    if not any(surplus):
        return result
    ends = [size - more for size, more in zip(result.shape[2:], surplus, strict=True)]
    return to.call("slice", result, (slice(None), slice(None), *(slice(0, end) for end in ends)))


def _transposed_pads(
    op: Operation,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    extra: Sequence[int],
) -> tuple[list[int], list[int]]:
    dims, mode = len(kernel), op.get("auto_pad", "NOTSET")
    wanted = op.get("output_shape")
    if wanted is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * step for size, step in zip(sizes, strides, strict=True)]
    if wanted is None:
        pads = list(op.get("pads", (0,) * (2 * dims)))
        return ([0] * dims, [0] * dims) if mode == "VALID" else (pads[:dims], pads[dims:])
    before, after = [], []
    for i, target in enumerate(wanted[-dims:]):
        full = strides[i] * (sizes[i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1
        surplus = max(0, full - target)
        small, large = surplus // 2, surplus - surplus // 2
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return before, after


def torch_pads(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...]:
    """Return padding as torch counts it: last dimension first, before and after in turn."""
    pairs = list(zip(before, after, strict=True))
    return tuple(n for pair in reversed(pairs) for n in pair)


def _dense(weight: np.ndarray, bias: np.ndarray | None) -> nn.Module:
    """Return a dense layer for a weight ``(out, in)``."""
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    return _filled(layer, weight=weight, bias=bias)


def _gemm(to: Builder, op: Operation) -> Value:
    x, weight, bias = to.traced(op), to.value(op, 1), to.value(op, 2)
    alpha, beta = float(op.get("alpha", 1.0)), float(op.get("beta", 1.0))
    if op.get("transA", 0):
        x = to.call("permute", x, (1, 0))
    if isinstance(weight, Constant):
        kernel = weight.array if op.get("transB", 0) else weight.array.T
        kernel = kernel * np.float32(alpha) if alpha != 1 else kernel
        shift = None
        if isinstance(bias, Constant):
            shift = _row(bias.array, kernel.shape[0])
            shift = shift * np.float32(beta) if shift is not None else None
        if bias is None or shift is not None:
            return to.layer(op, "linear", lambda: _dense(kernel, shift), x, weight=1)
    other = to.traced(op, 1)
    result = to.call("matmul", x, to.call("permute", other, (1, 0)) if op.get("transB") else other)
    result = to.call("mul", result, alpha) if alpha != 1 else result
    if bias is None or beta == 0:
        return result
    added = to.traced(op, 2)
    return to.call("add", result, to.call("mul", added, beta) if beta != 1 else added)


def _row(array: np.ndarray, size: int) -> np.ndarray | None:
    """Return a constant that is the same for every sample as ``(size,)``."""
    if array.ndim > 2 or (array.ndim == 2 and array.shape[0] != 1):
        return None
    return (
        np.array(np.broadcast_to(array.reshape(-1), (size,))) if array.size in (1, size) else None
    )


def _matmul(to: Builder, op: Operation) -> Value:
    left, right = to.value(op, 0), to.value(op, 1)
    if isinstance(left, Traced) and isinstance(right, Constant) and right.array.ndim == 2:
        weight = right.array
        if weight.dtype == np.float32:
            return to.layer(op, "linear", lambda: _dense(weight.T, None), left, weight=1)
    return to.call("matmul", to.traced(op, 0), to.traced(op, 1))


def _batch_norm(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    scale, shift, mean, variance = (to.needed(op, i, "its statistics") for i in range(1, 5))
    if op.get("training_mode", 0) or len([name for name in op.outputs if name]) > 1:
        raise op.refuse("is in training mode; export the model in evaluation mode")
    if any(array.shape != (x.shape[1],) for array in (scale, shift, mean, variance)):
        raise op.refuse("has statistics for every position; only those by channel are read")
    if x.rank not in (2, 3, 4):
        raise op.refuse(f"normalises {x.rank - 2} spatial dimensions; at most 2 are read")
    momentum, epsilon = float(op.get("momentum", 0.9)), float(op.get("epsilon", 1e-5))

    def make() -> nn.Module:
        cls = nn.BatchNorm2d if x.rank == 4 else nn.BatchNorm1d
        layer = cls(len(scale), eps=epsilon, momentum=round(1 - momentum, 6))
        return _filled(layer, weight=scale, bias=shift, running_mean=mean, running_var=variance)

    return to.layer(op, "norm", make, x, weight=1)


def _layer_norm(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    scale, shift = to.needed(op, 1, "its scale"), to.array(op, 2, "its shift")
    if len([name for name in op.outputs if name]) > 1:
        raise op.refuse("also returns its statistics, which a module does not")
    axis = int(op.get("axis", -1)) % x.rank
    shape = x.shape[axis:]
    if any(i >= axis for i in x.batch_axes):
        raise op.refuse("normalises over the samples")

    def make() -> nn.Module:
        layer = nn.LayerNorm(shape, float(op.get("epsilon", 1e-5)), bias=shift is not None)
        values = [None if a is None else np.broadcast_to(a, shape) for a in (scale, shift)]
        return _filled(layer, weight=values[0], bias=values[1])

    return to.layer(op, "norm", make, x, weight=1)


def _instance_norm(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    scale, shift = to.needed(op, 1, "its scale"), to.needed(op, 2, "its shift")
    if x.rank not in (3, 4):
        raise op.refuse(f"normalises {x.rank - 2} spatial dimensions; 1 and 2 are read")

    def make() -> nn.Module:
        cls = nn.InstanceNorm2d if x.rank == 4 else nn.InstanceNorm1d
        layer = cls(len(scale), float(op.get("epsilon", 1e-5)), affine=True)
        return _filled(layer, weight=scale, bias=shift)

    return to.layer(op, "norm", make, x, weight=1)


def _group_norm(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    scale, shift = to.needed(op, 1, "its scale"), to.needed(op, 2, "its shift")
    groups, channels = int(op.attributes["num_groups"]), x.shape[1]
    if scale.size != channels:  # opset 18 has one value a group
        scale, shift = (np.repeat(a, channels // groups) for a in (scale, shift))

    def make() -> nn.Module:
        layer = nn.GroupNorm(groups, channels, float(op.get("epsilon", 1e-5)))
        return _filled(layer, weight=scale, bias=shift)

    return to.layer(op, "norm", make, x, weight=1)


def _local_response_norm(to: Builder, op: Operation) -> Value:
    size = int(op.attributes["size"])
    if size % 2 == 0:
        raise op.refuse(f"has an even size ({size}), for which torch counts other neighbours")
    alpha, beta = float(op.get("alpha", 1e-4)), float(op.get("beta", 0.75))
    bias = float(op.get("bias", 1.0))
    return to.layer(
        op, "norm", lambda: nn.LocalResponseNorm(size, alpha, beta, bias), to.traced(op)
    )


def embedding(to: Builder, op: Operation, weight: np.ndarray, index: Traced) -> Value:
    """Return the rows of a table of weights that whole numbers of the input name."""

    def make() -> nn.Module:
        return nn.Embedding.from_pretrained(torch.from_numpy(np.array(weight)), freeze=False)

    return to.layer(op, "embedding", make, index, weight=0)


def _dropout(to: Builder, op: Operation) -> Value:
    x = to.value(op, 0)
    ratio = to.array(op, 1, "its ratio") if op.opset >= 12 else None
    share = float(op.get("ratio", 0.5) if ratio is None else ratio.reshape(()))
    if len([name for name in op.outputs if name]) > 1 or not isinstance(x, Traced) or not share:
        return to.traced(op) if x is None else x
    return to.layer(op, "dropout", lambda: nn.Dropout(share), x)


LAYERS: dict[str, Handler] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LRN": _local_response_norm,
    "Dropout": _dropout,
}
