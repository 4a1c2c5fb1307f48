"""The functions a traced graph may call, by the kind of operation they are.

A closed vocabulary: converted models are written with these names only, so that a stored one can
be rebuilt without executing anything that comes from its file, and everything that can be built
can also be emitted.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

__all__ = ["BINARY", "ELEMENTWISE", "FUNCTIONS", "REDUCTIONS", "UNARY"]

BINARY: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": torch.pow,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "equal": torch.eq,
    "less": torch.lt,
    "less_or_equal": torch.le,
    "greater": torch.gt,
    "greater_or_equal": torch.ge,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}
"""Functions of two tensors, or of a tensor and a number, value by value."""

UNARY: dict[str, Callable[..., Any]] = {
    "neg": torch.neg,
    "abs": torch.abs,
    "sqrt": torch.sqrt,
    "exp": torch.exp,
    "log": torch.log,
    "reciprocal": torch.reciprocal,
    "erf": torch.erf,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "sign": torch.sign,
    "sin": torch.sin,
    "cos": torch.cos,
    "logical_not": torch.logical_not,
    "clip": torch.clamp,
    "relu": torch.relu,
}
"""Functions of one tensor, value by value."""

REDUCTIONS: dict[str, Callable[..., Any]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "amax": torch.amax,
    "amin": torch.amin,
}
"""Functions ``(x, dim, keepdim)``."""

ELEMENTWISE = frozenset({*BINARY, *UNARY, "where"})

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **BINARY,
    **UNARY,
    **REDUCTIONS,
    "where": torch.where,
    "matmul": torch.matmul,
    "einsum": torch.einsum,
    "softmax": torch.softmax,
    "log_softmax": torch.log_softmax,
    "concat": torch.cat,
    "flatten": torch.flatten,
    "reshape": torch.reshape,
    "permute": torch.permute,
    "unsqueeze": torch.unsqueeze,
    "slice": operator.getitem,
    "select": torch.select,
    "gather": torch.index_select,
    "expand": torch.broadcast_to,
    "tile": torch.tile,
    "pad": functional.pad,
    "resize": functional.interpolate,
    "argmax": torch.argmax,
    "cumsum": torch.cumsum,
}
"""``{kind: function}``."""
