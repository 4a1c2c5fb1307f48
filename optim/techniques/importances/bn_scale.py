"""Size of a channel's batch norm factor. Free; only for networks with batch norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.importances.method import ImportanceMethod, reduction, scores_of

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.groups import Channels
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["BNScale"]


class BNScale(ImportanceMethod):
    """Absolute batch norm factor: how loud the network made the channel."""

    title: ClassVar[str] = "Batch norm scale"
    paper: ClassVar[str] = (
        "Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017, "
        "arXiv:1708.06519"
    )

    def score(
        self, bundle: ModelBundle, channels: Channels, context: Context, *, total: bool = False
    ) -> dict[str, Tensor]:
        """Return the mean factor over the group's batch norms."""
        import torch_pruning as tp

        return scores_of(channels, tp.importance.BNScaleImportance(**reduction(total)))
