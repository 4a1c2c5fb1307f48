"""Cover all but a small share of the values at each end. Cheap; needs the share to be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.calibrations.method import CalibrationMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.grid import Grid
    from optim.layers.statistics import Statistics

__all__ = ["Percentile"]


class Percentile(CalibrationMethod):
    """Clip the most extreme values."""

    title: ClassVar[str] = "Percentile"
    paper: ClassVar[str] = (
        "Wu et al., Integer Quantization for Deep Learning Inference: Principles and Empirical "
        "Evaluation, 2020, arXiv:2004.09602"
    )

    percentile: Annotated[
        float,
        Range(
            low=95.0,
            high=100.0,
            step=0.05,
            unit="%",
            label="Percentile",
            help="Share of the values, counted from the middle, that is not clipped.",
        ),
    ] = 99.9

    def limits(self, statistics: Statistics, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return the values below and above which ``100 - percentile`` percent lie in all."""
        import torch

        tail = (1 - self.percentile / 100) / 2
        ends = torch.tensor([tail, 1 - tail])
        low, high = torch.quantile(statistics.values, ends, dim=1)
        # A one-sided activation keeps its exact zero end: nothing is clipped there.
        low = torch.where(statistics.low >= 0, statistics.low, low)
        return low, torch.where(statistics.high <= 0, statistics.high, high)
