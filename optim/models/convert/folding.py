"""Compute what depends on constants and sizes only, before anything is converted."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from optim.models.convert.builder import Builder, Constant, Traced
from optim.models.convert.reader import Operation

__all__ = ["fold"]

_MAX_NUMBERS = 2**24

_MOVES = frozenset({"Cast", "CastLike", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose"})
_MOVES |= {"Unsqueeze"}
"""Operators after which a weight is still that weight."""

_FOLDED = _MOVES | {
    *("Abs", "Add", "And", "Ceil", "Clip", "Concat", "ConstantOfShape", "Cos", "CumSum", "Div"),
    *("Equal", "Erf", "Exp", "Expand", "Floor", "Gather", "GatherElements", "GatherND"),
    *("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Log", "MatMul", "Max", "Mean", "Min"),
    *("Mod", "Mul", "Neg", "NonZero", "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceMax"),
    *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Relu", "Round", "ScatterND", "Shape"),
    *("Sigmoid", "Sign", "Sin", "Size", "Slice", "Softmax", "Split", "Sqrt", "Sub", "Sum", "Tanh"),
    *("Pad", "Tile", "Trilu", "Where", "Xor"),
}


def fold(to: Builder, op: Operation) -> tuple[Constant, ...] | None:
    """Return the outputs of an operation that can be computed now, or None."""
    if op.op_type == "Constant":
        return (_constant(op),)
    values = [to.values[name] if name else None for name in op.inputs]
    if op.op_type in ("Shape", "Size") and isinstance(values[0], Traced):
        return (_sizes(op, values[0]),)
    constants = [value for value in values if isinstance(value, Constant)]
    if op.op_type not in _FOLDED or any(isinstance(value, Traced) for value in values):
        return None
    differs = any(value.depends_on_batch for value in constants)
    if op.op_type == "Expand" and differs and constants[0].arrays[0].dtype == np.float32:
        return None  # a token that is put beside every sample
    results = [_computed(op, values, i) for i in ((0, 1) if differs else (0,))]
    learned = [value for value in constants if value.is_learned]
    kept = learned[0] if op.op_type in _MOVES and len(learned) == 1 else None
    return tuple(
        Constant((pair[0], pair[-1]), kept.name if kept else "", kept is not None)
        for pair in zip(*results, strict=True)
    )


def _constant(op: Operation) -> Constant:
    for name, value in op.attributes.items():
        if name == "value":
            return Constant.of(np.asarray(value))
        if name in ("value_float", "value_floats"):
            return Constant.of(np.array(value, dtype=np.float32))
        if name in ("value_int", "value_ints"):
            return Constant.of(np.array(value, dtype=np.int64))
    raise op.refuse("holds neither numbers nor a tensor")


def _sizes(op: Operation, value: Traced) -> Constant:
    if op.op_type == "Size":
        first, second = (np.array(s.numel(), dtype=np.int64) for s in value.samples)
    else:
        rank = value.rank
        start, end, _ = slice(op.get("start", 0), op.get("end", rank)).indices(rank)
        first, second = (np.array(s.shape[start:end], dtype=np.int64) for s in value.samples)
    return Constant((first, second))


def _computed(op: Operation, values: list[Any], index: int) -> list[np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    arrays = {
        name: value.arrays[index]
        for name, value in zip(op.inputs, values, strict=True)
        if value is not None
    }
    _check_growth(op, [arrays.get(name) for name in op.inputs])
    node = helper.make_node(op.op_type, list(op.inputs), list(op.outputs))
    node.attribute.extend(_attribute(name, value) for name, value in op.attributes.items())
    # As a function: of a lone node, the evaluator takes the newest version.
    function = helper.make_function(
        "fold", "Fold", list(arrays), list(op.outputs), [node], [helper.make_opsetid("", op.opset)]
    )
    try:
        results = ReferenceEvaluator(function).run(None, arrays, {})
    except Exception as error:
        # The reference evaluator raises whatever NumPy and its own operators raise.
        raise op.refuse(f"cannot be computed from its constants: {error}") from error
    found = [np.asarray(result) for result in results]
    return [a.astype(np.float32) if a.dtype in (np.float16, np.float64) else a for a in found]


def _attribute(name: str, value: Any) -> onnx.AttributeProto:
    if isinstance(value, np.ndarray):
        return helper.make_attribute(name, numpy_helper.from_array(value))
    return helper.make_attribute(name, value)


def _check_growth(op: Operation, arrays: list[np.ndarray | None]) -> None:
    """Refuse results that are much larger than what they are computed from."""
    first = arrays[0] if arrays else None
    present = [array for array in arrays if array is not None]
    if op.op_type == "Expand" and first is not None and arrays[1] is not None:
        numbers = _broadcast([first.shape, tuple(max(1, int(n)) for n in arrays[1].reshape(-1))])
    elif op.op_type in ("ConstantOfShape", "Tile"):
        sizes = [max(0, int(n)) for n in np.asarray(arrays[-1]).reshape(-1)]
        own = 1 if op.op_type == "ConstantOfShape" or first is None else first.size
        numbers = own * prod(max(1, size) for size in sizes)
    elif op.op_type == "Range":
        start, limit, delta = (float(np.asarray(array).reshape(())) for array in present)
        numbers = int(abs(limit - start) / abs(delta)) if delta else _MAX_NUMBERS + 1
    elif op.op_type in ("Gather", "GatherND", "MatMul"):
        numbers = prod(max(1, array.size) for array in present)
        numbers = min(numbers, _gathered(op, present))
    else:
        numbers = sum(array.size for array in present)
        shapes = [array.shape for array in present]
        if len(shapes) > 1:
            numbers = max(numbers, _broadcast(shapes))
    if numbers > _MAX_NUMBERS:
        raise op.refuse(f"computes {numbers:,} constants, which is too many")


def _gathered(op: Operation, arrays: list[np.ndarray]) -> int:
    first, second = arrays
    if op.op_type == "MatMul":
        return int(first.size // max(1, first.shape[-1]) * (second.size // max(1, second.shape[0])))
    return int(second.size * first.size // max(1, min(first.shape, default=1)))


def _broadcast(shapes: list[tuple[int, ...]]) -> int:
    try:
        return prod(np.broadcast_shapes(*shapes))
    except ValueError:
        return 0
