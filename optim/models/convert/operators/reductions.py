"""Means, sums and extremes along dimensions."""

from __future__ import annotations

from typing import Any

from optim.models.convert.builder import Builder, Handler, Traced, Value
from optim.models.convert.operators.pooling import global_average
from optim.models.convert.reader import Operation

__all__ = ["REDUCTIONS"]


def _axes(to: Builder, op: Operation, x: Traced) -> tuple[int, ...]:
    axes = to.integers(op, 1, "axes")
    if not axes:
        axes = [] if op.get("noop_with_empty_axes", 0) else list(range(x.rank))
    found = tuple(sorted(axis % x.rank for axis in axes))
    if set(found) & set(x.batch_axes):
        raise op.refuse("mixes the samples of a batch")
    return found


def _plain(kind: str) -> Handler:
    def handle(to: Builder, op: Operation) -> Value:
        x = to.traced(op)
        axes, keep = _axes(to, op, x), bool(op.get("keepdims", 1))
        return to.call(kind, x, axes, keep) if axes else x

    return handle


def _mean(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    axes, keep = _axes(to, op, x), bool(op.get("keepdims", 1))
    if x.rank in (3, 4) and axes == tuple(range(2, x.rank)) and _is_image(x):
        pooled = global_average(to, op)
        return pooled if keep else to.call("flatten", pooled, 1)
    return to.call("mean", x, axes, keep) if axes else x


def _is_image(x: Traced) -> bool:
    """Whether the last dimensions are positions: those of a series are not told from tokens."""
    return x.rank == 4 and x.batch_axes == (0,)


def _composed(before: str, kind: str, after: str) -> Handler:
    """Return what reduces changed values and changes the result."""

    def handle(to: Builder, op: Operation) -> Value:
        x: Any = to.traced(op)
        axes, keep = _axes(to, op, x), bool(op.get("keepdims", 1))
        if before == "square":
            x = to.call("mul", x, x)
        elif before:
            x = to.call(before, x)
        x = to.call(kind, x, axes, keep)
        return to.call(after, x) if after else x

    return handle


def _prod(to: Builder, op: Operation) -> Value:
    raise op.refuse("multiplies values of the input along a dimension")


def _argmax(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    axis = int(op.get("axis", 0)) % x.rank
    if axis in x.batch_axes or op.get("select_last_index", 0):
        raise op.refuse("compares the samples of a batch, or takes the last of equal values")
    return to.call("argmax", x, axis, bool(op.get("keepdims", 1)))


def _cumsum(to: Builder, op: Operation) -> Value:
    axis = int(to.needed(op, 1, "its dimension").reshape(()))
    if op.get("exclusive", 0) or op.get("reverse", 0):
        raise op.refuse("sums from the end, or without the value itself")
    return to.call("cumsum", to.traced(op), axis)


REDUCTIONS: dict[str, Handler] = {
    "ReduceMean": _mean,
    "ReduceSum": _plain("sum"),
    "ReduceMax": _plain("amax"),
    "ReduceMin": _plain("amin"),
    "ReduceProd": _prod,
    "ReduceSumSquare": _composed("square", "sum", ""),
    "ReduceL2": _composed("square", "sum", "sqrt"),
    "ReduceL1": _composed("abs", "sum", ""),
    "ReduceLogSumExp": _composed("exp", "sum", "log"),
    "ArgMax": _argmax,
    "CumSum": _cumsum,
}
