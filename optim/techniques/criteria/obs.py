"""What a layer's outputs lose without a weight, the others making up for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.criteria.method import CriterionMethod, scores_by_moments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["OBS"]


class OBS(CriterionMethod):
    """Optimal Brain Surgeon's saliency on the outputs of each layer.

    Made for refitted weights: together they are what SparseGPT does, with all weights chosen at
    once and the refit exact.
    """

    title: ClassVar[str] = "Optimal brain surgeon"
    paper: ClassVar[str] = (
        "Hassibi and Stork, Second Order Derivatives for Network Pruning: Optimal Brain Surgeon, "
        "1992; Frantar and Alistarh, SparseGPT, 2023, arXiv:2301.00774"
    )
    needs_samples: ClassVar[bool] = True

    def scores(
        self, bundle: ModelBundle, weights: Mapping[str, Tensor], context: Context, count: int
    ) -> dict[str, Tensor]:
        """Return the loss of each weight over the layer's output energy."""
        from optim.layers.surgeon import surgeon_shares

        return scores_by_moments(bundle, weights, context, count, surgeon_shares)
