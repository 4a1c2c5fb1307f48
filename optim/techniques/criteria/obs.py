"""What a layer's outputs lose by one weight after the other. Needs samples, no labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.criteria.method import CriterionMethod, scores_by_moments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from optim.layers.rounding import Moments
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["OBS"]


class OBS(CriterionMethod):
    """What the outputs of each layer lose by a weight, after all that went before it.

    In every row of weights the one goes that is missed least, until all are gone. Where weights are
    refitted, the others make up for each: Optimal Brain Compression, with a refit of all that stay
    at the end. Where they are not, nothing makes up for it, and that is what is counted.

    **Differs from the paper**: weights of a row go in 128 rounds, where they are refitted in 32, of
    large layers in as few as 8. A loss counts no less than those before it in its row. Layers that
    would take minutes, of more than 2e10 weights times squared inputs, are judged as if they were
    not refitted.
    """

    title: ClassVar[str] = "Optimal brain surgeon"
    paper: ClassVar[str] = (
        "Hassibi and Stork, Second Order Derivatives for Network Pruning: Optimal Brain Surgeon, "
        "1992; Frantar and Alistarh, Optimal Brain Compression, 2022, arXiv:2208.11580"
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
        """Return the loss of each weight over the layer's output energy."""
        from optim.layers.removal import removal_shares
        from optim.layers.surgeon import energy_shares

        def score(weight: Tensor, moments: Moments | None) -> Tensor:
            if moments is None:
                return energy_shares(weight, None)
            return removal_shares(weight, moments, refit=refit, check=context.check)

        return scores_by_moments(bundle, weights, context, count, score)
