"""What training makes small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from optim.train.checks import check_targets

__all__ = ["Objective", "balanced_weights", "classification_loss", "distillation_loss"]

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps outputs ``(B, numbers)``, targets and the augmented inputs to a scalar loss.

Targets are ``(B,)`` class indices, ``(B, classes)`` shares where samples were mixed, or the boxes
of :mod:`optim.train.boxes`. One that is an ``nn.Module`` with parameters is trained along.
"""


def classification_loss(label_smoothing: float = 0.0, weights: Tensor | None = None) -> Objective:
    """Return cross-entropy.

    Args:
        label_smoothing: Share of each label that is spread over all classes.
        weights: ``(classes,)``; how much a sample of each class counts. None counts all alike.
    """

    def loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        if weights is None:
            return functional.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
        each = functional.cross_entropy(
            outputs, targets, label_smoothing=label_smoothing, reduction="none"
        )
        by_class = weights.to(outputs)
        return (each * (by_class[targets] if targets.ndim == 1 else targets @ by_class)).mean()

    return loss


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """Return ``(classes,)`` weights under which every class counts the same.

    Samples weigh one on average; a class without samples weighs nothing.

    Raises:
        CalibrationError: If a target is no class.
    """
    check_targets(targets, classes)
    counts = torch.bincount(targets, minlength=classes).float()
    present = counts > 0
    return torch.where(present, len(targets) / (present.sum() * counts.clamp(min=1)), 0.0)


def distillation_loss(
    teacher: Callable[[Tensor], Tensor],
    temperature: float,
    alpha: float,
    hard: Objective | None = None,
) -> Objective:
    """Return the loss of a student that imitates a teacher.

    ``alpha * T^2 * KL(teacher at T || student at T) + (1 - alpha) * hard``; the factor ``T^2``
    keeps the gradients of both parts comparable when the temperature changes.

    Args:
        teacher: From inputs to logits; a module in evaluation mode, on the training device.
        temperature: Softens both distributions; 1 leaves them.
        alpha: Weight of the soft part, in 0..1.
        hard: The other part, by default cross-entropy.

    References:
        Hinton et al., Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531
    """
    hard = hard or classification_loss()

    def loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            soft = functional.log_softmax(teacher(inputs) / temperature, dim=1)
        student = functional.log_softmax(outputs / temperature, dim=1)
        imitation = functional.kl_div(student, soft, reduction="batchmean", log_target=True)
        return alpha * temperature**2 * imitation + (1 - alpha) * hard(outputs, targets, inputs)

    return loss
