"""What two models' answers tell: classes, confidence, calibration, samples that change."""

import numpy as np
import pytest

from optim.data.task import Classification, Outputs, Regression
from optim.errors import MeasurementError
from optim.inspect.classes import class_changes, worst_class
from optim.inspect.confidence import BINS, _bin_of, confidence, probabilities
from optim.inspect.flips import flips
from optim.inspect.overview import overview
from optim.measure.predictions import Predictions
from optim.quantity import How

CLASSES = Classification(("cat", "dog", "fox"))


def said(shares, targets, how=How.MEASURED):
    """Return predictions of these probabilities."""
    shares = np.asarray(shares, np.float32)
    return Predictions(np.arange(len(shares)) + 100, shares, np.asarray(targets), how)


def chosen(classes, sure=0.9):
    """Return probabilities of three classes, so sure of the chosen one."""
    shares = np.full((len(classes), 3), (1 - sure) / 2)
    shares[np.arange(len(classes)), classes] = sure
    return shares


BEFORE = said(chosen([0, 0, 1, 1, 2, 2]), [0, 0, 1, 1, 2, 0])
AFTER = said(chosen([0, 1, 1, 1, 0, 0], 0.6), [0, 0, 1, 1, 2, 0], How.SIMULATED)


def test_every_class_has_its_own_paired_change():
    cat, dog, fox = class_changes(BEFORE, AFTER, CLASSES.class_names)
    assert [c.before.value for c in (cat, dog, fox)] == pytest.approx([2 / 3, 1, 1])
    assert [c.after.value for c in (cat, dog, fox)] == pytest.approx([2 / 3, 1, 0])
    assert [c.change.difference.value for c in (cat, dog, fox)] == pytest.approx([0, 0, -100])
    assert [c.after.n for c in (cat, dog, fox)] == [3, 2, 1]
    assert cat.change.difference.high > 0, "one lost, one won: nothing is known"
    assert worst_class((cat, dog, fox)) is fox


def test_of_equally_bad_classes_that_is_worst_which_lost_most():
    both = said(chosen([2, 1]), [0, 1]), said(chosen([2, 2]), [0, 1])
    found = class_changes(*both, CLASSES.class_names)
    assert [one.after.value for one in found] == [0, 0]
    assert worst_class(found).name == "dog"


def test_logits_become_probabilities_and_probabilities_stay():
    logits = np.array([[0.0, np.log(3.0)]])
    np.testing.assert_allclose(probabilities(logits), [[0.25, 0.75]])
    np.testing.assert_allclose(probabilities(logits + 1000), [[0.25, 0.75]])
    shares = np.array([[0.2, 0.8], [1.0, 0.0]])
    np.testing.assert_allclose(probabilities(shares), shares)


def test_calibration_error_by_hand():
    # Four answers, 90 % sure, three right: off by 15 points. Four, 60 % sure, none right: by 60.
    sure = np.repeat([0.9, 0.6], 4)
    shares = np.stack([sure, 1 - sure], axis=1)
    model = said(shares, [0, 0, 0, 1, 1, 1, 1, 1])
    found = confidence(model, model)
    assert found.after.ece.value == pytest.approx((0.15 + 0.6) / 2)
    assert found.after.confidence.value == pytest.approx(0.75)
    assert found.ece_change.difference.value == 0
    assert found.shift.difference.value == 0
    told = [one for one in found.after.bins if one.n]
    assert [(one.n, one.accuracy) for one in told] == [(4, 0.0), (4, 0.75)]
    assert len(found.after.bins) == BINS


def test_what_is_certain_and_right_is_calibrated_without_doubt():
    model = said(np.eye(3)[[0, 1, 2, 0]], [0, 1, 2, 0])
    found = confidence(model, model).after
    assert found.ece.value == found.ece.low == found.ece.high == 0
    assert found.by_chance.value == 0


def test_interval_of_the_calibration_error_holds_the_value_and_narrows():
    generator = np.random.default_rng(0)
    widths = []
    for n in (200, 3200):
        sure = generator.uniform(0.5, 1, n)
        right = generator.random(n) < sure - 0.2
        shares = np.stack([sure, 1 - sure], axis=1)
        ece = confidence(*[said(shares, np.where(right, 0, 1))] * 2).after.ece
        assert ece.low <= ece.value <= ece.high
        assert ece.low <= 0.2 <= ece.high
        widths.append(ece.high - ece.low)
    assert widths[1] < widths[0] / 2


def test_a_calibrated_model_stays_below_what_chance_explains():
    generator = np.random.default_rng(1)
    below = 0
    for seed in range(20):
        sure = generator.uniform(0.5, 1, 300)
        right = generator.random(300) < sure
        shares = np.stack([sure, 1 - sure], axis=1)
        found = confidence(*[said(shares, np.where(right, 0, 1))] * 2, seed=seed).after
        below += found.ece.value <= found.by_chance.value
    assert below >= 16


@pytest.mark.parametrize(
    ("sharper", "least"),
    [
        (1.2, 80),
        pytest.param(1.0, 90, marks=pytest.mark.slow),
        pytest.param(2.0, 85, marks=pytest.mark.slow),
    ],
)
def test_the_interval_of_the_calibration_error_covers_the_truth(sharper, least):
    """A model whose logits are a calibrated one's, sharper: its error is known without labels."""
    generator = np.random.default_rng(0)

    def drawn(n):
        logits = generator.normal(0, 2, (n, 5))
        truth = probabilities(logits)
        answers = probabilities(sharper * logits)
        return answers, truth

    answers, truth = drawn(200_000)
    sure, best = answers.max(axis=1), answers.argmax(axis=1)
    off = np.zeros(BINS)
    np.add.at(off, _bin_of(sure), sure - truth[np.arange(len(sure)), best])
    error = np.abs(off).sum() / len(sure)
    covered = 0
    for seed in range(100):
        answers, truth = drawn(400)
        labels = (truth.cumsum(axis=1) > generator.random((400, 1))).argmax(axis=1)
        model = said(answers, labels)
        ece = confidence(model, model, seed=seed).after.ece
        covered += ece.low - 1e-9 <= error <= ece.high
    assert covered >= least


def test_what_chance_explains_has_an_interval_from_0():
    generator = np.random.default_rng(2)
    sure = generator.uniform(0.5, 1, 300)
    shares = np.stack([sure, 1 - sure], axis=1)
    for lower, is_chance in ((0.0, True), (0.3, False)):
        right = generator.random(300) < sure - lower
        found = confidence(*[said(shares, np.where(right, 0, 1))] * 2).after
        assert (found.ece.value <= found.by_chance.value) is is_chance
        assert (found.ece.low == 0) is is_chance


def test_being_less_sure_is_a_shift_and_no_verdict_on_calibration_without_labels():
    before, after = (said(chosen([0, 1, 2, 0], sure), [-1] * 4) for sure in (0.9, 0.6))
    found = confidence(before, after)
    assert found.shift.difference.value == pytest.approx(-30)
    assert found.after.ece is found.after.by_chance is found.ece_change is None
    assert all(one.accuracy is None for one in found.after.bins)


def test_flips_are_told_by_kind_and_the_greatest_loss_comes_first():
    found = flips(BEFORE, AFTER, CLASSES)
    assert found.counts == {"lost": 2, "won": 1, "other": 0}
    assert found.share.value == pytest.approx(0.5)
    assert found.share.how == How.SIMULATED
    assert {flip.index: flip.kind for flip in found.found} == {1: "lost", 4: "lost", 5: "won"}
    first = found.found[0]
    assert (first.id, first.target, first.before, first.after) == (101, 0, 0, 1)
    assert (first.confidence_before, first.confidence_after) == pytest.approx((0.9, 0.6))
    surer = said([[0.9, 0.1, 0], [0.5, 0.4, 0.1]], [0, 0])
    other = said([[0.4, 0.6, 0], [0.1, 0.9, 0]], [0, 0])
    assert [flip.index for flip in flips(surer, other, CLASSES).found] == [0, 1]


def test_without_labels_samples_merely_change():
    found = flips(said(chosen([0, 1]), [-1, -1]), said(chosen([0, 2]), [-1, -1]), CLASSES)
    assert found.counts == {"changed": 1}
    assert found.found[0].target is None


@pytest.mark.parametrize("task", [Regression(), Outputs()], ids=["quantities", "numbers"])
def test_only_classes_can_flip(task):
    with pytest.raises(MeasurementError, match="another class"):
        flips(BEFORE, AFTER, task)


def test_an_overview_has_the_mean_and_the_worst_class_beside_it():
    found = overview(BEFORE, AFTER, CLASSES)
    assert found.after.main.value == pytest.approx(4 / 6)
    assert found.before.main.value == pytest.approx(5 / 6)
    assert found.worst.name == "fox"
    assert found.after.figures["agreement"].value == pytest.approx(0.5)
    assert found.missing == ""


def test_what_is_not_known_of_classes_says_why():
    unlabelled = overview(said(chosen([0, 1]), [-1, -1]), said(chosen([0, 2]), [-1, -1]), CLASSES)
    assert "no labels" in unlabelled.missing
    assert unlabelled.worst is None
    assert unlabelled.confidence.shift is not None
    quantities = [Predictions(np.arange(3), v, np.arange(3.0)) for v in np.ones((2, 3, 1))]
    found = overview(*quantities, Regression())
    assert "quantities" in found.missing
    assert found.confidence is None
    assert "r2" in found.after.figures


def test_models_are_compared_on_the_same_samples_only():
    other = Predictions(BEFORE.ids + 1, BEFORE.outputs, BEFORE.targets)
    for compare in (
        lambda: class_changes(BEFORE, other, CLASSES.class_names),
        lambda: confidence(BEFORE, other),
        lambda: flips(BEFORE, other, CLASSES),
    ):
        with pytest.raises(MeasurementError, match="same samples"):
            compare()
