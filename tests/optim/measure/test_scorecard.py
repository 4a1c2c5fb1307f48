"""Scorecards, ratios and the verdict in words."""

import json

import pytest

from optim.measure.quality import Quality
from optim.measure.scorecard import Scorecard, ratio
from optim.measure.verdict import verdict
from optim.quantity import Comparison, How, Quantity


def card(**fields):
    exact = Quantity.exact
    base = {
        "quality": {"accuracy": Quantity(0.9, "fraction", 0.88, 0.92, 1000)},
        "primary": "accuracy",
        "params": exact(10, "params"),
        "macs": exact(100, "macs"),
        "sparsity": exact(0.5, "fraction"),
        "sizes": {"dense": exact(40, "bytes")},
    }
    return Scorecard(**{**base, **fields})


@pytest.mark.parametrize("file", [None, Quantity.exact(123, "bytes")])
def test_a_scorecard_comes_back_from_json(file):
    original = card(file=file, conditions={"threads": 1})
    assert Scorecard.from_json(json.loads(json.dumps(original.to_json()))) == original


def test_what_was_not_measured_is_nothing_rather_than_zero():
    data = card().to_json()
    assert data["latency"] is None
    assert data["file"] is None


def test_a_ratio_is_candidate_over_baseline():
    change = ratio(Quantity.exact(100, "bytes"), Quantity.exact(25, "bytes"))
    assert change.difference.value == 0.25
    assert change.direction == "better"
    assert change.verdict() == "4.00x less"


def test_a_ratio_to_nothing_is_no_change():
    assert ratio(Quantity.exact(0, "macs"), Quantity.exact(0, "macs")).direction == "same"


def points(value, half):
    return Comparison(Quantity(value, "points", value - half, value + half, 4000), "higher")


def times(value, half=0.0):
    return Comparison(Quantity(value, "x", value - half, value + half, 40), "lower")


@pytest.mark.parametrize(
    ("accuracy", "size", "latency", "sentence"),
    [
        (
            points(-0.6, 0.4),
            times(0.244),
            None,
            "This network is 4.1x smaller and loses 0.6 ± 0.4 points.",
        ),
        (
            points(-0.6, 0.4),
            times(0.25),
            times(0.5, 0.1),
            "This network is 4.0x smaller and 2.0x faster, and loses 0.6 ± 0.4 points.",
        ),
        (
            points(-0.1, 0.5),
            times(0.25),
            times(1.0, 0.2),
            "This network is 4.0x smaller and shows no difference beyond noise "
            "(-0.1 ± 0.5 points).",
        ),
        (
            points(1.5, 0.5),
            times(2.0),
            None,
            "This network is 2.0x larger and gains 1.5 ± 0.5 points.",
        ),
        (
            points(0.0, 0.0),
            times(1.0),
            None,
            "This network has the size and speed it had, and predicts the same.",
        ),
        (
            points(-30.0, 2.0),
            times(1.0),
            times(2.0, 0.1),
            "This network is 2.0x slower and loses 30 ± 2 points.",
        ),
    ],
)
def test_the_verdict_promises_what_the_intervals_hold(accuracy, size, latency, sentence):
    assert verdict(Quality({}, "accuracy", accuracy), size, latency) == sentence


def test_noise_is_never_sold_as_speed():
    lost = Quality({}, "accuracy", points(-1, 0.1))
    text = verdict(lost, times(0.5), times(0.9, 0.2))
    assert "faster" not in text


def test_how_a_number_was_obtained_survives():
    estimated = card(latency=Quantity(1.0, "ms", 0.5, 2.0, None, How.ESTIMATED))
    assert Scorecard.from_json(estimated.to_json()).latency.how is How.ESTIMATED
