"""Size of a channel's weights over its whole group. Free; the baseline of every comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice
from optim.techniques.importances.method import ImportanceMethod, reduction, scores_of

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.groups import Channels
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["Magnitude"]


class Magnitude(ImportanceMethod):
    """Norm of all weights that make or read a channel."""

    title: ClassVar[str] = "Magnitude"
    paper: ClassVar[str] = (
        "Li et al., Pruning Filters for Efficient ConvNets, 2016, arXiv:1608.08710; over groups "
        "as in Fang et al., DepGraph, 2023, arXiv:2301.12900"
    )

    norm: Annotated[
        Literal[1, 2],
        Choice(
            options={1: "L1", 2: "L2"},
            label="Norm",
            expert=True,
            help="L2 weighs single large weights more.",
        ),
    ] = 2

    def score(
        self, bundle: ModelBundle, channels: Channels, context: Context, *, total: bool = False
    ) -> dict[str, Tensor]:
        """Return the mean norm over the group's layers."""
        import torch_pruning as tp

        return scores_of(
            channels, tp.importance.GroupMagnitudeImportance(p=self.norm, **reduction(total))
        )
