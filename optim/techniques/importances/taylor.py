"""How much the loss would rise, to first order, if a channel went. Needs labelled samples."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.errors import CalibrationError
from optim.fields import Range
from optim.techniques.importances.method import ImportanceMethod, scores_of

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.channels import Channels
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

    def score(self, bundle: ModelBundle, channels: Channels, context: Context) -> dict[str, Tensor]:
        """Return the absolute first-order change of the loss."""
        import torch_pruning as tp

        from optim.layers.channels import find_channels
        from optim.train import label_loss

        module = copy.deepcopy(bundle.module).eval()
        x, targets = context.calibration(self.samples)
        if targets.ndim == 1 and bool((targets < 0).any()):
            raise CalibrationError(
                "Taylor importance needs labels, and the data have none.",
                hint="Choose magnitude or FPGM.",
            )
        objective = label_loss(bundle.task)
        for start in range(0, len(x), 128):
            context.check()
            batch = slice(start, start + 128)
            loss = objective(module(x[batch]), targets[batch], x[batch])
            loss.backward()
        copied = find_channels(module, bundle.spec.shape)
        return scores_of(copied, tp.importance.GroupTaylorImportance())
