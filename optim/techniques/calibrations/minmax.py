"""Cover everything that was observed. Free; one outlier stretches every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.calibrations.method import CalibrationMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.grid import Grid
    from optim.layers.statistics import Statistics

__all__ = ["MinMax"]


class MinMax(CalibrationMethod):
    """The exact ends of the observed values."""

    title: ClassVar[str] = "Min-max"
    paper: ClassVar[str] = (
        "Jacob et al., Quantization and Training of Neural Networks for Efficient "
        "Integer-Arithmetic-Only Inference, 2017, arXiv:1712.05877"
    )

    def limits(self, statistics: Statistics, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return the exact ends."""
        return statistics.low, statistics.high
