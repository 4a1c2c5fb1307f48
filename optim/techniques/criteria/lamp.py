"""The size of a weight among the larger ones of its layer: global pruning without empty layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.criteria.method import CriterionMethod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["LAMP"]


class LAMP(CriterionMethod):
    """A weight's square over the sum of all squares in its layer that are no smaller.

    Within a layer the order is that of magnitude; across layers the last weight of each scores 1,
    so that no layer is emptied however many weights go.
    """

    title: ClassVar[str] = "LAMP"
    paper: ClassVar[str] = (
        "Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning, 2021, "
        "arXiv:2010.07611"
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
        """Return scores in 0..1."""
        return {name: _scores(weight) for name, weight in weights.items()}


def _scores(weight: Tensor) -> Tensor:
    import torch

    squares, order = weight.flatten().double().square().sort(stable=True)
    # Added from the small end, so that a sum never loses its small terms.
    larger = squares.sum() - squares.cumsum(0) + squares
    found = torch.empty_like(squares)
    found[order] = squares / larger.clamp(min=torch.finfo(torch.float64).tiny)
    return found.reshape(weight.shape)
