"""Choose the range with the smallest mean squared error. A short search; the best all-rounder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.calibrations.method import CalibrationMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.grid import Grid
    from optim.layers.statistics import Statistics

__all__ = ["MSE"]

_SEARCH_VALUES = 8192
"""Values of an activation that are rounded in the search. What a range clips is taken from all that
are known: few values lie that far out, and where a search sees none of them, it clips too much."""
_SEARCH_COLUMNS = 1024
"""Values of a channel the search looks at."""
_AT_ONCE = 2**19
"""Values rounded in one operation."""


class MSE(CalibrationMethod):
    """Try shrunken versions of the exact range and keep the one that rounds best."""

    title: ClassVar[str] = "Mean squared error"
    paper: ClassVar[str] = (
        "Banner et al., Post Training 4-bit Quantization of Convolutional Networks for "
        "Rapid-Deployment, 2018, arXiv:1810.05723"
    )

    candidates: Annotated[
        int,
        Range(
            low=8,
            high=128,
            step=8,
            label="Candidates",
            expert=True,
            help="Ranges tried, from the full one down to a fifth of it.",
        ),
    ] = 32

    def limits(self, statistics: Statistics, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return the best of ``candidates`` ranges for each row."""
        import torch

        values = statistics.values
        enough = _SEARCH_VALUES if len(values) == 1 else _SEARCH_COLUMNS
        if values.shape[1] > enough:
            # A copy: what lies apart in memory is read more slowly than it is copied.
            values = values[:, :: values.shape[1] // enough].contiguous()
        low, high = statistics.low, statistics.high
        errors = []
        for shares in torch.linspace(1.0, 0.2, self.candidates).split(
            max(1, _AT_ONCE // values.numel())
        ):
            errors.append(_errors(values, low, high, shares, grid))
        found = torch.cat(errors)
        if len(values) == 1 and values.shape[1] < statistics.values.shape[1]:
            found = found + self._clipped(statistics.values, low, high, grid)
            found -= self._clipped(values, low, high, grid)
        chosen = torch.linspace(1.0, 0.2, self.candidates)[found.argmin(dim=0)]
        return low * chosen, high * chosen

    def _clipped(self, values: Tensor, low: Tensor, high: Tensor, grid: Grid) -> Tensor:
        """Return the ``(candidates, 1)`` mean squared error of what lies off the grid's ends."""
        import torch

        shares = torch.linspace(1.0, 0.2, self.candidates)
        scale, zero_point = grid.parameters(shares * low, shares * high)
        under, over = ((end - zero_point) * scale for end in (grid.qmin, grid.qmax))
        found = _beyond(values, over, float(high)) + _beyond(-values, -under, -float(low))
        return (found[:, None] / values.numel()).float()


def _beyond(values: Tensor, ends: Tensor, high: float) -> Tensor:
    """Return ``(E,)`` float64 sums over values up to ``high`` of the square they pass an end by."""
    import torch

    if high <= ends.min():
        return torch.zeros_like(ends, dtype=torch.float64)
    ends, order = ends.double().sort(descending=True)
    values = values[values > ends[-1]].double()
    place = torch.searchsorted(-ends, -values)  # the first end that a value passes
    # A value passes that end and all lower ones: sums of its powers add up from the highest down.
    powers = (torch.ones_like(values), values, values.square())
    count, first, second = (
        place.bincount(power, minlength=len(ends) + 1)[: len(ends)].cumsum(0) for power in powers
    )
    sums = second - 2 * ends * first + ends.square() * count
    return torch.empty_like(sums).scatter_(0, order, sums.clamp(min=0))


def _errors(values: Tensor, low: Tensor, high: Tensor, shares: Tensor, grid: Grid) -> Tensor:
    """Return the ``(candidates, R)`` mean squared error of every row in every shrunken range."""
    from optim.layers.grid import round_

    count, (rows, columns) = len(shares), values.shape
    lows, highs = (shares[:, None] * low).flatten(), (shares[:, None] * high).flatten()
    scale, zero_point = grid.parameters(lows, highs)
    repeated = values.expand(count, rows, columns).reshape(count * rows, columns)
    rounded = round_(repeated.clone(), grid, scale, zero_point)
    return rounded.sub_(repeated).square_().mean(dim=1).reshape(count, rows)
