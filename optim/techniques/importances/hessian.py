"""How much the loss would rise, to second order, if a channel went. Needs labelled samples."""

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

__all__ = ["Hessian"]

_AT_ONCE = 16
"""Samples of one gradient: their squares stand for the curvature, and cancel out in large ones."""


class Hessian(ImportanceMethod):
    """Square of weight times gradient, summed over small batches and the weights of a group.

    The squared gradients are the diagonal of the empirical Fisher matrix, which stands for that of
    the Hessian near a minimum: Optimal Brain Damage for whole channels.
    """

    title: ClassVar[str] = "Hessian (Fisher)"
    paper: ClassVar[str] = (
        "LeCun et al., Optimal Brain Damage, 1989; Theis et al., Faster Gaze Prediction with Dense "
        "Networks and Fisher Pruning, 2018, arXiv:1801.05787"
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
            help="Labelled training samples the squared gradients are averaged over.",
        ),
    ] = 256

    def score(
        self, bundle: ModelBundle, channels: Channels, context: Context, *, total: bool = False
    ) -> dict[str, Tensor]:
        """Return half of the curvature along each channel's weights."""
        import torch
        import torch_pruning as tp

        from optim.layers.channels import find_channels

        module = copy.deepcopy(bundle.module).eval()
        squares = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
        for loss in losses_on_labels(module, bundle, context, self.samples, _AT_ONCE, "Hessian"):
            module.zero_grad()
            loss.backward()
            for name, parameter in module.named_parameters():
                if parameter.grad is not None:
                    squares[name] += parameter.grad.square()
        # The measure takes what stands where gradients do for the curvature.
        for name, parameter in module.named_parameters():
            parameter.grad = squares[name]
        copied = find_channels(module, bundle.spec.shape)
        return scores_of(copied, tp.importance.GroupHessianImportance(**reduction(total)))
