"""The weights of one layer as a codec sees them: rows of integers, and which integer means 0.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from optim.errors import ConfigError

__all__ = ["FLOAT_BITS", "LEGAL_BITS", "Codes"]

FLOAT_BITS = 32
LEGAL_BITS = range(2, 17)


@dataclass(frozen=True, eq=False)
class Codes:
    """One layer's weights as ``R`` rows of ``n`` integers.

    A weight on a grid is its signed integer. A weight that is not quantized is the 32 bits of its
    float32, read as an integer, so that every codec treats both alike and loses nothing.

    Attributes:
        values: ``(R, n)`` int32.
        bits: Width of the grid, 2 to 16 (a ternary grid counts as 2), or 32 for float32.
        zero_points: ``(R,)`` int32; the integer that stands for 0.0 in each row.

    Example:
        >>> codes = Codes.from_integers([[3, 0, -4], [1, 1, 2]], bits=3, zero_points=[0, 1])
        >>> codes.nonzero
        array([[ True, False,  True],
               [False, False,  True]])
    """

    values: np.ndarray
    bits: int
    zero_points: np.ndarray

    @classmethod
    def from_float(cls, array: ArrayLike) -> Self:
        """Take weights that are not quantized, ``(R, n)``; -0.0 becomes 0.0.

        Raises:
            ConfigError: If the array is not a matrix.
        """
        floats = _matrix(np.asarray(array, dtype=np.float32))
        values = np.where(floats == 0, np.int32(0), floats.view(np.int32))
        return cls(values, FLOAT_BITS, np.zeros(len(values), dtype=np.int32))

    @classmethod
    def from_integers(
        cls, integers: ArrayLike, bits: int, zero_points: ArrayLike | int = 0
    ) -> Self:
        """Take weights on a grid.

        Args:
            integers: ``(R, n)``; whole numbers from ``-2**(bits - 1)`` to ``2**(bits - 1) - 1``, of
                an integer or a float type.
            bits: 2 to 16.
            zero_points: ``(R,)``, or one number for all rows; on the same grid.

        Raises:
            ConfigError: If ``bits`` is out of range, ``integers`` is not a matrix, or a number is
                not on the grid.
        """
        if bits not in LEGAL_BITS:
            raise ConfigError(
                f"bits must be {LEGAL_BITS[0]} to {LEGAL_BITS[-1]}: got bits={bits}.",
                hint="Use Codes.from_float for weights that are not quantized.",
                field="bits",
            )
        values = _on_grid(_matrix(np.asarray(integers)), bits, "integers")
        zeros = _on_grid(np.asarray(zero_points), bits, "zero_points")
        if zeros.shape not in ((), (len(values),)):
            raise ConfigError(
                f"zero_points must be one number or one a row: got shape {zeros.shape} "
                f"for {len(values)} rows.",
                field="zero_points",
            )
        return cls(values, bits, np.broadcast_to(zeros, (len(values),)))

    def to_float(self) -> np.ndarray:
        """Return the ``(R, n)`` float32 weights that :meth:`from_float` took.

        Raises:
            ConfigError: If these are integers on a grid: their scales are not known here.
        """
        if not self.is_float:
            raise ConfigError(
                f"Codes of {self.bits} bits are integers on a grid, not float32.",
                hint="Read their values, and apply the scales of the layer.",
                field="bits",
            )
        return self.values.view(np.float32)

    @property
    def is_float(self) -> bool:
        """Whether these are bit patterns of float32."""
        return self.bits == FLOAT_BITS

    @property
    def nonzero(self) -> np.ndarray:
        """Which weights are not 0.0: ``(R, n)`` bool."""
        return self.values != self.zero_points[:, None]

    @property
    def zero_share(self) -> float:
        """Share of weights that are 0.0, in 0..1; 0 if there are none."""
        zeros = self.values.size - np.count_nonzero(self.nonzero)
        return zeros / max(self.values.size, 1)


def _matrix(array: np.ndarray) -> np.ndarray:
    if array.ndim != 2:
        raise ConfigError(
            f"Weights must be a matrix (R, n): got shape {array.shape}.",
            hint="Reshape the weight of a layer to (output channels, -1).",
        )
    return array


def _on_grid(numbers: np.ndarray, bits: int, name: str) -> np.ndarray:
    """Return a copy as int32; refuse numbers that are not signed integers of ``bits`` bits."""
    half = 2 ** (bits - 1)
    if not np.all((numbers >= -half) & (numbers < half) & (numbers == np.trunc(numbers))):
        raise ConfigError(
            f"{name} must be whole numbers from {-half} to {half - 1} at bits={bits}.",
            field=name,
        )
    return np.array(numbers, dtype=np.int32)
