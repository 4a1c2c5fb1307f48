"""Recover accuracy: one click submits a run, a card follows it, its recipe comes back."""

import pytest

from optim.errors import CalibrationError, ConfigError
from optim.recovery import recovery
from optim.runs.run import State
from optim.stored import students_home
from pages.components import server
from pages.components.lab.recover import recovery_of, title_of
from tests.pages.helpers import (
    click,
    open_app,
    panel_data,
    recipe_of,
    small_recipe,
    tell,
    texts,
)

BUTTON = "Recover accuracy"


def button(at, label=BUTTON):
    found = [b for b in at.button if b.label == label]
    return found[0] if found else None


def wanted():
    return recovery(small_recipe())


# --- the button ---------------------------------------------------------------------------------


def test_one_click_submits_the_recovery_of_the_recipe_shown(worked, lab, woken):
    click(lab, BUTTON)
    (run,) = worked.store.runs()
    assert run.kind == "recipe"
    assert run.recipe == wanted()
    assert run.title == "Recover Small ResNet: 25 % fewer channels, 8-bit weights"
    assert woken == ["ensure"]
    assert recipe_of(lab) == small_recipe(), "what is shown is changed when it is there"


def test_the_same_again_follows_the_run_that_is_there(worked, lab):
    click(click(lab, BUTTON), BUTTON)
    (run,) = worked.store.runs()
    assert lab.session_state["followed"] == run.id


def test_a_run_whose_result_was_removed_is_not_followed(worked, lab):
    key = "0123" * 8
    click(lab, BUTTON)
    (run,) = worked.store.runs()
    worked.lease(run).finish({"students": [key]})
    click(lab, BUTTON)
    assert len(worked.store.runs()) == 2
    students_home().mkdir(parents=True, exist_ok=True)
    file = students_home() / f"{key}.safetensors"
    try:
        file.touch()
        worked.store.cancel(worked.store.runs()[0].id)
        click(lab, BUTTON)
        assert lab.session_state["followed"] == run.id
    finally:
        file.unlink()


def test_the_same_of_somebody_else_is_not_handed_over(worked, lab):
    click(lab, BUTTON)
    other = click(open_app(small_recipe()), BUTTON)
    assert len(worked.store.runs()) == 2
    assert other.session_state["followed"] != lab.session_state["followed"]


def test_after_a_failed_or_cancelled_one_it_is_tried_anew(worked, lab):
    click(lab, BUTTON)
    worked.store.cancel(worked.store.runs()[0].id)
    click(lab, BUTTON)
    assert [run.state for run in worked.store.runs()] == [State.QUEUED, State.CANCELLED]


def test_where_nothing_is_removed_the_button_is_off_and_says_why():
    at = open_app(small_recipe(steps=[]))
    assert button(at).disabled
    assert "nothing to recover" in button(at).help


def test_data_without_a_training_part_are_refused_at_the_button():
    info = {"part": "all", "metric": {"name": "accuracy"}, "refused": {}}
    with pytest.raises(CalibrationError, match="no training part"):
        recovery_of(small_recipe(), info)
    with pytest.raises(CalibrationError, match="whose classes, or objects, somebody"):
        recovery_of(small_recipe(), info | {"metric": {"name": "agreement"}})
    detector = info | {"part": "validation", "metric": {"name": "map"}}
    assert recovery_of(small_recipe(), detector) == wanted()
    assert recovery_of(small_recipe(), info | {"part": "validation"}) == wanted()


def test_a_model_that_cannot_be_trained_is_refused_with_the_reason():
    info = {"part": "validation", "refused": {"distill": "It is kept as a graph."}}
    with pytest.raises(ConfigError, match="kept as a graph"):
        recovery_of(small_recipe(), info)


def test_a_store_that_cannot_be_opened_is_explained(no_store, lab):
    click(lab, BUTTON)
    assert not lab.exception
    assert "The run store" in lab.error[0].value
    assert panel_data(lab)["revision"] == small_recipe().hash


def test_an_engine_that_cannot_start_is_explained_and_the_run_waits(worked, lab, monkeypatch):
    from optim.errors import RunError

    class Broken:
        def ensure(self):
            raise RunError("The supervisor of runs cannot be started.", hint="Free a process.")

    monkeypatch.setattr(server, "engine", Broken)
    click(lab, BUTTON)
    assert "cannot be started" in lab.error[0].value
    assert worked.store.runs()[0].state is State.QUEUED


@pytest.mark.parametrize(
    ("steps", "title"),
    [
        ([{"prune_channels": {"pruning_ratio": 0.5}}], "Recover Net: 50 % fewer channels"),
        ([{"prune_weights": {"sparsity": 0.7}}], "Recover Net: 70 % zero weights"),
        ([{"quantize": {"weight_bits": "ternary"}}], "Recover Net: ternary weights"),
        ([{"correct_bias": {}}], "Recover Net"),
    ],
)
def test_a_title_tells_what_was_removed(steps, title):
    assert title_of(small_recipe(steps=steps), "Net") == title


# --- the card -----------------------------------------------------------------------------------


@pytest.fixture
def following(worked, lab):
    """The Lab after the click, and the run it follows."""
    click(lab, BUTTON)
    return lab, worked.store.runs()[0]


def test_the_card_says_how_far_it_is_and_what_was_reached_so_far(worked, following):
    lab, run = following
    worked.train(worked.lease(run), 2)
    lab.run()
    (bar,) = lab.main.get("progress")
    assert "35 % · epoch 2 of 4" in bar.proto.text
    assert "validation accuracy so far 85.6 %" in bar.proto.text


def test_the_card_survives_a_reload_by_the_address(worked, following):
    lab, run = following
    assert lab.query_params["run"] == run.id
    other = open_app(link=lab.query_params["r"])
    assert not other.main.get("progress"), "nothing else is followed"
    again = open_app(small_recipe(), run=run.id)
    assert run.title in texts(again).replace("\\", "")


def test_a_link_to_a_run_that_is_gone_is_explained_once(worked):
    at = open_app(small_recipe(), run="nosuchrun")
    at.run()
    assert "There is no run 'nosuchrun'" in at.error[0].value
    at.run()
    assert not at.error
    assert "run" not in at.query_params


def test_it_can_be_cancelled_and_resumed_from_the_card(worked, following):
    lab, run = following
    click(lab, "Cancel")
    assert worked.store.get(run.id).state is State.CANCELLED
    click(lab, "Resume")
    assert worked.store.get(run.id).state is State.QUEUED


def test_the_card_can_be_closed_when_nothing_runs(worked, following):
    lab, run = following
    assert button(lab, "Close") is None
    worked.store.cancel(run.id)
    click(lab.run(), "Close")
    assert "run" not in lab.query_params
    assert button(lab, "Resume") is None


def test_why_it_failed_stands_in_the_card(worked, following):
    lab, run = following
    worked.lease(run).fail(
        {"kind": "E", "message": "It broke.", "hint": "Mend it.", "traceback": ""}
    )
    assert "It broke. Mend it." in texts(lab.run())


def test_a_finished_recovery_is_shown_in_the_lab_on_request(worked, following):
    from tests.pages.worked import scorecard

    lab, run = following
    assert panel_data(lab)["trained"] == ""
    worked.lease(run).finish(scorecard(wanted()))
    lab.run()
    assert "Accuracy 92 ± 2 %." in texts(lab)
    assert panel_data(lab)["trained"] == run.id, "the panel forgets answers without the result"
    click(lab, "Show in the Lab")
    assert recipe_of(lab) == wanted()
    assert panel_data(lab)["revision"] == wanted().hash
    assert button(lab, "Show in the Lab") is None
    tell(lab, "command", name="undo", value=None)
    assert recipe_of(lab) == small_recipe()
    assert button(lab, "Show in the Lab") is not None


def test_the_lab_asks_again_by_itself_only_while_the_run_is_active(worked, following, monkeypatch):
    import streamlit as st

    found, fragment = [], st.fragment

    def noted(func=None, *, run_every=None, **options):
        found.append(run_every)
        return fragment(func, run_every=run_every, **options)

    monkeypatch.setattr(st, "fragment", noted)
    lab, run = following
    lab.run()
    worked.store.cancel(run.id)
    lab.run()
    assert found == [1.0, None]


def test_without_a_run_the_lab_opens_no_store(lab, monkeypatch):
    monkeypatch.setattr(server, "_opened", lambda url: pytest.fail("opened"))
    lab.run()
    assert not lab.exception
