"""Which figure decides about a model, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest

from optim.data import Classification, Outputs, Regression
from optim.data.task import NO_LABEL
from optim.errors import MeasurementError
from optim.measure.predictions import Predictions
from optim.measure.quality import METRICS, Quality, fidelity_to, quality, quality_of
from optim.quantity import UNITS, Comparison, How, Quantity

CLASSES = Classification(("ash", "birch", "cedar"))
OUTPUTS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
TURNED = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
LABELS = np.array([0, 1, 2, 0])
BLIND = np.full(4, NO_LABEL)


def said(outputs, targets, how=How.MEASURED, ids=range(4)):
    return Predictions(np.array(ids), outputs, targets, how)


def test_with_labels_accuracy_decides_and_fidelity_stands_beside_it():
    original, model = said(OUTPUTS, LABELS), said(TURNED, LABELS, How.SIMULATED)
    found = quality(model, original, CLASSES)
    assert found.primary == "accuracy"
    assert found.main == model.accuracy()
    assert found.change == model.against(original)
    assert found.figures["agreement"].value == 0.75
    assert set(found.figures) == {"accuracy", "agreement", "sqnr", "divergence", "cosine"}
    assert {figure.how for figure in found.figures.values()} == {How.SIMULATED}
    alone = quality(model, original, CLASSES, every=False)
    assert set(alone.figures) == {"accuracy"}
    assert alone.change == found.change


def test_without_labels_agreement_decides_and_is_itself_the_comparison():
    found = quality(said(TURNED, BLIND), said(OUTPUTS, BLIND), CLASSES)
    assert (found.primary, found.main.value, found.change) == ("agreement", 0.75, None)
    assert "accuracy" not in found.figures
    assert found.cost == f"agrees with the original on {found.main} of the samples"


@pytest.mark.parametrize("targets", [BLIND, LABELS], ids=["no labels", "labels"])
def test_outputs_that_are_no_classes_are_judged_by_their_sqnr(targets):
    original = said(OUTPUTS, targets)
    found = quality(said(OUTPUTS * 1.1, targets), original, Outputs())
    assert found.primary == "sqnr"
    assert found.main.value == pytest.approx(20.0, abs=1e-3)
    assert set(found.figures) == {"sqnr", "cosine"}
    assert found.cost.endswith("dB SQNR")
    same = quality(said(OUTPUTS, targets), original, Outputs())
    assert same.main is None, "there is no difference to relate to"
    assert same.cost == "gives the original's outputs unchanged"


def test_a_model_alone_has_no_figure_where_nobody_says_what_is_right():
    assert quality_of(said(OUTPUTS, LABELS), CLASSES).main.value == 1.0
    assert quality_of(said(OUTPUTS, BLIND), CLASSES) == Quality({}, "agreement")
    assert quality_of(said(OUTPUTS, BLIND), Outputs()) == Quality({}, "sqnr")


def test_quantities_are_judged_by_what_is_explained_and_compared_by_their_errors():
    targets = np.array([0.0, 1.0, 2.0, 4.0], np.float32)
    task = Regression(("height",))
    original, model = (said((targets + e)[:, None], targets) for e in (0.1, -0.2))
    found = quality(model, original, task)
    assert found.primary == "r2"
    assert {"r2", "mse", "mae", "sqnr", "cosine"} == set(found.figures)
    assert found.change.difference.value == pytest.approx(4.0, rel=1e-4)
    assert found.cost.endswith("x more squared error")
    blind = [replace(each, targets=BLIND) for each in (model, original)]
    assert quality(*blind, task).primary == "sqnr"


def test_other_samples_are_refused():
    with pytest.raises(MeasurementError, match="same samples"):
        fidelity_to(said(OUTPUTS, BLIND), said(OUTPUTS, BLIND, ids=range(1, 5)), CLASSES)


def test_a_loss_is_told_as_the_interval_allows():
    def cost(value, half):
        points = Quantity(value, "points", value - half, value + half, 100)
        return Quality({}, "accuracy", Comparison(points, "higher")).cost

    assert cost(-2.0, 1.0) == "loses 2 ± 1 points"
    assert cost(-0.5, 1.0).startswith("shows no difference beyond noise")
    assert cost(0.0, 0.0) == "predicts the same"


def test_every_metric_has_a_unit_of_quantities():
    assert {metric.unit for metric in METRICS.values()} <= set(UNITS)
