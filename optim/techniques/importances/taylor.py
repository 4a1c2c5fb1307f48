"""How much the loss would rise, to first order, if a channel went. Needs labelled samples."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.importances.method import ImportanceMethod, reduction, scores_of
from optim.techniques.pruning import losses_on_labels

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.groups import Channels
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["Taylor"]


class Taylor(ImportanceMethod):
    """Weight times gradient, summed over the weights of a channel's group."""

    title: ClassVar[str] = "Taylor"
    paper: ClassVar[str] = (
        "Molchanov et al., Importance Estimation for Neural Network Pruning, 2019, arXiv:1906.10771"
    )

    samples: Annotated[
        int,
        Range(
            low=64,
            high=2048,
            step=64,
            scale="log",
            unit="samples",
            label="Samples",
            help="Labelled training samples the gradient is averaged over.",
        ),
    ] = 256

    def score(
        self, bundle: ModelBundle, channels: Channels, context: Context, *, total: bool = False
    ) -> dict[str, Tensor]:
        """Return the absolute first-order change of the loss."""
        import torch_pruning as tp

        from optim.layers.channels import find_channels

        module = copy.deepcopy(bundle.module).eval()
        for loss in losses_on_labels(module, bundle, context, self.samples, 128, self.title):
            loss.backward()
        copied = find_channels(module, bundle.spec.shape)
        return scores_of(copied, tp.importance.GroupTaylorImportance(**reduction(total)))
