"""Decoding and suppression on cases that can be computed by hand."""

import numpy as np
import pytest

from optim.data import Detection
from optim.data.boxes import boxes_of, overlaps, suppressed
from optim.errors import DataError

TASK = Detection(("ash", "birch"), (16, 24))


def answer(**places):
    """Return the output for one image in which places ``row_column`` say (logits, shape)."""
    channels = np.zeros((TASK.n_outputs, *TASK.raster), np.float32)
    channels[: TASK.n_classes] = -20
    for place, (logits, shape) in places.items():
        row, column = map(int, place[1:].split("_"))
        channels[:, row, column] = [*logits, *shape]
    return channels.reshape(1, -1)


def test_box_is_decoded_around_the_middle_of_its_place():
    (found,) = boxes_of(answer(p1_2=((-20, 2), (0.25, -0.5, 0, np.log(0.5)))), TASK)
    # Middle of place (1, 2) is (20, 12); moved by (2, -4) pixels, 8 wide and 4 high.
    np.testing.assert_allclose(found.corners, [[18, 6, 24, 10]], atol=1e-5)
    assert found.classes.tolist() == [1]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-2)))


def test_boxes_end_where_the_image_ends():
    (found,) = boxes_of(answer(p0_0=((3, -20), (0, 0, 3, 3))), TASK)
    np.testing.assert_allclose(found.corners, [[0, 0, 24, 16]])


def test_nothing_is_found_below_the_least_score():
    (found,) = boxes_of(answer(), TASK)
    assert len(found.scores) == 0
    assert found.corners.shape == (0, 4)


def test_an_overlapping_box_of_the_same_class_is_suppressed_and_of_another_stays():
    same = answer(p0_0=((3, -20), (0.5, 0, 0, 0)), p0_1=((2, -20), (-0.5, 0, 0, 0)))
    other = answer(p0_0=((3, -20), (0.5, 0, 0, 0)), p0_1=((-20, 2), (-0.5, 0, 0, 0)))
    assert [len(boxes_of(each, TASK)[0].scores) for each in (same, other)] == [1, 2]


def test_suppressed_boxes_suppress_nothing():
    # Each overlaps the next by 2/3; the first and the third by 1/3.
    row = np.array([[0.0, 0, 5, 1], [1, 0, 6, 1], [2, 0, 7, 1]])
    assert overlaps(row[:1], row)[0] == pytest.approx([1, 4 / 6, 3 / 7])
    assert suppressed(row, np.zeros(3, int)).tolist() == [0, 2]


def test_boxes_above_a_score_are_the_first_ones():
    (found,) = boxes_of(answer(p0_0=((3, -20), (0, 0, 0, 0)), p1_2=((0, -20), (0, 0, 0, 0))), TASK)
    assert len(found.scores) == 2
    assert found.above(0.6).scores.tolist() == found.scores[:1].tolist()


def test_answers_of_another_length_are_refused():
    with pytest.raises(DataError, match="answers 36 numbers: got 35"):
        boxes_of(np.zeros((1, 35), np.float32), TASK)
