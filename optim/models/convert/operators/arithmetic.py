"""Arithmetic value by value, comparisons, matrix products by index, and types."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import TensorProto

from optim.models.convert.builder import Builder, Constant, Handler, Traced, Value
from optim.models.convert.reader import Operation

__all__ = ["ARITHMETIC"]

_TYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float32,
    TensorProto.BFLOAT16: torch.float32,
    TensorProto.DOUBLE: torch.float32,
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int64,
    TensorProto.BOOL: torch.bool,
}


def _unary(kind: str) -> Handler:
    def handle(to: Builder, op: Operation) -> Value:
        return to.call(kind, to.traced(op))

    return handle


def _binary(kind: str) -> Handler:
    def handle(to: Builder, op: Operation) -> Value:
        if op.opset < 7 or op.get("broadcast"):
            raise op.refuse("broadcasts as it was done before opset 7")
        left, right = to.operand(op, 0), to.operand(op, 1)
        return _call(to, op, kind, left, right)

    return handle


def _call(to: Builder, op: Operation, kind: str, left: Any, right: Any) -> Value:
    """Add a function of two operands, one of which may be a number."""
    tensors = [v for v in (left, right) if isinstance(v, Traced)]
    if kind in ("div", "pow") and any(not v.samples[0].is_floating_point() for v in tensors):
        raise op.refuse("divides whole numbers of the input")
    if not isinstance(left, Traced) or (kind in _TENSORS_ONLY and len(tensors) < 2):
        if kind in ("minimum", "maximum"):
            bound = "max" if kind == "minimum" else "min"
            number = right if isinstance(left, Traced) else left
            return to.call("clip", tensors[0], **{bound: float(number)})
        if kind in _SWAPPED:
            kind, left, right = _SWAPPED[kind], right, left
        elif kind not in ("add", "sub", "mul", "div", "pow"):
            dtype = tensors[0].samples[0].dtype
            made = Constant.of(np.array(left if not isinstance(left, Traced) else right))
            constant = to.cast(to.constant_node(op, made), dtype)
            left, right = (constant, right) if not isinstance(left, Traced) else (left, constant)
    return to.call(kind, left, right)


_TENSORS_ONLY = ("minimum", "maximum", "logical_and", "logical_or", "logical_xor")
_SWAPPED = {
    "equal": "equal",
    "less": "greater",
    "greater": "less",
    "less_or_equal": "greater_or_equal",
    "greater_or_equal": "less_or_equal",
}
"""What a comparison becomes once its operands change places."""


def _variadic(kind: str) -> Handler:
    def handle(to: Builder, op: Operation) -> Value:
        return _joined(to, op, kind)

    return handle


def _joined(to: Builder, op: Operation, kind: str) -> Traced:
    """Add a function of two operands as often as it takes for all of them."""
    result: Any = to.operand(op, 0)
    for index in range(1, len(op.inputs)):
        result = _call(to, op, kind, result, to.operand(op, index))
    return result if isinstance(result, Traced) else to.traced(op)


def _mean(to: Builder, op: Operation) -> Value:
    total = _joined(to, op, "add")
    return total if len(op.inputs) == 1 else to.call("mul", total, 1 / len(op.inputs))


def _where(to: Builder, op: Operation) -> Value:
    condition = to.traced(op, 0)
    return to.call("where", condition, to.operand(op, 1), to.operand(op, 2))


def _cast(to: Builder, op: Operation) -> Value:
    kind = int(op.attributes["to"])
    if kind not in _TYPES:
        raise op.refuse(f"makes numbers of type {TensorProto.DataType.Name(kind)}")
    return to.cast(to.traced(op), _TYPES[kind])


def _cast_like(to: Builder, op: Operation) -> Value:
    other = to.value(op, 1)
    if isinstance(other, Traced):
        return to.cast(to.traced(op), other.samples[0].dtype)
    assert other is not None
    return to.cast(to.traced(op), torch.from_numpy(np.array(other.array)).dtype)


def _einsum(to: Builder, op: Operation) -> Value:
    values = [to.traced(op, i) for i in range(len(op.inputs))]
    equation = str(op.attributes["equation"]).replace(" ", "")
    return to.call("einsum", equation, *values)


ARITHMETIC: dict[str, Handler] = {
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("div"),
    "Pow": _binary("pow"),
    "Equal": _binary("equal"),
    "Less": _binary("less"),
    "LessOrEqual": _binary("less_or_equal"),
    "Greater": _binary("greater"),
    "GreaterOrEqual": _binary("greater_or_equal"),
    "And": _binary("logical_and"),
    "Or": _binary("logical_or"),
    "Xor": _binary("logical_xor"),
    "Min": _variadic("minimum"),
    "Max": _variadic("maximum"),
    "Sum": _variadic("add"),
    "Mean": _mean,
    "Neg": _unary("neg"),
    "Abs": _unary("abs"),
    "Sqrt": _unary("sqrt"),
    "Exp": _unary("exp"),
    "Log": _unary("log"),
    "Reciprocal": _unary("reciprocal"),
    "Erf": _unary("erf"),
    "Floor": _unary("floor"),
    "Ceil": _unary("ceil"),
    "Round": _unary("round"),
    "Sign": _unary("sign"),
    "Sin": _unary("sin"),
    "Cos": _unary("cos"),
    "Not": _unary("logical_not"),
    "Where": _where,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Einsum": _einsum,
}
