"""The size of a weight times that of its input: a small weight on a loud input stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.criteria.method import CriterionMethod, scores_by_moments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["Wanda"]


class Wanda(CriterionMethod):
    """Share of its layer's output energy that a weight brings, were inputs independent.

    **Differs from the paper** by that unit, which lets layers be compared; with the scope per
    output the order is the paper's.
    """

    title: ClassVar[str] = "Wanda"
    paper: ClassVar[str] = (
        "Sun et al., A Simple and Effective Pruning Approach for Large Language Models, 2023, "
        "arXiv:2306.11695"
    )
    needs_samples: ClassVar[bool] = True

    def scores(
        self,
        bundle: ModelBundle,
        weights: Mapping[str, Tensor],
        context: Context,
        count: int,
        *,
        refit: bool = False,
    ) -> dict[str, Tensor]:
        """Return squares of weight times input over their sum."""
        from optim.layers.surgeon import energy_shares

        return scores_by_moments(bundle, weights, context, count, energy_shares)
