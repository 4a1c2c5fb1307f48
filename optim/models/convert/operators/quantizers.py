"""QuantizeLinear and DequantizeLinear: values on grids, in floating point.

A pair around an activation becomes one quantizer in the graph under construction; a weight behind
DequantizeLinear becomes the floats its integers stand for, and its grid is noted. What becomes of
both is settled in :mod:`optim.models.convert.grids`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from optim.layers.grid import Grid
from optim.layers.quantized_graph import FakeQuantize
from optim.layers.table import QuantizedEdge
from optim.models.convert.builder import Builder, Constant, Handler, StoredGrid, Traced, Value
from optim.models.convert.reader import Operation
from optim.models.convert.rewriting import layer_at

__all__ = ["QUANTIZERS"]

_WIDEST = 16
"""Bits of the widest integers that are a grid; biases of 32 bits only follow from the others'."""


def _quantize(to: Builder, op: Operation) -> Value:
    x = to.value(op, 0)
    scale, zero, dtype = _parameters(to, op, 1)
    qmin, qmax = _limits(op, dtype)
    if isinstance(x, Constant):
        scales, zeros = (_along(op, part, x.array) for part in (scale, zero))
        codes = np.rint(x.array / scales) + zeros
        return Constant.of(codes.clip(qmin, qmax).astype(dtype), x.name)
    if scale.size != 1:
        raise op.refuse("has a scale for each channel of an activation; one for all is read")
    zero_point = int(zero.reshape(()))
    grid = Grid(qmin, qmax, symmetric=qmin < 0 and zero_point == 0)
    edge = QuantizedEdge(grid, float(scale.reshape(())), zero_point)
    return to.call_layer(to.new_layer("", "grid", FakeQuantize(edge)), to.traced(op))


def _dequantize(to: Builder, op: Operation) -> Value:
    x = to.value(op, 0)
    scale, zero, dtype = _parameters(to, op, 1)
    if isinstance(x, Traced):
        quantizer = layer_at(to, x.node, FakeQuantize)
        if quantizer is None:
            raise op.refuse("reads integers that are computed; only those of QuantizeLinear are")
        assert isinstance(quantizer, FakeQuantize)
        same = (quantizer.edge.scale, quantizer.edge.zero_point)
        if scale.size != 1 or same != (float(scale.reshape(())), int(zero.reshape(()))):
            raise op.refuse("reads an activation by another grid than the one it was put on")
        return x
    codes = to.needed(op, 0, "what it reads")
    scales, zeros = (_along(op, part, codes) for part in (scale, zero))
    centred = codes.astype(np.int64) - zeros
    name = _name(to.name_of(op, 0), op)
    made = Constant.of(centred.astype(np.float32) * scales, name, is_learned=True)
    qmin, qmax = _limits(op, codes.dtype if dtype is None else dtype)
    if (qmax - qmin).bit_length() <= _WIDEST:
        to.grids[name] = StoredGrid(qmin, qmax, scale.reshape(-1), zero.reshape(-1))
    return made


def _parameters(to: Builder, op: Operation, index: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return scale, zero point (of the scale's size) and type of the integers."""
    if op.get("block_size", 0):
        raise op.refuse("has a scale for each block; one for a tensor or a channel is read")
    scale = to.needed(op, index, "its scale").astype(np.float32)
    zero = to.array(op, index + 1, "its zero point")
    if zero is None:
        given = to.value(op, 0)
        whole = isinstance(given, Constant) and given.array.dtype.name.lstrip("u").startswith("int")
        dtype = given.array.dtype if whole and isinstance(given, Constant) else np.dtype(np.uint8)
        return scale, np.zeros(scale.shape, dtype=np.int64), dtype
    if zero.size != scale.size or not (scale > 0).all():
        raise op.refuse("has scales that are not above zero, or not one for each zero point")
    return scale, zero.astype(np.int64), zero.dtype


def _limits(op: Operation, dtype: Any) -> tuple[int, int]:
    """Return the smallest and largest integer of a type, of 2 to 32 bits."""
    kind = re.fullmatch(r"(u?)int(\d+)", np.dtype(dtype).name)
    if kind is None:
        raise op.refuse(f"stores {np.dtype(dtype).name}; integers are read")
    bits = int(kind[2])
    return (0, 2**bits - 1) if kind[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _along(op: Operation, part: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Return scales or zero points so that they spread over the axis they belong to."""
    if part.size == 1:
        return part.reshape(())
    axis = int(op.get("axis", 1)) % array.ndim
    if part.size != array.shape[axis]:
        raise op.refuse(f"has {part.size} scales for an axis of {array.shape[axis]}")
    return part.reshape(-1, *[1] * (array.ndim - axis - 1))


def _name(stored: str, op: Operation) -> str:
    """Return what a weight was called before it was put on a grid."""
    return (stored or op.outputs[0]).removesuffix("_quantized")


QUANTIZERS: dict[str, Handler] = {
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": _quantize,
}
"""``{ONNX operator: what makes grids of it}``."""
