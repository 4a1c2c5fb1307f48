"""Models against a reference: paired where they can be, and said where they cannot."""

import numpy as np
import pytest

from optim.compare.contest import Side, against, class_table
from optim.compare.vectors import (
    common,
    forget_predictions,
    keep_predictions,
    kept_predictions,
    vector_key,
)
from optim.data.task import Classification
from optim.measure.independent import independent_difference, independent_ratio
from optim.measure.predictions import Predictions, accuracy_change
from optim.measure.quality import quality_of
from optim.measure.scorecard import Scorecard
from optim.quantity import How, Quantity

TASK = Classification(("cat", "dog"))


def said(right, first=0):
    """Return predictions of two classes that are right or wrong as told."""
    targets = np.arange(len(right)) % 2
    chosen = np.where(right, targets, 1 - targets)
    outputs = np.eye(2, dtype=np.float32)[chosen]
    return Predictions(np.arange(len(right)) + first, outputs, targets)


def side(predictions, *, size=1000, data="d", latency=None, conditions=None):
    own = quality_of(predictions, TASK)
    counts = [Quantity.exact(size, unit) for unit in ("params", "macs")]
    card = Scorecard(
        own.figures,
        own.primary,
        *counts,
        Quantity.exact(0, "fraction"),
        file=Quantity.exact(size, "bytes"),
        latency=latency,
        conditions=conditions or {},
    )
    return Side(card, data, predictions, TASK)


RIGHT = np.arange(200) % 10 != 0
FEWER = RIGHT & (np.arange(200) % 10 != 1)


def test_on_the_same_samples_the_difference_is_the_paired_one():
    found = against(side(said(RIGHT)), side(said(FEWER), size=250))
    told = found["changes"]["quality"]
    assert told["paired"]
    assert told["change"] == accuracy_change(RIGHT, FEWER).to_json()
    assert found["common"] == 200
    assert found["changes"]["file"]["change"]["difference"]["value"] == 0.25
    assert found["flips"]["counts"] == {"lost": 20, "won": 0, "other": 0}


def test_of_samples_asked_in_another_order_the_common_ones_are_paired():
    mixed = said(FEWER)
    order = np.random.default_rng(0).permutation(200)[:120]
    part = Predictions(mixed.ids[order], mixed.outputs[order], mixed.targets[order])
    found = against(side(said(RIGHT)), side(part))
    rows = np.sort(order)
    assert found["common"] == 120
    assert found["changes"]["quality"]["change"] == (
        accuracy_change(RIGHT[rows], FEWER[rows]).to_json()
    )


def test_too_few_common_samples_are_compared_as_independent_and_that_is_said():
    found = against(side(said(RIGHT)), side(said(FEWER, first=190)))
    told = found["changes"]["quality"]
    assert not told["paired"]
    assert "not on the same samples" in told["why"]
    width = accuracy_change(RIGHT, FEWER).difference.half_width
    assert told["change"]["difference"]["high"] - told["change"]["difference"]["low"] > 2 * width
    assert found["flips"] is None
    assert class_table(side(said(RIGHT)), side(said(FEWER, first=190))) == []


@pytest.mark.parametrize("n", [1, 2, 20])
def test_few_samples_are_paired_where_both_were_asked_about_them(n):
    found = against(side(said(RIGHT[:n])), side(said(FEWER[:n])))
    told = found["changes"]["quality"]
    assert (told["paired"], told["why"], found["common"]) == (True, "", n)
    assert told["change"] == accuracy_change(RIGHT[:n], FEWER[:n]).to_json()
    assert len(class_table(side(said(RIGHT[:n])), side(said(FEWER[:n])))) == min(n, 2)


def test_other_data_are_not_compared_at_all():
    told = against(side(said(RIGHT)), side(said(FEWER), data="other"))["changes"]["quality"]
    assert told == {"change": None, "paired": False, "why": "they were measured on different data"}


def test_a_stored_card_without_answers_is_compared_unpaired():
    stored = Side(side(said(FEWER)).card, "d")
    told = against(side(said(RIGHT)), stored)["changes"]["quality"]
    assert not told["paired"]
    assert "what was said of each sample is not here" in told["why"]
    assert told["change"]["difference"]["value"] == pytest.approx(-10)


def test_latency_needs_the_same_conditions():
    slow, fast = Quantity(2.0, "ms", 1.9, 2.1, 40), Quantity(1.0, "ms", 0.95, 1.05, 40)
    here = {"runtime": "r", "threads": 1}
    one = side(said(RIGHT), latency=slow, conditions=here)
    told = against(one, side(said(RIGHT), latency=fast, conditions=here))["changes"]["latency"]
    assert told["change"]["direction"] == "better"
    assert not told["paired"]
    other = side(said(RIGHT), latency=fast, conditions={**here, "threads": 2})
    assert against(one, other)["changes"]["latency"]["why"] == "measured under different conditions"


def test_every_class_is_paired():
    cat, dog = class_table(side(said(RIGHT)), side(said(FEWER)))
    assert (cat["change"]["difference"]["value"], dog["change"]["difference"]["value"]) == (0, -20)


def test_independent_intervals_cover_what_they_should():
    rng, inside = np.random.default_rng(1), 0
    for _ in range(400):
        one, two = (rng.random(300) < share for share in (0.9, 0.8))
        figures = [Predictions.accuracy(said(hits)) for hits in (one, two)]
        found = independent_difference(*figures).difference
        inside += found.low <= -10 <= found.high
    assert 0.92 <= inside / 400 <= 0.98


def test_a_ratio_of_nothing_says_nothing():
    nothing, some = Quantity(0.5, "ms", 0, 1), Quantity(1.0, "ms", 0.9, 1.1)
    assert independent_ratio(nothing, some) is None


def test_answers_are_kept_whole_found_again_and_forgotten(own_home):
    key = vector_key("model", "subject", 200)
    assert kept_predictions(key) is None
    mine = said(RIGHT)
    keep_predictions(key, Predictions(mine.ids, mine.outputs, mine.targets, How.SIMULATED))
    found = kept_predictions(key)
    assert (found.how, found.outputs.tobytes()) == (How.SIMULATED, mine.outputs.tobytes())
    assert key != vector_key("model", "subject", 199)
    (file,) = (own_home / "cache" / "predictions").glob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    assert kept_predictions(key) is None, "half a file is none"
    assert forget_predictions() == 100


def test_answers_that_nobody_used_for_long_make_room(own_home, monkeypatch):
    import os

    for number in range(3):
        keep_predictions(f"k{number}", said(RIGHT))
        os.utime(own_home / "cache" / "predictions" / f"k{number}.npz", (number, number))
    size = (own_home / "cache" / "predictions" / "k0.npz").stat().st_size
    monkeypatch.setattr("optim.compare.vectors._MOST_BYTES", 2 * size + 10)
    keep_predictions("k3", said(RIGHT))
    left = sorted(path.stem for path in (own_home / "cache" / "predictions").glob("*.npz"))
    assert left == ["k2", "k3"]


def test_common_samples_stand_in_one_order():
    one, other = common(said(RIGHT), said(FEWER, first=150))
    assert list(one.ids) == list(other.ids) == list(range(150, 200))
