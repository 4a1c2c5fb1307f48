"""What training makes small where a model shall find objects.

References:
    Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, 2019, arXiv:1904.01355;
    Li et al., Generalized Focal Loss, 2020, arXiv:2006.04388: how good a box is, is the target of
    its class;
    Rezatofighi et al., Generalized Intersection over Union, 2019, arXiv:1902.09630.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from optim.data.task import Detection
from optim.train.losses import Objective

__all__ = ["detection_distillation_loss", "detection_loss"]

_REACH = 1.0
"""How far from a place's middle, in places along each side, that of an object may lie."""
_BOX_WEIGHT = 2.0
_LONGEST = 4.0
"""Largest logarithm of a side: e^4 places are more than any image has."""


def detection_loss(task: Detection) -> Objective:
    """Return the loss of classes and boxes.

    An object is seen by the places whose middles are near that of its box, at most four; where
    several objects claim a place, it sees the smallest. Classes learn by quality focal loss, boxes
    by generalised IoU; both are divided by the number of places that see an object.
    """

    def loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        logits, shapes = _split(outputs, task)
        middles = _middles(task).to(inputs)
        labels, wanted, sees = _assigned(targets, middles, task.stride)
        middle = shapes[..., :2] + middles
        half = shapes[..., 2:].clamp(max=_LONGEST).exp() / 2
        found = torch.cat([middle - half, middle + half], dim=2)[sees]
        overlap, generalised = _overlaps(found, wanted[sees])
        goal = torch.zeros_like(logits)
        goal[sees] = functional.one_hot(labels[sees], task.n_classes) * overlap.detach()[:, None]
        count = max(1, int(sees.sum()))
        focus = (logits.sigmoid() - goal).detach().square()
        classes = functional.binary_cross_entropy_with_logits(logits, goal, focus, reduction="sum")
        return (classes + _BOX_WEIGHT * (1 - generalised).sum()) / count

    return loss


def detection_distillation_loss(
    teacher: Callable[[Tensor], Tensor],
    task: Detection,
    temperature: float,
    alpha: float,
    hard: Objective | None = None,
) -> Objective:
    """Return the loss of a detector that imitates another one.

    ``alpha * (T^2 * KL(teacher at T || student at T) + box error) + (1 - alpha) * hard``. The
    divergence is that of each class's yes or no; boxes count by how sure the teacher is that an
    object is there. Both are divided by the objects that the teacher sees.

    Args:
        teacher: From inputs to outputs; a module in evaluation mode, on the training device.
        task: What both answer.
        temperature: Softens both answers about classes.
        alpha: Weight of the imitation, in 0..1.
        hard: The other part, by default :func:`detection_loss`.

    References:
        Chen et al., Learning Efficient Object Detection Models with Knowledge Distillation, 2017.
    """
    hard = hard or detection_loss(task)

    def loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        logits, shapes = _split(outputs, task)
        with torch.no_grad():
            own, boxes = _split(teacher(inputs), task)
            sure = own.sigmoid().amax(dim=2)
            count = sure.sum().clamp(min=1)
            soft = (own / temperature).sigmoid()
            entropy = functional.binary_cross_entropy(soft, soft, reduction="sum")
        cross = functional.binary_cross_entropy_with_logits(
            logits / temperature, soft, reduction="sum"
        )
        apart = functional.smooth_l1_loss(shapes, boxes, reduction="none").sum(dim=2)
        imitation = (temperature**2 * (cross - entropy) + (sure * apart).sum()) / count
        return alpha * imitation + (1 - alpha) * hard(outputs, targets, inputs)

    return loss


def _split(outputs: Tensor, task: Detection) -> tuple[Tensor, Tensor]:
    """Return logits ``(B, places, classes)``, and middles and sizes ``(B, places, 4)``."""
    by_place = outputs.reshape(len(outputs), task.n_outputs, -1).transpose(1, 2)
    return by_place[..., : task.n_classes], by_place[..., task.n_classes :]


def _middles(task: Detection) -> Tensor:
    """Return ``(places, 2)`` columns and rows of the places' middles, in places."""
    rows, columns = (torch.arange(count) + 0.5 for count in task.raster)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([column.flatten(), row.flatten()], dim=1)


def _assigned(targets: Tensor, middles: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return which object every place sees.

    Args:
        targets: ``(B, objects, 5)`` boxes in pixels, and classes.
        middles: ``(places, 2)`` in places.
        stride: Side of a place in pixels.

    Returns:
        Classes ``(B, places)``, boxes ``(B, places, 4)`` in places, and whether there is any.
    """
    boxes, labels = targets[..., :4] / stride, targets[..., 4]
    size = boxes[..., 2:] - boxes[..., :2]
    away = (middles[None, :, None] - (boxes[:, None, :, :2] + size[:, None] / 2)).abs()
    claims = (away.amax(dim=3) < _REACH) & (labels >= 0)[:, None]
    area = size.prod(dim=2)[:, None].expand(claims.shape)
    smallest = area.masked_fill(~claims, math.inf).argmin(dim=2)
    chosen = smallest[..., None].expand(*smallest.shape, 4)
    return labels.gather(1, smallest), boxes.gather(1, chosen), claims.any(dim=2)


def _overlaps(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalised IoU ``(K,)`` of boxes ``(K, 4)``: left, top, right, bottom."""
    inner = torch.minimum(found[:, 2:], wanted[:, 2:]) - torch.maximum(found[:, :2], wanted[:, :2])
    outer = torch.maximum(found[:, 2:], wanted[:, 2:]) - torch.minimum(found[:, :2], wanted[:, :2])
    shared, around = inner.clamp(min=0).prod(dim=1), outer.prod(dim=1)
    areas = [(box[:, 2:] - box[:, :2]).prod(dim=1) for box in (found, wanted)]
    union = areas[0] + areas[1] - shared
    overlap = shared / union
    return overlap, overlap - (around - union) / around
