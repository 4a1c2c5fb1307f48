"""Work beside the pages: who asks for it is told why it failed, whoever looked first."""

import contextlib
import threading

import pytest

from optim.aside import Shelf
from pages.components import aside
from pages.components.aside import Aside

WORK = Aside("some.module", Shelf("tests", 1), "Working", "It failed.")


@pytest.fixture
def shown(jobs, own_home, monkeypatch):
    """What is shown as an error; no progress is drawn."""
    said = []
    monkeypatch.setattr(aside, "show_error", lambda error: said.append(error.message))
    monkeypatch.setattr(Aside, "_wait", lambda self, key, other: None)
    return said


def test_a_failure_is_told_to_everybody_who_asks_for_it_until_it_is_started_again(jobs, shown):
    assert WORK.start("mine")
    jobs[0].code = 3
    assert not WORK.is_busy("another", "thing")
    assert shown == []
    for _ in range(2):
        assert not WORK.is_busy("mine", "thing")
    assert shown == ["It failed."] * 2
    assert WORK.start("mine")
    assert WORK.is_busy("mine", "thing")
    assert len(shown) == 2


def test_what_was_stopped_did_not_fail(jobs, shown):
    WORK.start("mine")
    jobs[0].terminate()
    assert not WORK.is_busy("mine", "thing")
    assert shown == []


def test_one_of_a_kind_is_done_at_a_time(jobs, shown):
    assert WORK.start("mine")
    assert not WORK.start("another")
    assert WORK.is_busy("another", "thing")
    jobs[0].code = 0
    assert WORK.start("another"), "also if nobody has looked since it ended"


def test_a_job_begins_without_the_progress_of_the_one_before(jobs, shown):
    WORK.shelf.tell("mine", share=0.97, what="the last piece")
    WORK.start("mine")
    assert WORK.shelf.told("mine") == {"share": 0.0, "what": "starting"}


def test_two_sessions_may_see_the_end_together(jobs, shown, monkeypatch):
    WORK.start("mine")
    jobs[0].code = 3
    both, polled, raised = threading.Barrier(2), threading.Barrier(2), []

    def poll(job):
        with contextlib.suppress(threading.BrokenBarrierError):
            polled.wait(0.05)  # for the other session, if it may poll at the same time
        return job.code

    monkeypatch.setattr(type(jobs[0]), "poll", poll)

    def look():
        both.wait()
        try:
            WORK.is_busy("mine", "thing")
        except KeyError as error:
            raised.append(error)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not raised
    assert shown == ["It failed."] * 2
