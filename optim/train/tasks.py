"""The loss that a task asks for."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from optim.data.task import Detection, ModelTask
from optim.train.boxes import detection_distillation_loss, detection_loss
from optim.train.losses import Objective, classification_loss, distillation_loss

__all__ = ["imitation_loss", "label_loss"]


def label_loss(
    task: ModelTask, label_smoothing: float = 0.0, weights: Tensor | None = None
) -> Objective:
    """Return the loss against what the data say.

    Args:
        task: What is trained; of classes, or of objects with boxes.
        label_smoothing: See :func:`~optim.train.losses.classification_loss`; classes only.
        weights: See there; classes only.
    """
    if isinstance(task, Detection):
        return detection_loss(task)
    return classification_loss(label_smoothing, weights)


def imitation_loss(
    task: ModelTask,
    teacher: Callable[[Tensor], Tensor],
    temperature: float,
    alpha: float,
    hard: Objective,
) -> Objective:
    """Return the loss against what a teacher answers and what the data say.

    Args:
        task: What student and teacher are for.
        teacher: From inputs to outputs; a module in evaluation mode, on the training device.
        temperature: Softens the answers of both.
        alpha: Weight of the teacher's answers, in 0..1.
        hard: The other part.
    """
    if isinstance(task, Detection):
        return detection_distillation_loss(teacher, task, temperature, alpha, hard)
    return distillation_loss(teacher, temperature, alpha, hard)
