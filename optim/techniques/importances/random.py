"""No importance at all: the control. A method that does not beat it has learned nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.importances.method import ImportanceMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.groups import Channels
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["Random"]


class Random(ImportanceMethod):
    """A random order, decided by the recipe's seed."""

    title: ClassVar[str] = "Random (control)"

    def score(
        self, bundle: ModelBundle, channels: Channels, context: Context, *, total: bool = False
    ) -> dict[str, Tensor]:
        """Return uniform random numbers."""
        import torch

        generator = context.generator()
        return {g.name: torch.rand(g.size, generator=generator) * 2 for g in channels.groups}
