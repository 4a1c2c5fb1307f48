"""A deployed graph as a list of integer operations: what it consists of.

Integers are kept as signed bytes: 0..255 becomes -128..127, zero points move along. A result on a
grid is ``zero + round(accumulator * multiplier / 2^shift)``, limited to the grid; activation
functions that only clip are part of that limit. A hard sigmoid or hard swish is computed of the
accumulator as a fixed-point number with ``curve_bits`` behind the point, and scaled then. What is
computed last may stay in floating point in the file: here it is an int32 with a step of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from optim.errors import ExportError
from optim.graph.dataflow import StoredGrid, StoredValue

__all__ = ["BYTE", "Operation", "Program", "Scaling", "moved"]

_MULTIPLIER_BITS = 31
_MOST_SHIFT = 62
BYTE = 255
"""Largest distance of a signed byte from a zero point."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """What turns accumulators into results: ``round(accumulator * multiplier / 2^shift)``.

    Attributes:
        multipliers: ``(n,)`` int32 of 31 bits; one for all channels or one for each.
        shifts: ``(n,)`` uint8 in 0..62.
    """

    multipliers: np.ndarray
    shifts: np.ndarray

    @classmethod
    def of(cls, factors: np.ndarray) -> Scaling:
        """Return the closest scaling to real factors above zero, to within 2^-31 of each."""
        pairs = [_fixed_point(float(factor)) for factor in np.atleast_1d(factors)]
        return cls(
            np.array([m for m, _ in pairs], np.int32), np.array([s for _, s in pairs], np.uint8)
        )

    @classmethod
    def joint(cls, factors: np.ndarray) -> Scaling:
        """Return one whose shifts are equal, so that products can be added before rounding."""
        _, shift = _fixed_point(float(max(factors)))
        multipliers = np.round(factors * 2.0**shift).astype(np.int64)
        return cls(multipliers.astype(np.int32), np.full(len(factors), shift, np.uint8))


def _fixed_point(factor: float) -> tuple[int, int]:
    mantissa, exponent = math.frexp(factor)
    multiplier, shift = round(mantissa * 2**_MULTIPLIER_BITS), _MULTIPLIER_BITS - exponent
    if multiplier == 2**_MULTIPLIER_BITS:
        multiplier, shift = multiplier // 2, shift - 1
    if shift > _MOST_SHIFT:
        multiplier, shift = multiplier >> min(31, shift - _MOST_SHIFT), _MOST_SHIFT
    if shift < 0:
        raise ExportError(f"A scale of the model is out of range: a result would grow {factor:g}x.")
    return multiplier, shift


@dataclass(frozen=True, eq=False)
class Operation:
    """One call of a function of the runner.

    Attributes:
        kind: ``"conv"``, ``"linear"``, ``"add"``, ``"mul"``, ``"max_pool"``, ``"average_pool"``,
            ``"rescale"`` or ``"select"``.
        name: Of the kernel it comes from.
        numbers: Sizes, offsets, zero points and limits, by the field's name in C.
        scaling: Of its results.
        arrays: Weights and biases by the field's name in C.
    """

    kind: str
    name: str
    numbers: Mapping[str, int]
    scaling: Scaling
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Program:
    """Operations in order, and how they are fed and read.

    Attributes:
        operations: What is computed.
        arena: Bytes of memory for activations.
        input: The value that is given.
        input_offset: Where its integers are put, in bytes.
        output_shape: Sizes of the result.
        output_offset: Where the result stands, in bytes; int32 numbers.
        output_scale: Real number for which one step of the result stands.
    """

    operations: tuple[Operation, ...]
    arena: int
    input: StoredValue
    input_offset: int
    output_shape: tuple[int, ...]
    output_offset: int
    output_scale: float

    @property
    def output_count(self) -> int:
        """Numbers of the result."""
        return prod(self.output_shape)

    @property
    def input_zero_point(self) -> int:
        """Signed byte that stands for 0.0."""
        assert self.input.grid is not None
        return self.input.grid.zero_point - moved(self.input.grid)

    @property
    def input_limits(self) -> tuple[int, int]:
        """Least and largest signed byte of the input."""
        assert self.input.grid is not None
        shift = moved(self.input.grid)
        return self.input.grid.qmin - shift, self.input.grid.qmax - shift

    @property
    def constants(self) -> int:
        """Bytes of all constant arrays."""
        arrays = [
            array
            for op in self.operations
            for array in (*op.arrays.values(), op.scaling.multipliers, op.scaling.shifts)
        ]
        return sum(array.nbytes for array in arrays)

    def quantized(self, inputs: np.ndarray) -> np.ndarray:
        """Return normalised samples as the signed bytes that the program is given."""
        assert self.input.grid is not None
        steps = np.rint(inputs.astype(np.float32) / np.float32(self.input.grid.scale))
        return np.clip(steps + self.input_zero_point, *self.input_limits).astype(np.int8)


def moved(grid: StoredGrid) -> int:
    """Return what is subtracted from the integers of a grid to make them signed bytes."""
    return 0 if grid.signed else 128
