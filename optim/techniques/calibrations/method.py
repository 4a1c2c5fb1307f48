"""What every calibration method is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.fields import MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.grid import Grid
    from optim.layers.statistics import Statistics

__all__ = ["CalibrationMethod"]


class CalibrationMethod(MethodConfig):
    """Base of the calibration methods."""

    def limits(self, statistics: Statistics, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return the smallest and largest value ``(R,)`` each row's grid has to cover."""
        raise NotImplementedError
