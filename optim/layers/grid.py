"""The grid of values a quantized tensor may take, and the arithmetic of putting values on it.

A grid is a range of integers and a way to share scales: one for the whole tensor, one a channel,
or one a group of consecutive weights of a channel. A real value ``x`` becomes the integer
``q = clamp(round(x / scale) + zero_point, qmin, qmax)`` and is read back as
``(q - zero_point) * scale`` (Jacob et al. 2017). Rounding is half to even, as in ONNX.

Weights are handled in *rows*: everything that shares a scale is one row of a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

__all__ = [
    "Bits",
    "Granularity",
    "Grid",
    "dequantize",
    "from_rows",
    "power_of_two",
    "quantize",
    "round_",
    "to_rows",
]

Bits = int | Literal["ternary"]
Granularity = Literal["per_tensor", "per_channel", "per_group"]


@dataclass(frozen=True)
class Grid:
    """Integers from ``qmin`` to ``qmax`` with scales shared at one granularity.

    Attributes:
        qmin: Smallest integer.
        qmax: Largest integer.
        symmetric: Whether the zero point is the middle of a signed range; otherwise it is chosen.
        granularity: What shares one scale.
        group_size: Weights in a group, for ``"per_group"``; the last group of a channel may be
            shorter.
    """

    qmin: int
    qmax: int
    symmetric: bool
    granularity: Granularity = "per_tensor"
    group_size: int = 0

    @classmethod
    def for_weights(
        cls, bits: Bits, symmetric: bool, granularity: Granularity, group_size: int = 0
    ) -> Grid:
        """Return the signed grid of a weight: ``ternary`` has three levels, ``b`` bits have 2^b."""
        if bits == "ternary":
            return cls(-1, 1, True, granularity, group_size)
        return cls(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, symmetric, granularity, group_size)

    @classmethod
    def for_activations(cls, bits: int, symmetric: bool) -> Grid:
        """Return the grid of an activation: signed if symmetric, from zero up if affine."""
        if symmetric:
            return cls(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, True)
        return cls(0, 2**bits - 1, False)

    def within(self, weight: Tensor) -> Grid:
        """Return the grid with groups no longer than what a weight ``(O, ...)`` has a channel."""
        columns = weight[0].numel()
        if self.granularity != "per_group" or self.group_size <= columns:
            return self
        return replace(self, group_size=columns)

    @property
    def levels(self) -> int:
        """Number of values on the grid."""
        return self.qmax - self.qmin + 1

    @property
    def bits(self) -> int:
        """Bits that hold one of the levels; 2 for the three levels of a ternary grid."""
        return (self.levels - 1).bit_length()

    def parameters(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point that cover ``low`` to ``high``.

        Args:
            low: ``(R,)``; smallest value to represent in each row.
            high: ``(R,)``; largest value to represent in each row.

        Returns:
            Scale ``(R,)`` float32 above zero, zero point ``(R,)`` int32 inside the grid.
        """
        low, high = low.clamp(max=0).double(), high.clamp(min=0).double()
        if self.symmetric:
            reach = torch.maximum(-low, high)
            half = self.qmax if self.levels % 2 else (self.levels - 1) / 2
            scale = _positive(reach / half)
            return scale, torch.zeros_like(scale, dtype=torch.int32)
        scale = _positive((high - low) / (self.levels - 1))
        zero_point = (self.qmin - low / scale).round().clamp(self.qmin, self.qmax)
        return scale, zero_point.to(torch.int32)


def power_of_two(rows: Tensor, grid: Grid, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and zero point whose scale is a power of two: the better of both neighbours.

    Args:
        rows: ``(R, n)`` values that are rounded.
        grid: Their grid.
        low: ``(R,)``, as for :meth:`Grid.parameters`.
        high: ``(R,)``.
    """
    exact, zero_point = grid.parameters(low, high)
    if rows.is_meta:  # only its size is known
        return exact.log2().round().exp2(), zero_point
    tried = []
    for power in (exact.log2().floor(), exact.log2().ceil()):
        share = power.exp2() / exact
        scale, zero_point = power.exp2(), grid.parameters(low * share, high * share)[1]
        error = dequantize(quantize(rows, grid, scale, zero_point), scale, zero_point) - rows
        tried.append((scale, zero_point, error.square().sum(1)))
    first, second = tried
    return (
        torch.where(first[2] < second[2], first[0], second[0]),
        torch.where(first[2] < second[2], first[1], second[1]),
    )


def _positive(scale: Tensor) -> Tensor:
    """Return float32 scales; rows of zeros get scale 1 so that nothing divides by zero."""
    scale = scale.float()
    return torch.where(scale > torch.finfo(torch.float32).tiny, scale, torch.ones_like(scale))


def quantize(rows: Tensor, grid: Grid, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Round ``(R, n)`` values to the grid; returns integers as float32 of the same shape."""
    q = (rows / scale[:, None]).round_().add_(zero_point[:, None])
    return q.clamp_(grid.qmin, grid.qmax)


def dequantize(q: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Return the ``(R, n)`` values that ``(R, n)`` integers stand for."""
    return (q - zero_point[:, None]) * scale[:, None]


def round_(rows: Tensor, grid: Grid, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Replace ``(R, n)`` values by the nearest ones on the grid: both of the above, in place."""
    zero_point, scale = zero_point[:, None], scale[:, None]
    # Ends of their own for every row would be slower than one more sum.
    q = rows.div_(scale).round_().add_(zero_point).clamp_(grid.qmin, grid.qmax)
    return q.sub_(zero_point).mul_(scale)


def to_rows(weight: Tensor, grid: Grid) -> Tensor:
    """Arrange a weight ``(O, ...)`` as ``(R, n)``, one row a scale; short groups end in zeros."""
    if grid.granularity == "per_tensor":
        return weight.reshape(1, -1)
    channels = weight.reshape(len(weight), -1)
    if grid.granularity == "per_channel":
        return channels
    short = -channels.shape[1] % grid.group_size
    return torch.nn.functional.pad(channels, (0, short)).reshape(-1, grid.group_size)


def from_rows(rows: Tensor, shape: torch.Size | tuple[int, ...], grid: Grid) -> Tensor:
    """Undo :func:`to_rows` for a weight of that shape."""
    if grid.granularity != "per_group":
        return rows.reshape(shape)
    columns = int(torch.Size(shape[1:]).numel())
    return rows.reshape(shape[0], -1)[:, :columns].reshape(shape)
