"""Fit the grid to the bulk of the weights and let outliers err. Fast, and needs no samples.

A squared error is ruled by the few weights that lie far out. Here the error counts with a power
below one, so that many small errors weigh more than one large one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.calibrations.method import CalibrationMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.grid import Grid
    from optim.layers.statistics import Statistics

__all__ = ["HQQ"]

_STARTS = (1.0, 0.6, 0.35, 0.2)
"""Shares of the exact range that are fitted from: each ends where it gets no better nearby."""
_STIFFNESS, _GROWTH = 10.0, 1.01
"""How closely the split-off error follows the real one at first, and its growth a round."""


class HQQ(CalibrationMethod):
    """Half-quadratic quantization: split the error off, and fit the grid to what is left.

    **Differs from the paper**: the scale is fitted as well and zero points stay whole, as integer
    kernels want them; errors are measured in steps, so that the size of weights does not matter.
    """

    title: ClassVar[str] = "Half-quadratic"
    paper: ClassVar[str] = (
        "Badri and Shaji, Half-Quadratic Quantization of Large Machine Learning Models, 2023, "
        "https://mobiusml.github.io/hqq_blog"
    )

    power: Annotated[
        float,
        Range(
            low=0.3,
            high=0.95,
            step=0.05,
            label="Power",
            help="Of the error; the smaller, the less outliers count.",
            expert=True,
        ),
    ] = 0.7
    rounds: Annotated[
        int,
        Range(
            low=1,
            high=100,
            step=1,
            label="Rounds",
            help="How often error and grid are fitted to each other.",
            expert=True,
        ),
    ] = 20

    def limits(self, statistics: Statistics, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return the ends of the grid of least error that was met on the way."""
        import torch

        from optim.layers.grid import quantize

        values = statistics.values
        best = grid.parameters(statistics.low, statistics.high)
        least = torch.full_like(best[0], torch.inf)
        for share in _STARTS:
            scale, zero_point = grid.parameters(statistics.low * share, statistics.high * share)
            for i in range(self.rounds):
                q = quantize(values, grid, scale, zero_point)
                centred = q - zero_point[:, None]
                error = values / scale[:, None] - centred
                total = (error.abs() * scale[:, None]).pow(self.power).sum(1)
                better = total < least
                least = torch.where(better, total, least)
                best = (
                    torch.where(better, scale, best[0]),
                    torch.where(better, zero_point, best[1]),
                )
                stiffness = _STIFFNESS * _GROWTH**i
                kept = error.abs() - error.abs().clamp(min=1e-6).pow(self.power - 1) / stiffness
                fitted = values - kept.clamp(min=0) * error.sign() * scale[:, None]
                scale = _slope(centred, fitted, scale)
                if not grid.symmetric:
                    offset = (q - fitted / scale[:, None]).mean(1).round()
                    zero_point = offset.clamp(grid.qmin, grid.qmax).to(torch.int32)
        scale, zero_point = best
        reach = (grid.levels - 1) / 2 if grid.levels % 2 == 0 else grid.qmax
        if grid.symmetric:
            return -reach * scale, reach * scale
        return (grid.qmin - zero_point) * scale, (grid.qmax - zero_point) * scale


def _slope(integers: Tensor, values: Tensor, fallback: Tensor) -> Tensor:
    """Return the scale ``(R,)`` that fits integers to values best; where none does, the old one."""
    import torch

    slope = (integers * values).sum(1) / integers.square().sum(1).clamp(min=1)
    return torch.where(slope > 0, slope, fallback)
