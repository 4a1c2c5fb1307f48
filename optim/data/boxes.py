"""From what a detector answers to boxes: decoding, and suppression of those that overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optim.data.task import Detection
from optim.errors import DataError

__all__ = ["MAX_BOXES", "Boxes", "Matches", "boxes_of", "matches", "overlaps", "suppressed"]

_MIN_SCORE = 0.05
"""Boxes below this score are dropped before anything else."""
MAX_BOXES = 20
"""Boxes of an image that are kept, those of the highest scores."""
_MAX_OVERLAP = 0.5
"""Of two boxes of one class that overlap more than this (IoU), the one of higher score is kept."""
_MIN_MATCH = 0.5
"""Overlap (IoU) from which a box shows an object."""
_CANDIDATES = 100
"""Boxes of an image among which overlapping ones are suppressed, those of the highest scores."""
_LONGEST = 4.0
"""Largest logarithm of a side: e^4 places are more than any image has."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """What is found in one image, highest score first.

    Attributes:
        corners: ``(K, 4)`` left, top, right and bottom in pixels.
        scores: ``(K,)`` in 0..1.
        classes: ``(K,)`` class indices.
    """

    corners: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def above(self, score: float) -> Boxes:
        """Return the boxes of at least a score."""
        rows = self.scores >= score
        return Boxes(self.corners[rows], self.scores[rows], self.classes[rows])


@dataclass(frozen=True, eq=False)
class Matches:
    """Which boxes are right in one image, and which objects nobody found.

    Attributes:
        is_right: ``(boxes,)`` bool.
        missed: ``(objects,)`` bool.
    """

    is_right: np.ndarray
    missed: np.ndarray


def boxes_of(outputs: np.ndarray, task: Detection) -> list[Boxes]:
    """Return what a detector finds in each image.

    Args:
        outputs: ``(N, channels * places)``, see :class:`~optim.data.task.Detection`.
        task: What they mean.

    Raises:
        DataError: If they are not as many numbers as the task has.
    """
    if outputs.shape[1] != task.n_numbers:
        raise DataError(
            f"A detector for these images answers {task.n_numbers:,} numbers: got "
            f"{outputs.shape[1]:,}.",
            hint="Choose a model that was made for them.",
        )
    places = outputs.reshape(len(outputs), task.n_outputs, -1).astype(np.float64)
    logits, shapes = places[:, : task.n_classes], places[:, task.n_classes :]
    row, column = np.divmod(np.arange(places.shape[2]), task.raster[1])
    middle = np.stack([column, row]) + 0.5 + shapes[:, :2]
    half = np.exp(np.minimum(shapes[:, 2:], _LONGEST)) / 2
    corners = np.concatenate([middle - half, middle + half], axis=1) * task.stride
    corners = np.clip(corners, 0, np.array([*task.size[::-1], *task.size[::-1]])[:, None])
    scores = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    return [_found(*image) for image in zip(corners, scores, strict=True)]


def _found(corners: np.ndarray, scores: np.ndarray) -> Boxes:
    """Return the boxes of one image from corners ``(4, places)``, scores ``(classes, places)``."""
    classes, places = np.nonzero(scores >= _MIN_SCORE)
    values = scores[classes, places]
    order = np.argsort(-values, kind="stable")[:_CANDIDATES]
    classes, values = classes[order], values[order]
    boxes = corners[:, places[order]].T
    kept = suppressed(boxes, classes)[:MAX_BOXES]
    return Boxes(boxes[kept], values[kept], classes[kept])


def matches(boxes: Boxes, objects: np.ndarray) -> Matches:
    """Return which boxes are right: each takes the free object of its class it overlaps most.

    For the eye; precision is measured by COCO's rules, at every overlap and every score.

    Args:
        boxes: What is found, highest score first.
        objects: ``(K, 5)`` corners and classes of what is there.
    """
    near = overlaps(boxes.corners, objects[:, :4].astype(np.float64))
    near = np.where(boxes.classes[:, None] == objects[:, 4], near, 0.0)
    is_right, missed = np.zeros(len(near), bool), np.ones(len(objects), bool)
    for i, row in enumerate(near if len(objects) else ()):
        best = int(np.argmax(row * missed))
        if missed[best] and row[best] >= _MIN_MATCH:
            is_right[i], missed[best] = True, False
    return Matches(is_right, missed)


def suppressed(corners: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return which boxes stay after non-maximum suppression, class by class.

    Args:
        corners: ``(K, 4)``, highest score first.
        classes: ``(K,)`` class indices.
    """
    clash = (overlaps(corners, corners) > _MAX_OVERLAP) & (classes[:, None] == classes)
    stays = np.ones(len(corners), bool)
    for i in range(len(corners)):
        if stays[i]:
            stays[i + 1 :] &= ~clash[i, i + 1 :]
    return np.flatnonzero(stays)


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union ``(A, B)`` of boxes ``(A, 4)`` and ``(B, 4)``.

    Example:
        >>> overlaps(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [5, 5, 6, 6]])).round(2)
        array([[0.33, 0.  ]])
    """
    a, b = first.T[:, :, None], second.T[:, None]
    wide = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    high = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    shared = np.maximum(wide, 0) * np.maximum(high, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = areas[0] + areas[1] - shared
    found: np.ndarray = shared / np.maximum(union, np.finfo(np.float64).tiny)
    return found
