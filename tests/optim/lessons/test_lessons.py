"""Lessons: all keep one form, and what they say is what was computed."""

import json
from pathlib import Path

import pytest

from optim.errors import ConfigError
from optim.lessons import LESSONS, TOUR, kept
from optim.lessons.bench import Bench
from optim.lessons.lesson import Question
from optim.lessons.moving_bytes import MOVING_BYTES
from optim.lessons.outliers import OUTLIERS
from optim.lessons.roofline import ROOFLINE
from optim.lessons.temperature import TEMPERATURE
from optim.presets import default_recipe
from optim.quantity import Quantity
from optim.recipe import Recipe

ROOT = Path(__file__).resolve().parents[3]
QUICK = ("outliers", "temperature", "roofline", "moving-bytes", "batch-norm")
EVERY = {**LESSONS, "tour": TOUR}


@pytest.fixture(scope="module")
def bench(optim_home):
    return Bench(default_recipe("digits-resnet8"))


@pytest.fixture(scope="module")
def shown(bench):
    """What a lesson shows, computed once."""
    found = {}
    return lambda name: found.setdefault(name, EVERY[name].show(bench))


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in EVERY]
)
def test_every_lesson_keeps_the_form(shown, name):
    found = shown(name)
    assert len(found.frames) > 1
    assert 0 <= found.start < len(found.frames)
    assert len({len(frame.panels) for frame in found.frames}) == 1
    assert len({frame.label for frame in found.frames}) == len(found.frames)
    assert found.basis
    assert found.question.why
    assert len(found.question.options) > 1
    for frame in found.frames:
        assert frame.readouts
        assert all(isinstance(readout.figure, Quantity) for readout in frame.readouts)
        if frame.link:
            Recipe.from_link(frame.link)
        for panel in frame.panels:
            assert panel.matrix or panel.series
            for series in panel.series:
                assert len(series.x) == len(series.y)
                assert len(series.low) == len(series.high)
                assert len(series.low) in (0, len(series.x))
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("name", EVERY)
def test_every_lesson_names_its_source_and_its_paper(name):
    lesson = EVERY[name]
    assert (ROOT / lesson.source).is_file()
    assert lesson.link.startswith("https://")
    assert lesson.idea.endswith(".")
    assert lesson.kind in ("slider", "choice")


def test_a_question_has_an_answer_among_its_options():
    with pytest.raises(ConfigError, match="right must be from 0 to 1"):
        Question("?", ("yes", "no"), 2, "")


def test_the_best_reach_of_the_grid_is_told_from_the_errors(shown):
    found = shown("outliers")
    errors = [frame.readouts[0].figure.value for frame in found.frames]
    best = errors.index(max(errors))
    assert found.frames[best].label in found.question.why
    assert found.question.right == (0 if best == 0 else 2 if best >= len(errors) - 2 else 1)
    assert OUTLIERS.title


def test_a_grid_has_no_more_lines_than_values(shown):
    for frame in shown("outliers").frames:
        assert 1 < len(frame.panels[0].lines) <= 16


def test_temperature_makes_the_answer_softer_and_keeps_its_order(shown):
    found = shown("temperature")
    entropy = [frame.readouts[2].figure.value for frame in found.frames]
    assert entropy == sorted(entropy)
    assert found.question.right == 0
    assert Recipe.from_link(found.frames[0].link).entries[1].step.temperature == 1
    assert TEMPERATURE.control == "Temperature"


@pytest.mark.slow
def test_dropout_keeps_wrong_labels_from_being_learned_by_heart(shown):
    found = shown("dropout")
    seen, unseen = (series.y for series in found.frames[0].panels[0].series)
    assert seen[0] > 98  # the wrong labels among them
    assert max(unseen) > unseen[0] + 3
    assert found.question.right == 1


def test_proxies_are_compared_on_networks_that_have_learned(shown):
    for frame in shown("proxies").frames:
        reached = frame.panels[0].series[0].y
        assert sorted(reached)[len(reached) // 2] > 50  # ten classes: 10 is chance


def test_moving_a_byte_is_dearer_on_newer_chips(shown):
    times = [frame.readouts[2].figure.value for frame in shown("moving-bytes").frames]
    assert times == sorted(times)
    hows = {frame.label: frame.readouts[0].figure.how for frame in shown("moving-bytes").frames}
    assert hows["45 nm"] == "published"
    assert hows["7 nm"] == "estimated"
    assert MOVING_BYTES.kind == "slider"


def test_no_layer_lies_above_the_roof(shown):
    for frame in shown("roofline").frames:
        (panel,) = frame.panels
        roof, *layers = panel.series
        peak, slope = max(roof.y), roof.y[0] / roof.x[0]
        for series in layers:
            for intensity, rate in zip(series.x, series.y, strict=True):
                assert rate <= 1.01 * min(peak, slope * intensity)
    assert ROOFLINE.kind == "choice"


def test_a_lopsided_interval_is_told_by_its_ends(shown):
    told = shown("roofline").to_json()["frames"][0]["readouts"][0]["figure"]
    assert " to " in told["spread"]
    assert "±" not in told["text"]


def test_a_lesson_is_computed_once_and_then_read(optim_home, monkeypatch):
    calls = []

    class Found:
        def to_json(self):
            return {"frames": []}

    class Counted:
        title = "Counted"

        def show(self, bench):
            calls.append(bench)
            return Found()

    monkeypatch.setattr(kept, "lesson_named", lambda name: Counted())
    kept.compute(["counted"])
    kept.compute(["counted"])
    assert len(calls) == 1
    assert kept.kept_lesson("counted") == {"frames": []}
