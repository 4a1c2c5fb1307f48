"""What a kind of work is given: it may report freely, is stopped in time, and loses no figures."""

import pytest

from optim.errors import Cancelled, RunError
from optim.runs import work as module
from optim.runs.job import perform
from optim.runs.queue import Queue
from optim.runs.run import State
from optim.runs.work import Kind, Work


@pytest.fixture
def run(store):
    return store.submit("mine", {"a": 1})


@pytest.fixture
def work(store, run, take, clock):
    return Work(run, take(run.id), threads=1, clock=clock)


def broken(store, monkeypatch, times=10**6):
    """Let the store fail a number of times."""
    write, left = store.database.write, [times]

    def fail(change):
        if left[0] > 0:
            left[0] -= 1
            raise RunError("The run store is locked.")
        return write(change)

    monkeypatch.setattr(store.database, "write", fail)


def test_progress_is_not_written_more_often_than_it_is_read(store, run, work, clock):
    seen = []
    for i in range(100):
        clock.now += 0.01
        work.progress(i / 100, "training")
        seen.append(store.get(run.id).progress)
    assert 4 <= len(set(seen)) <= 6
    work.progress(1.0, "measuring")
    assert store.get(run.id).message == "measuring"


def test_it_goes_on_while_nobody_asks_it_to_stop(work):
    work.check()


def test_a_place_that_does_not_answer_is_asked_again_whether_it_is_enough(
    store, run, work, clock, monkeypatch
):
    def fail(files):
        raise OSError(5, "503 Slow Down")

    with monkeypatch.context() as patch:
        patch.setattr("optim.runs.files.LocalFiles.names", fail)
        assert not work.is_enough()
    store.enough(run.id)
    clock.now += 60
    assert work.is_enough()


def test_without_states_it_stops_at_once(work):
    work.ask_to_stop()
    with pytest.raises(Cancelled):
        work.check()


def test_a_step_that_saves_states_may_save_one_more(work, clock):
    states = work.checkpoint("distill")
    states.load()
    clock.now += 5
    assert not states.due()
    work.ask_to_stop()
    work.check()
    assert states.due()
    clock.now += 0.1
    states.save({"epoch": 1})
    assert not states.due()
    with pytest.raises(Cancelled):
        work.check()


def test_a_step_that_does_not_save_is_stopped_a_moment_later(work, clock):
    work.checkpoint("distill").load()
    clock.now += 5
    work.ask_to_stop()
    clock.now += 0.9
    work.check()
    clock.now += 0.2
    with pytest.raises(Cancelled):
        work.check()


def test_a_cancelled_step_is_not_waited_for(store, run, work, clock):
    work.checkpoint("distill").load()
    clock.now += 5
    store.cancel(run.id)
    work.ask_to_stop()
    with pytest.raises(Cancelled):
        work.check()


def test_it_learns_from_any_write_that_its_run_is_gone(store, run, work):
    store.pause(run.id)
    with pytest.raises(Cancelled):
        work.progress(0.5, "half")
    with pytest.raises(Cancelled):
        work.check()


def test_figures_that_are_refused_do_not_keep_a_paused_step_from_saving(store, run, work, clock):
    states = work.checkpoint("distill")
    clock.now += 5
    store.pause(run.id)
    work.record("distill", {"epoch": 1, "loss": 1.0})
    assert states.due()
    clock.now += 0.1
    states.save({"epoch": 1})
    with pytest.raises(Cancelled):
        work.progress(0.5, "half")
    assert store.epochs(run.id) == []


def test_figures_that_could_not_be_written_are_written_later(store, run, work, monkeypatch):
    broken(store, monkeypatch, times=3)
    for epoch in (1, 2):
        work.record("distill", {"epoch": epoch, "loss": 1.0})
    work.progress(0.5, "half")
    assert store.epochs(run.id) == []
    work.record("distill", {"epoch": 3, "loss": 1.0})
    assert [row.epoch for row in store.epochs(run.id)] == [1, 2, 3]


def test_the_end_brings_figures_that_are_still_to_be_written(store, run, work, monkeypatch):
    broken(store, monkeypatch, times=1)
    work.record("distill", {"epoch": 1, "loss": 1.0})
    work.finish({})
    assert [row.epoch for row in store.epochs(run.id)] == [1]


def test_figures_of_earlier_attempts_come_back_from_the_checkpoint(store, run, work, take, clock):
    states = work.checkpoint("distill")
    with pytest.MonkeyPatch.context() as patch:
        broken(store, patch)
        work.record("distill", {"epoch": 1, "loss": 0.7})
        states.save({"epoch": 1})
    assert store.epochs(run.id) == []
    Queue(store).give_back(run.id, 1, "It died.")
    again = Work(store.get(run.id), take(run.id), clock=clock)
    assert again.checkpoint("distill").load() == {"epoch": 1}
    assert [(row.epoch, row.figures) for row in store.epochs(run.id)] == [(1, {"loss": 0.7})]


def test_figures_that_a_resumed_step_tells_again_keep_the_time_they_were_recorded_at(
    store, run, work, take, clock
):
    states, ticks = work.checkpoint("distill"), iter(range(100, 200))
    store.clock = lambda: float(next(ticks))
    work.record("distill", {"epoch": 1, "loss": 0.7})
    states.save({"epoch": 1})
    before = store.epochs(run.id)
    Queue(store).give_back(run.id, 1, "It died.")
    again = Work(store.get(run.id), take(run.id), clock=clock)
    again.checkpoint("distill").load()
    again.record("distill", {"epoch": 1, "loss": 0.7})
    assert store.epochs(run.id) == before
    again.record("distill", {"epoch": 1, "loss": 0.6})
    assert [row.figures for row in store.epochs(run.id)] == [{"loss": 0.6}]


def test_a_store_that_recovers_gets_the_end(store, run, work, clock, monkeypatch):
    broken(store, monkeypatch, times=5)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    work.finish({"a": 1})
    assert store.get(run.id).state is State.FINISHED


def test_a_store_that_does_not_recover_fails_the_attempt(store, work, clock, monkeypatch):
    broken(store, monkeypatch)

    def sleep(seconds):
        clock.now += seconds

    monkeypatch.setattr(module.time, "sleep", sleep)
    with pytest.raises(RunError, match="locked"):
        perform(work, {"mine": Kind("Mine", lambda work: {})})


def test_a_result_that_cannot_be_stored_for_long_makes_no_failed_run(
    store, run, work, clock, monkeypatch
):
    def sleep(seconds):
        clock.now += seconds

    monkeypatch.setattr(module.time, "sleep", sleep)
    with pytest.MonkeyPatch.context() as patch:

        def done(work):
            broken(store, patch, times=80)  # it recovers before a failure could be told as well
            return {}

        with pytest.raises(RunError, match="locked"):
            perform(work, {"mine": Kind("Mine", done)})
    assert (store.get(run.id).state, store.get(run.id).error) == (State.RUNNING, None)


def test_what_it_ran_with_is_written_down(store, run, work):
    perform(work, {"mine": Kind("Mine", lambda work: {"seen": work.run.spec["a"]})})
    found = store.get(run.id)
    assert found.result == {"seen": 1}
    assert found.environment["threads"] == 1
    assert found.environment["versions"]["numpy"]


def _raise(error):
    def work(work):
        raise error

    return {"mine": Kind("Mine", work)}


def test_an_error_of_ours_is_its_sentence(store, run, work):
    perform(work, _raise(RunError("The loss became nan.", hint="Lower the rate.")))
    assert store.get(run.id).error == {
        "kind": "RunError",
        "message": "The loss became nan.",
        "hint": "Lower the rate.",
        "traceback": "",
    }


def test_any_other_error_comes_with_its_traceback(store, run, work):
    perform(work, _raise(KeyError("fc9")))
    error = store.get(run.id).error
    assert error["message"] == "KeyError: 'fc9'."
    assert "test_work.py" in error["traceback"]


def test_a_kind_nobody_knows_is_refused(store, run, work):
    perform(work, {"recipe": Kind("Recipe", lambda work: {})})
    assert store.get(run.id).error["message"] == "There is no kind of work 'mine'."


def test_work_that_was_stopped_leaves_the_state_alone(store, run, work):
    def stopped(work):
        store.pause(run.id)
        work.event("Never written.")

    perform(work, {"mine": Kind("Mine", stopped)})
    assert store.get(run.id).state is State.PAUSED


def test_work_that_fails_after_it_was_stopped_leaves_the_state_alone(store, run, work):
    def stopped(work):
        store.cancel(run.id)
        raise ValueError("whatever")

    perform(work, {"mine": Kind("Mine", stopped)})
    assert (store.get(run.id).state, store.get(run.id).error) == (State.CANCELLED, None)
