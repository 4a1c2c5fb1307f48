"""A store of its own for every test, and attempts at its runs without processes."""

import pytest

from optim.runs.lease import Lease
from optim.runs.queue import Queue
from optim.runs.store import RunStore
from tests.optim.runs.driver import Driver
from tests.pages.worked import Worked


@pytest.fixture
def store(own_home, monkeypatch):
    """The store that any process of this test opens."""
    monkeypatch.delenv("OPTIM_STORE", raising=False)
    monkeypatch.delenv("OPTIM_ENGINE", raising=False)
    store = RunStore.open()
    yield store
    store.database.close()


@pytest.fixture
def take(store):
    """Return a function that begins an attempt at a waiting run: its lease."""

    def take(run_id, worker="here:1:1:1"):
        queue = Queue(store)
        run = next(run for run in queue.active() if run.id == run_id)
        return Lease(store, run_id, queue.take(run, worker))

    return take


@pytest.fixture
def drive(store):
    """Return a function that gives the store a supervisor, driven by the test."""
    drivers = []

    def drive(**options):
        drivers.append(Driver(store, **options))
        return drivers[-1]

    yield drive
    for driver in drivers:
        driver.close()


@pytest.fixture
def clock():
    """A clock that goes on when it is told to."""

    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    return Clock()


def no_space(path, content):
    """Write as a full disk does."""
    raise OSError(28, "No space left on device", str(path))


@pytest.fixture
def full_disk():
    """A file layer in which nothing can be written any more."""
    return no_space


@pytest.fixture
def worked(store):
    """A store and the hands of a worker."""
    return Worked(store)
