"""What every criterion is: scores of single weights, the lowest of which go first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.fields import MethodConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from optim.layers.rounding import Moments
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["CriterionMethod", "scores_by_moments"]


class CriterionMethod(MethodConfig):
    """Base of the criteria."""

    needs_samples: ClassVar[bool] = False
    """Whether samples are looked at."""

    def scores(
        self,
        bundle: ModelBundle,
        weights: Mapping[str, Tensor],
        context: Context,
        count: int,
        *,
        refit: bool = False,
    ) -> dict[str, Tensor]:
        """Return ``{layer: (O, I, ...) scores}``, comparable within a layer and across layers.

        Args:
            bundle: The model.
            weights: Its weights by layer; every one gets scores.
            context: Samples and randomness.
            count: Samples to look at.
            refit: Whether the weights that stay will be fitted to make up for those that go.
        """
        raise NotImplementedError


def scores_by_moments(
    bundle: ModelBundle,
    weights: Mapping[str, Tensor],
    context: Context,
    count: int,
    score: Callable[[Tensor, Moments | None], Tensor],
) -> dict[str, Tensor]:
    """Return the scores that follow from the inputs of each layer, in either lane.

    Args:
        bundle: The model.
        weights: Its weights by layer.
        context: Samples.
        count: How many are looked at.
        score: Given a weight and the moments of its inputs; None where they are not known.
    """
    from optim.layers.reconstruction import most_samples
    from optim.layers.surgeon import with_moments
    from optim.runtime.round_graph import graph_moments

    def scored(name: str, moments: Moments) -> Tensor:
        return score(weights[name], moments)

    x, _ = context.calibration(count)
    if bundle.lane == "torch":
        given = x[: most_samples(bundle.module, bundle.spec.shape)]
        found = with_moments(bundle.module, weights, given, scored, context.check)
    else:
        found = graph_moments(bundle, weights, x, scored, context.check)
    return {n: found[n] if n in found else score(w, None) for n, w in weights.items()}
