"""How well objects are found: mean average precision as COCO defines it.

It is computed by faster-coco-eval, which gives the figures of pycocotools in a fraction of its
time. Precision is no mean over images, so that its interval is that of a jackknife: the same
evaluation on all images but one group of them, for each of twenty groups.

References:
    Lin et al., Microsoft COCO: Common Objects in Context, 2014, arXiv:1405.0312.
    Miller, The Jackknife: A Review, 1974, doi:10.1093/biomet/61.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from optim.data.boxes import MAX_BOXES, boxes_of
from optim.data.task import Detection
from optim.errors import MeasurementError
from optim.hashing import digest, digest_arrays
from optim.measure.intervals import jackknife_interval
from optim.measure.predictions import Predictions, check_finite
from optim.quantity import Comparison, Quantity

__all__ = ["detection_figures", "precision_change"]

_GROUPS = 20
_EVERYTHING = [0.0, 1e10]
"""Least and largest area of an object that counts, in square pixels."""


def detection_figures(predictions: Predictions, task: Detection) -> dict[str, Quantity]:
    """Return ``map``, mAP@0.5:0.95, and ``map50``, mAP@0.5, of what a detector finds.

    Raises:
        MeasurementError: If no image has an object, or an output is not finite.
    """
    found = _precisions(_Answers(predictions, task))
    figures = {}
    for name, column in (("map", 0), ("map50", 1)):
        value, low, high = jackknife_interval(found[0, column], found[1:, column])
        low, high = max(0.0, low), min(1.0, high)
        figures[name] = Quantity(
            value, "fraction", min(value, low), max(value, high), len(predictions), predictions.how
        )
    return figures


def precision_change(
    predictions: Predictions, baseline: Predictions, task: Detection
) -> Comparison:
    """Compare mAP@0.5:0.95 with a baseline's on the same images, in percentage points.

    Raises:
        MeasurementError: If the images differ, none has an object, or an output is not finite.
    """
    predictions.check_same_samples(baseline)
    after, before = (
        100 * _precisions(_Answers(each, task))[:, 0] for each in (predictions, baseline)
    )
    value, low, high = jackknife_interval(after[0] - before[0], after[1:] - before[1:])
    points = Quantity(value, "points", low, high, len(predictions), predictions.how)
    return Comparison(points, better="higher")


@dataclass(frozen=True)
class _Answers:
    """What a detector answers; equal ones are evaluated once."""

    predictions: Predictions = field(compare=False)
    task: Detection
    key: str = field(init=False)

    def __post_init__(self) -> None:
        outputs, targets = self.predictions.outputs, self.predictions.targets
        check_finite(outputs)
        if not self.predictions.has_boxes or not (targets[..., 4] >= 0).any():
            raise MeasurementError(
                "No image has a box, so that precision cannot be measured.",
                hint="Use data with boxes, or compare with the original model.",
            )
        arrays = {"outputs": outputs, "targets": targets}
        object.__setattr__(self, "key", digest(digest_arrays(arrays)))


@lru_cache(maxsize=8)
def _precisions(answers: _Answers) -> np.ndarray:
    """Return ``(1 + groups, 2)`` mAP@0.5:0.95 and mAP@0.5, of all images and without each group."""
    from faster_coco_eval import COCOeval_faster

    task, targets = answers.task, answers.predictions.targets
    count = len(targets)
    there = [objects[objects[:, 4] >= 0] for objects in targets]
    found = boxes_of(answers.predictions.outputs, task)
    evaluation = COCOeval_faster(
        _listed(task, [(objects[:, :4], objects[:, 4], None) for objects in there]),
        _listed(task, [(boxes.corners, boxes.classes, boxes.scores) for boxes in found]),
        "bbox",
        print_function=_silently,
        separate_eval=True,
    )
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [_EVERYTHING], ["all"]
    evaluation.params.maxDets = [MAX_BOXES]
    evaluation.evaluate()
    images = np.arange(count)
    groups = min(_GROUPS, count) if count > 1 else 0
    kept = [images, *(images[images % groups != group] for group in range(groups))]
    # By class, each with all images in turn: what is accumulated is chosen among them.
    by_class = [
        evaluation._evalImgs_cpp[i : i + count] for i in range(0, task.n_classes * count, count)
    ]
    return np.array([_accumulated(evaluation, by_class, rows) for rows in kept])


def _accumulated(evaluation: Any, by_class: list[list[Any]], rows: np.ndarray) -> list[float]:
    """Return mAP@0.5:0.95 and mAP@0.5 on some of the images that were evaluated."""
    evaluation._evalImgs_cpp = [images[row] for images in by_class for row in rows]
    evaluation._paramsEval.imgIds = rows.tolist()
    evaluation.accumulate()
    precision = evaluation.eval["precision"]  # (overlaps, recalls, classes, areas, limits)
    return [
        float(part[part >= 0].mean()) if (part >= 0).any() else 0.0
        for part in (precision, precision[:1])
    ]


def _listed(task: Detection, images: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]) -> Any:
    """Return corners ``(K, 4)``, classes and scores of every image as the evaluation takes them."""
    from faster_coco_eval import COCO

    boxes: list[dict[str, Any]] = []
    for image, (corners, classes, scores) in enumerate(images):
        sure = [1.0] * len(classes) if scores is None else scores.tolist()
        boxes += [
            {
                "id": len(boxes) + i,
                "image_id": image,
                "category_id": label,
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
                "score": score,
            }
            for i, ((left, top, right, bottom), label, score) in enumerate(
                zip(corners.tolist(), classes.tolist(), sure, strict=True), start=1
            )
        ]
    return COCO(
        {
            "images": [{"id": image} for image in range(len(images))],
            "categories": [{"id": label} for label in range(task.n_classes)],
            "annotations": boxes,
        },
        print_function=_silently,
    )


def _silently(*words: Any) -> None:
    """Say nothing."""
