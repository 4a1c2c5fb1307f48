"""Scenes of several digits: the same bytes for ever, and boxes that hold the ink."""

import hashlib

import numpy as np
import pytest

from optim.data import open_data, overlap, trained_on
from optim.data.task import NO_LABEL


@pytest.fixture(scope="module")
def scenes():
    return open_data("digit-scenes").part("validation")


def test_first_scenes_have_the_bytes_they_always_had(scenes):
    found = [np.asarray(array[:100]).tobytes() for array in (scenes.inputs, scenes.targets)]
    assert [hashlib.sha256(each).hexdigest()[:16] for each in found] == [
        "eb75096eebc5e139",
        "4354dd9ed918f785",
    ]


def test_there_are_one_to_six_digits_and_the_rest_is_empty(scenes):
    is_there = scenes.targets[..., 4] != NO_LABEL
    assert set(is_there.sum(axis=1)) <= set(range(1, 7))
    assert (scenes.targets[~is_there] == NO_LABEL).all()


def test_boxes_lie_in_the_scene_and_have_different_scales(scenes):
    boxes = scenes.targets[scenes.targets[..., 4] != NO_LABEL][:, :4]
    assert boxes.min() >= 0
    assert boxes.max() <= 64
    heights = boxes[:, 3] - boxes[:, 1]
    assert (boxes[:, 2] > boxes[:, 0]).all()
    assert np.quantile(heights, 0.9) > 1.5 * np.quantile(heights, 0.1)


def test_all_digits_are_nearly_equally_frequent(scenes):
    labels = scenes.targets[..., 4]
    counts = np.bincount(labels[labels != NO_LABEL])
    np.testing.assert_allclose(counts / counts.sum(), 0.1, atol=0.02)


def test_boxes_hold_what_differs_from_the_ground(scenes):
    """Pixels inside boxes differ from the scene's median colour more than those outside."""
    values = scenes.inputs[:200].astype(float)
    away = np.abs(values - np.median(values, axis=(2, 3), keepdims=True)).mean(axis=1)
    inside = np.zeros(away.shape, bool)
    for mask, objects in zip(inside, scenes.targets[:200], strict=True):
        for left, top, right, bottom, label in objects:
            if label != NO_LABEL:
                mask[top:bottom, left:right] = True
    assert away[inside].mean() > 1.5 * away[~inside].mean()


def test_validation_is_unseen_by_what_was_trained_on_the_train_part():
    data = open_data("digit-scenes")
    assert overlap(data, "validation", trained_on(data)) == "unseen"


def test_most_digits_can_be_chosen():
    targets = open_data("digit-scenes?digits=2").part("test").targets
    assert targets.shape[1:] == (2, 5)
