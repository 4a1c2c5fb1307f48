"""No criterion at all: the control. One that does not beat it has learned nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.criteria.method import CriterionMethod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["Random"]


class Random(CriterionMethod):
    """A random order, decided by the recipe's seed."""

    title: ClassVar[str] = "Random (control)"

    def scores(
        self,
        bundle: ModelBundle,
        weights: Mapping[str, Tensor],
        context: Context,
        count: int,
        *,
        refit: bool = False,
    ) -> dict[str, Tensor]:
        """Return uniform random numbers."""
        import torch

        generator = context.generator()
        return {name: torch.rand(w.shape, generator=generator) for name, w in weights.items()}
