"""Distance of a filter from all others. Free; removes what others can replace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from optim.techniques.importances.method import ImportanceMethod, reduction, scores_of

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.groups import Channels
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["FPGM"]


class FPGM(ImportanceMethod):
    """Sum of the distances to the other filters; near the geometric median means redundant."""

    title: ClassVar[str] = "Geometric median (FPGM)"
    paper: ClassVar[str] = "He et al., Filter Pruning via Geometric Median, 2018, arXiv:1811.00250"

    def score(
        self, bundle: ModelBundle, channels: Channels, context: Context, *, total: bool = False
    ) -> dict[str, Tensor]:
        """Return the mean distance over the group's layers."""
        import torch_pruning as tp

        measure = tp.importance.FPGMImportance(**reduction(total))
        return scores_of(channels, lambda source: measure(_without_grouped(source)))


def _without_grouped(source: Any) -> Any:
    """Return one of torch-pruning's groups without the grouped layers that read the channels.

    They have one column for several channels, which says nothing of how far filters are apart.
    """
    from torch_pruning.dependency import Group

    found = Group()
    for item in source:
        layer, name = item.dep.target.module, item.dep.handler.__name__
        if getattr(layer, "groups", 1) > 1 and name == "prune_in_channels":
            continue
        found.add_dep(item.dep, item.idxs)
        found.items[-1].root_idxs = item.root_idxs
    return found
