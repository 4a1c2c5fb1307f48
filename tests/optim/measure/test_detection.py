"""Mean average precision: that of COCO's own program, on cases known by hand, with its interval."""

import contextlib
import io

import numpy as np
import pytest

from optim.data import Detection
from optim.data.boxes import MAX_BOXES, boxes_of
from optim.data.task import NO_LABEL
from optim.errors import MeasurementError
from optim.measure.detection import detection_figures, precision_change
from optim.measure.intervals import jackknife_interval, mean_interval
from optim.measure.predictions import Predictions
from optim.measure.quality import quality

TASK = Detection(("ash", "birch", "cedar"), (32, 32))


def scenes(count, seed=0):
    """Return ``(count, 3, 5)`` objects, each alone in its place: one or two, classes in turn."""
    rng = np.random.default_rng(seed)
    targets = np.full((count, 3, 5), NO_LABEL, np.int64)
    for i, objects in enumerate(targets):
        places = rng.permutation(16)[: 1 + i % 2]
        for k, place in enumerate(places):
            left, top = 8 * (place % 4), 8 * (place // 4)
            objects[k] = [left, top, left + 8, top + 8, (i + k) % 3]
    return targets


def answers(targets, *, wrong=0.0, moved=0.0, seed=1):
    """Return outputs that find the objects; some of another class, and some beside their place."""
    rng = np.random.default_rng(seed)
    outputs = np.zeros((len(targets), TASK.n_outputs, 4, 4), np.float32)
    outputs[:, :3] = -20
    for i, objects in enumerate(targets):
        for left, top, _, _, label in objects[objects[:, 4] >= 0]:
            shown = (label + (rng.random() < wrong)) % 3
            outputs[i, shown, top // 8, left // 8] = rng.uniform(-1, 3)
            outputs[i, 3:5, top // 8, left // 8] = moved * rng.standard_normal(2)
    return Predictions(np.arange(len(targets)), outputs.reshape(len(targets), -1), targets)


def coco(predictions):
    """Return mAP@0.5:0.95 and mAP@0.5 by pycocotools, from what was decoded."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def listed(images):
        found = COCO()
        found.dataset = {
            "images": [{"id": i} for i in range(len(predictions))],
            "categories": [{"id": i} for i in range(TASK.n_classes)],
            "annotations": [
                {
                    "image_id": i,
                    "category_id": int(label),
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "area": (box[2] - box[0]) * (box[3] - box[1]),
                    "iscrowd": 0,
                    "score": float(score),
                }
                for i, (boxes, labels, scores) in enumerate(images)
                for box, label, score in zip(boxes.astype(float), labels, scores, strict=True)
            ],
        }
        for number, box in enumerate(found.dataset["annotations"], start=1):
            box["id"] = number
        found.createIndex()
        return found

    known = [objects[objects[:, 4] >= 0] for objects in predictions.targets]
    found = boxes_of(predictions.outputs, TASK)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            listed([(each[:, :4], each[:, 4], np.ones(len(each))) for each in known]),
            listed([(each.corners, each.classes, each.scores) for each in found]),
            "bbox",
        )
        evaluation.params.maxDets = [1, 10, MAX_BOXES]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, -1]
    return [part[part > -1].mean() for part in (precision, precision[:1])]


def test_figures_are_those_of_pycocotools():
    found = answers(scenes(60), wrong=0.3, moved=0.2)
    figures = detection_figures(found, TASK)
    assert [figures["map"].value, figures["map50"].value] == pytest.approx(coco(found), abs=1e-12)
    assert 0.05 < figures["map"].value < figures["map50"].value < 0.9


def test_perfect_answers_have_precision_one_and_no_doubt():
    figures = detection_figures(answers(scenes(40)), TASK)
    assert all((q.value, q.low, q.high) == (1.0, 1.0, 1.0) for q in figures.values())


def test_a_detector_that_finds_nothing_has_precision_zero():
    targets = scenes(12)
    blind = Predictions(np.arange(12), np.full((12, 7 * 16), -20, np.float32), targets)
    assert detection_figures(blind, TASK)["map"].value == 0


def test_boxes_moved_by_a_quarter_count_at_low_overlaps_only():
    # A box moved by 2 of 8 pixels overlaps by 6 / 10: three of ten thresholds are met.
    targets = np.array([[[8, 8, 16, 16, label % 3]] for label in range(12)])
    outputs = answers(targets).outputs.reshape(12, 7, 4, 4).copy()
    outputs[:, 3] = 0.25
    figures = detection_figures(Predictions(np.arange(12), outputs.reshape(12, -1), targets), TASK)
    assert figures["map50"].value == pytest.approx(1.0)
    assert figures["map"].value == pytest.approx(0.3)


def test_interval_narrows_with_more_images_and_holds_the_value():
    few, many = (detection_figures(answers(scenes(n), wrong=0.3), TASK)["map50"] for n in (40, 640))
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 2
    assert many.n == 640


def test_the_change_between_equal_answers_is_exactly_none():
    found = answers(scenes(40), wrong=0.3)
    change = precision_change(found, found, TASK)
    assert change.verdict() == "no difference"


def test_paired_change_is_more_certain_than_both_figures():
    targets = scenes(200)
    before, after = answers(targets, wrong=0.3), answers(targets, wrong=0.3, moved=0.1)
    change = precision_change(after, before, TASK).difference
    figures = [100 * detection_figures(each, TASK)["map"].half_width for each in (before, after)]
    assert change.half_width < float(np.hypot(*figures))
    assert change.value < 0


def test_quality_of_a_detector_has_map_in_front_and_fidelity_beside():
    targets = scenes(40)
    judged = quality(answers(targets, moved=0.1), answers(targets), TASK)
    assert judged.primary == "map"
    assert set(judged.figures) == {"map", "map50", "sqnr", "cosine"}
    assert judged.cost.startswith("loses")


def test_images_without_any_object_are_refused():
    targets = np.full((3, 2, 5), NO_LABEL)
    found = Predictions(np.arange(3), np.zeros((3, 7 * 16), np.float32), targets)
    with pytest.raises(MeasurementError, match="No image has a box"):
        detection_figures(found, TASK)


def test_outputs_that_are_not_finite_are_refused():
    found = answers(scenes(4))
    found.outputs[0, 0] = np.nan
    with pytest.raises(MeasurementError, match="not finite"):
        detection_figures(found, TASK)


def test_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(0).standard_normal(30)
    without = (values.sum() - values) / (len(values) - 1)
    assert jackknife_interval(values.mean(), without) == pytest.approx(mean_interval(values))
