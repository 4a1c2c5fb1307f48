"""Accuracy, difference, agreement and confusion from outputs by sample."""

import numpy as np
import pytest

from optim.errors import DataError, MeasurementError
from optim.measure.predictions import Predictions, batches
from optim.quantity import How


def said(classes, targets, n=3, how=How.MEASURED):
    """Return predictions of a model that says these classes."""
    targets = np.array(targets)
    return Predictions(np.arange(len(targets)), np.eye(n, dtype=np.float32)[classes], targets, how)


def test_accuracy_is_the_share_that_is_right():
    quality = said([0, 1, 2, 0], [0, 1, 1, 0]).accuracy()
    assert (quality.value, quality.n, quality.unit) == (0.75, 4, "fraction")
    assert quality.low < 0.75 < quality.high


def test_a_simulated_result_says_so():
    assert said([0], [0], how=How.SIMULATED).accuracy().how is How.SIMULATED


def test_accuracy_by_class():
    found = said([0, 0, 1, 2, 2], [0, 0, 1, 1, 1]).class_accuracy()
    assert {label: q.value for label, q in found.items()} == {0: 1.0, 1: pytest.approx(1 / 3)}


def test_confusion_counts_true_classes_in_rows():
    found = said([0, 1, 1, 2], [0, 0, 1, 1]).confusion()
    assert found.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_the_difference_counts_only_what_changed():
    before, after = said([0, 1, 2, 1], [0, 1, 2, 0]), said([0, 0, 2, 0], [0, 1, 2, 0])
    change = after.against(before)
    assert change.difference.value == 0.0  # one lost, one won
    assert change.direction == "same"
    assert change.verdict().startswith("no difference beyond noise")
    worse = said([1, 0, 0, 1], [0, 1, 2, 0]).against(said([0, 1, 2, 0], [0, 1, 2, 0]))
    assert worse.difference.value == -100


def test_a_large_difference_is_beyond_noise_and_a_small_one_is_not():
    targets = np.zeros(1000, dtype=int)
    right = said(np.zeros(1000, dtype=int), targets)
    few, many = np.zeros(1000, dtype=int), np.zeros(1000, dtype=int)
    few[:2], many[:50] = 1, 1
    assert said(many, targets).against(right).direction == "worse"
    assert said(few, targets).against(right).direction == "same"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_are_no_answers(value):
    good, bad = said([0, 1], [0, 1]), said([0, 1], [0, 1])
    bad.outputs[1, 2] = value
    asked = (bad.accuracy, bad.class_accuracy, bad.confusion)
    compared = (lambda: bad.against(good), lambda: good.against(bad), lambda: good.agreement(bad))
    for ask in (*asked, *compared):
        with pytest.raises(MeasurementError, match="outputs that are not finite"):
            ask()


def test_models_are_compared_on_the_same_samples_only():
    first, second = said([0, 1], [0, 1]), said([0, 1], [0, 1])
    moved = Predictions(second.ids[::-1], second.outputs, second.targets)
    for compare in (first.against, first.agreement, first.largest_difference):
        with pytest.raises(MeasurementError, match="on the same samples"):
            compare(moved)


def test_agreement_needs_no_labels():
    first, second = said([0, 1, 2, 2], [0, 0, 0, 0]), said([0, 1, 2, 1], [1, 1, 1, 1])
    assert first.agreement(second).value == 0.75
    assert first.largest_difference(second) == 1.0


def test_parts_join_to_the_whole():
    whole = said([0, 1, 2, 0, 1], [0, 1, 1, 0, 0])
    parts = [
        Predictions(whole.ids[rows], whole.outputs[rows], whole.targets[rows])
        for rows in batches(5, 2)
    ]
    joined = Predictions.joined(parts)
    assert joined.accuracy() == whole.accuracy()
    assert np.array_equal(joined.ids, whole.ids)


def test_a_class_the_model_does_not_know_is_refused():
    with pytest.raises(DataError, match="has class 3, the model only 3 outputs"):
        said([0, 1], [0, 3])


def test_no_sample_gives_no_accuracy():
    with pytest.raises(MeasurementError, match="at least one sample"):
        said(np.zeros(0, dtype=int), np.zeros(0, dtype=int)).accuracy()


def test_batches_cover_everything_once_in_order():
    assert [s.stop - s.start for s in batches(7, 3)] == [3, 3, 1]
    assert list(batches(0, 3)) == []


def test_without_labels_agreement_can_be_asked_and_accuracy_cannot():
    one, other = said([0, 1, 2, 0], [-1] * 4), said([0, 1, 1, 0], [-1] * 4)
    assert not one.is_labelled
    assert one.agreement(other).value == 0.75
    assert one.largest_difference(other) == 1.0
    for question in (one.accuracy, one.class_accuracy, one.confusion, lambda: one.against(other)):
        with pytest.raises(MeasurementError, match="have no labels") as caught:
            question()
        assert "agreement needs no labels" in caught.value.hint


def test_a_label_that_is_missing_among_others_is_refused():
    with pytest.raises(DataError, match="have labels and others have none"):
        said([0, 1], [-1, 1])
