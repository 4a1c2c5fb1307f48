"""Figures of a run stand as they were stored; nothing is subtracted."""

from dataclasses import replace

import pytest

from optim.quantity import Comparison, How, Quantity
from optim.runs.figures import figures_of, highest_of, quality_of, verdict_of
from tests.pages.worked import scorecard, trainable


@pytest.fixture
def run(worked):
    return worked.finished()


def test_accuracy_size_latency_and_macs_in_this_order(run):
    assert [figure.name for figure in figures_of(run)] == ["Accuracy", "Size", "Latency", "MACs"]
    assert quality_of(run) == figures_of(run)[0]


def test_a_change_is_the_stored_comparison_and_not_a_difference(run):
    stored = run.result["change"]["accuracy"]
    figure = quality_of(run)
    assert figure.change == Comparison.from_json(stored)
    assert figure.change.verdict() == "loses 1.4 ± 0.9 points"
    assert figure.after.how is How.SIMULATED


def test_macs_are_exact_counts_and_compared_as_such(run):
    macs = figures_of(run)[3]
    assert macs.change.difference.is_exact
    assert macs.change.verdict() == "3.11x less"


def test_what_was_not_measured_is_none(run):
    card = scorecard(trainable())
    card["result"]["latency"] = card["baseline"]["latency"] = None
    del card["change"]["latency"]
    latency = figures_of(replace(run, result=card))[2]
    assert latency.before is latency.after is latency.change is None


def test_the_conditions_of_a_latency_are_said(run):
    assert "ONNX Runtime 1.32, batch 1, 1 thread;" in figures_of(run)[2].about


def test_samples_without_parts_are_only_samples(run):
    whole = replace(run, result={**run.result, "part": "all"})
    assert "the same 362 samples;" in quality_of(whole).about
    assert "362 validation samples" in quality_of(run).about


@pytest.mark.parametrize(
    ("figures", "reached"),
    [
        ({"agreement": Quantity(0.97, "fraction", 0.95, 0.98, 362).to_json()}, "97 ± 2 %"),
        ({}, "no difference"),
    ],
)
def test_without_labels_the_primary_figure_is_itself_the_comparison(run, figures, reached):
    card = scorecard(trainable())
    primary = "agreement" if figures else "sqnr"
    for side in ("baseline", "result"):
        card[side] |= {"accuracy": None, "primary": primary}
    card["result"] |= figures
    card["change"]["accuracy"] = None
    found = quality_of(replace(run, result=card))
    assert found.name.lower() == primary
    assert (found.is_relative, found.before, found.change) == (True, None, None)
    assert found.reached == reached


@pytest.mark.parametrize("result", [None, {}, {"schema": "optim.something/7"}])
def test_a_run_without_a_known_scorecard_has_no_figures(run, result):
    other = replace(run, result=result)
    assert figures_of(other) == ()
    assert quality_of(other) is None
    assert verdict_of(other) == ""


def test_the_verdict_is_the_stored_sentence(run):
    assert verdict_of(run).startswith("This network is 4.1x smaller")


def test_of_a_comparison_the_highest_is_named(run):
    def outcome(title, value):
        figure = Quantity(value, "fraction", value - 0.02, value + 0.02, 3)
        return {"title": title, "accuracy": figure.to_json()}

    compared = replace(run, result={"outcomes": [outcome("a", 0.5), outcome("b", 0.7)]})
    assert highest_of(compared) == "highest of 2: b, 70 ± 2 %"
    assert highest_of(run) == ""
    assert highest_of(replace(run, result=None)) == ""
