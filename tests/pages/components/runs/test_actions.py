"""What can be done with a run in which state, and what is said where it cannot."""

import pytest
from streamlit.testing.v1 import AppTest

from optim.runs.run import State
from pages.components.runs import actions


def act(name, run_ids):
    """Do something as a page does, and return its session."""

    def script(name, run_ids):
        from pages.components.runs import actions

        getattr(actions, name)(run_ids)

    at = AppTest.from_function(script, kwargs={"name": name, "run_ids": list(run_ids)}).run()
    assert not at.exception
    return at


@pytest.fixture
def runs(worked):
    paused = worked.queued("paused")
    worked.store.pause(paused.id)
    return {
        "queued": worked.queued("queued"),
        "running": worked.running("running"),
        "paused": worked.store.get(paused.id),
        "finished": worked.finished("finished"),
        "failed": worked.failed("failed"),
    }


@pytest.mark.parametrize(
    ("can", "states"),
    [
        (actions.can_cancel, {"queued", "running", "paused"}),
        (actions.can_pause, {"queued", "running"}),
        (actions.can_resume, {"paused", "failed"}),
    ],
)
def test_each_action_fits_some_states(runs, can, states):
    assert {name for name, run in runs.items() if can(run)} == states


def test_nothing_but_restoring_can_be_done_with_a_deleted_run(worked):
    run = worked.failed()
    worked.store.delete(run.id)
    deleted = worked.store.get(run.id)
    assert not any(f(deleted) for f in (actions.can_cancel, actions.can_pause, actions.can_resume))


def test_cancel_and_pause_change_the_state_at_once(worked, runs):
    act("cancel", [runs["running"].id])
    act("pause", [runs["queued"].id])
    assert worked.store.get(runs["running"].id).state is State.CANCELLED
    assert worked.store.get(runs["queued"].id).state is State.PAUSED


def test_resuming_wakes_the_engine(worked, runs, woken):
    act("resume", [runs["paused"].id, runs["failed"].id])
    assert worked.store.get(runs["failed"].id).state is State.QUEUED
    assert woken == ["ensure"]


def test_what_was_deleted_is_remembered_and_comes_back(worked, runs):
    ids = (runs["finished"].id, runs["failed"].id)
    at = act("delete", ids)
    assert at.session_state["deleted"] == ids
    assert len(worked.store.runs()) == 3
    at = act("restore", ids)
    assert at.session_state["deleted"] == ()
    assert len(worked.store.runs()) == 5


def test_one_that_cannot_be_is_explained_and_the_others_are_done(worked, runs):
    at = act("pause", [runs["finished"].id, runs["running"].id])
    assert "finished" in at.session_state["notice"].message
    assert worked.store.get(runs["running"].id).state is State.PAUSED
