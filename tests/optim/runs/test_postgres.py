"""A store in PostgreSQL: what several machines do at once is kept apart there as well."""

import threading
import time

import pytest

from optim.errors import Cancelled
from optim.runs.lease import Lease
from optim.runs.queue import Queue
from optim.runs.run import EpochRow, State
from optim.runs.store import RunStore
from tests.optim.runs import postgres

pytestmark = pytest.mark.skipif(bool(postgres.why_not()), reason=postgres.why_not())
ROUNDS = 60


@pytest.fixture(scope="module")
def url():
    with postgres.server() as url:
        yield url


@pytest.fixture
def stores(url, own_home, monkeypatch):
    """Three machines that look at one database."""
    monkeypatch.delenv("OPTIM_FILES", raising=False)
    stores = at_once(*[lambda: RunStore.open(url)] * 3)
    yield stores
    for store in stores:
        store.database.close()


def at_once(*works):
    """Do several things at the same moment; return what each gives or raises."""
    start, found = threading.Barrier(len(works)), [None] * len(works)

    def do(i):
        start.wait()
        try:
            found[i] = works[i]()
        except Exception as error:
            found[i] = error

    threads = [threading.Thread(target=do, args=(i,)) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def begun(store):
    run = store.submit("count", {})
    [active] = [active for active in Queue(store).active() if active.id == run.id]
    return run, Queue(store).take(active, "node:driver:1:1")


def test_an_empty_database_is_opened_by_several_at_once(stores):
    run = stores[0].submit("count", {"steps": 1})
    assert [store.get(run.id) for store in stores] == [run] * 3
    stores[0].cancel(run.id)


def test_one_of_several_takes_a_run(stores):
    for _ in range(ROUNDS // 3):
        run = stores[0].submit("count", {})
        [active] = [active for active in Queue(stores[0]).active() if active.id == run.id]

        def take(i, active=active):
            return Queue(stores[i]).take(active, f"node-{i}:driver:1:1")

        fences = at_once(*(lambda i=i: take(i) for i in range(3)))
        assert sorted(fences, key=str) == [1, None, None]
        assert stores[0].get(run.id).attempt == 1
        stores[0].cancel(run.id)


def test_a_run_that_has_finished_is_not_queued_again_by_who_believes_it_lost(stores):
    worker, driver, _ = stores
    ends = set()
    for i in range(ROUNDS):
        run, fence = begun(worker)

        def finish(run=run, fence=fence, i=i):
            time.sleep(i % 5 * 0.001)
            Lease(worker, run.id, fence).finish({"value": 1})

        finished, given = at_once(
            finish, lambda run=run, fence=fence: Queue(driver).give_back(run.id, fence, "Gone.")
        )
        found = worker.get(run.id)
        if finished is None:
            assert (given, found.state, found.result) == (None, State.FINISHED, {"value": 1})
        else:
            assert isinstance(finished, Cancelled)
            assert (given, found.state, found.result) == (State.QUEUED, State.QUEUED, None)
            worker.cancel(run.id)
        ends.add(found.state)
    assert ends == {State.FINISHED, State.QUEUED}, "only one of the two was ever first"


def test_many_who_write_about_one_run_all_get_through(stores):
    run, fence = begun(stores[0])

    def write(store, step):
        for epoch in range(1, 21):
            Lease(store, run.id, fence).epochs([EpochRow(step, epoch, {"loss": 1 / epoch}, 0.0)])

    works = [lambda store=store, i=i: write(store, f"step {i}") for i, store in enumerate(stores)]
    assert at_once(*works) == [None] * 3
    assert len(stores[0].epochs(run.id)) == 60
    stores[0].cancel(run.id)
