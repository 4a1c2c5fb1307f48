"""States, durations and ages in words."""

from dataclasses import replace

import pytest

from optim.data.added import data_cards
from optim.models.cards import model_cards
from optim.runs.run import State
from pages.components.runs.words import (
    STATES,
    age,
    doing,
    duration,
    left,
    names_any,
    plain,
    subject_of,
)


def test_every_state_has_a_look_of_its_own():
    assert set(STATES) == set(State)
    assert len({look.title for look in STATES.values()}) == len(State)
    assert all(look.icon.startswith(":material/") for look in STATES.values())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3599.9, "1 h"),
        (7_500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-2, "just now"), (59, "just now"), (60, "1 min ago"), (7_199, "1 h ago"), (9e5, "10 d ago")],
)
def test_an_age_has_one_unit(seconds, words):
    assert age(seconds) == words


def test_what_is_left_follows_from_progress_and_is_not_said_too_early(worked):
    run = replace(worked.running(), seconds=30.0, progress=0.25)
    assert left(run) == "1 min 30 s left"
    assert left(replace(run, progress=0.001)) == ""
    assert left(replace(run, state=State.PAUSED)) == ""


def test_what_a_run_does_is_its_message_or_its_state(worked):
    run = worked.running(epochs=2)
    assert doing(run).startswith("epoch 2 of 4")
    assert doing(replace(run, message="")) == "running"
    assert doing(worked.queued()) == "waits for a free worker"


def test_model_and_data_go_by_their_titles_and_unknown_ones_by_their_names(worked):
    run = worked.queued()
    assert subject_of(run, model_cards(), data_cards()) == "Small ResNet · Digits"
    assert subject_of(run, {}, {}) == "small-resnet · digits"
    assert subject_of(replace(run, spec={}), {}, {}) == ""


def test_work_of_another_kind_names_its_model_and_data_beside_what_it_does(worked):
    run = worked.store.submit("alternatives", {"model": "small-resnet", "data": "digits"})
    assert subject_of(run, model_cards(), data_cards()) == "Small ResNet · Digits"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        pytest.param({"recipe": {"model": "mine", "data": "digits"}}, True, id="model"),
        pytest.param({"recipe": {"model": "open", "data": "mine?seed=3"}}, True, id="options"),
        pytest.param(
            {"recipe": {"model": "open", "steps": [{"distill": {"teacher": ["mine"]}}]}},
            True,
            id="teacher",
        ),
        pytest.param({"model": "open", "data": "mine", "seeds": [0]}, True, id="other kind"),
        pytest.param({"recipe": {"model": "mine-too", "data": "digits"}}, False, id="longer name"),
        pytest.param({"mine": "open"}, False, id="key"),
        pytest.param({}, False, id="nothing"),
    ],
)
def test_a_run_names_a_model_or_data_wherever_it_stands(worked, spec, found):
    run = worked.store.submit("anything", spec)
    assert names_any(run, {"mine"}) is found
    assert not names_any(run, set())


def test_a_title_cannot_format_the_page():
    assert plain("[a](b) *c* :red[d] $e$") == r"\[a\](b) \*c\* \:red\[d\] \$e\$"
