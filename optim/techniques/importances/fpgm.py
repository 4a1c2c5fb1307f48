"""Distance of a filter from all others. Free; removes what others can replace."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.importances.method import ImportanceMethod, scores_of

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.channels import Channels
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["FPGM"]


class FPGM(ImportanceMethod):
    """Sum of the distances to the other filters; near the geometric median means redundant."""

    title: ClassVar[str] = "Geometric median (FPGM)"
    paper: ClassVar[str] = "He et al., Filter Pruning via Geometric Median, 2018, arXiv:1811.00250"

    def score(self, bundle: ModelBundle, channels: Channels, context: Context) -> dict[str, Tensor]:
        """Return the mean distance over the group's layers."""
        import torch_pruning as tp

        return scores_of(channels, tp.importance.FPGMImportance())
