"""The size of a weight. Free, and the baseline of every other criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.criteria.method import CriterionMethod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["Magnitude"]


class Magnitude(CriterionMethod):
    """Absolute value."""

    title: ClassVar[str] = "Magnitude"
    paper: ClassVar[str] = (
        "Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015, "
        "arXiv:1506.02626"
    )

    def scores(
        self,
        bundle: ModelBundle,
        weights: Mapping[str, Tensor],
        context: Context,
        count: int,
        *,
        refit: bool = False,
    ) -> dict[str, Tensor]:
        """Return absolute values."""
        return {name: weight.abs() for name, weight in weights.items()}
