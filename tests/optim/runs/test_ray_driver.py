"""The driver: what it gives to a cluster, and what it does when tasks and nodes die.

The cluster is one that does as it is told; a real one is in ``test_ray_nodes.py``.
"""

import pytest

from optim.errors import ConfigError, RunError
from optim.runs import ray_driver as module
from optim.runs.queue import Queue
from optim.runs.ray_cluster import Ended, Needs, needs_of_environment
from optim.runs.ray_driver import FORCE_S, HOLD_S, LOOKAHEAD, SILENT_S, Driver
from optim.runs.run import State
from optim.runs.supervisor import STALE_S
from optim.storage import store_home


class Cluster:
    """Keeps what it was given, and ends tasks when it is told to."""

    def __init__(self):
        self.orders, self.needs, self.over, self.withdrawn = {}, {}, [], []
        self.cores = 2
        self.fault = None
        self.is_closed = self.is_connected = False

    def connect(self):
        if self.fault:
            raise self.fault
        self.is_connected = True

    def largest(self):
        return self.cores

    def submit(self, order, needs):
        handle = f"{order.run}-{order.fence}-{len(self.orders)}"
        self.orders[handle], self.needs[handle] = order, needs
        return handle

    def ended(self):
        over, self.over = self.over, []
        return over

    def withdraw(self, handle, *, force):
        self.withdrawn.append((self.orders[handle].run, force))
        if not force:
            self.over.append(Ended(handle, lost="Its task was stopped."))

    def wait(self, seconds):
        pass

    def close(self):
        self.is_closed = True

    # --- what a test does ---------------------------------------------------------------------

    def handle(self, run):
        return [handle for handle, order in self.orders.items() if order.run == run.id][-1]

    def end(self, run, **how):
        self.over.append(Ended(self.handle(run), **how))


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def driver(store, cluster, clock):
    return Driver(store, cluster, clock=clock)


@pytest.fixture
def begin(store, cluster, take):
    """Return a function that lets the task of a run begin on a node."""

    def begin(run, node="node-1"):
        return take(run.id, f"{node}:{cluster.orders[cluster.handle(run)].driver}:1:1")

    return begin


def given(cluster):
    return [order.run for order in cluster.orders.values()]


def last_event(store, run):
    return store.events(run.id)[-1].message


def test_what_waits_is_given_with_all_a_node_needs(store, cluster, driver):
    run = store.submit("recipe", {"recipe": {"model": "wine-mlp"}})
    driver.tick()
    driver.tick()
    [order] = cluster.orders.values()
    assert (order.run, order.spec, order.fence) == (run.id, run.spec, 0)
    assert order.store == str(store.database.url)
    assert order.files == str(store.files)
    name, content = order.probe
    assert store.kept.read(name).decode() == content
    assert store.get(run.id).state is State.QUEUED, "it runs when a node has begun with it"


def test_only_a_few_tasks_wait_for_room(store, cluster, driver, begin):
    runs = [store.submit("count", {}) for _ in range(LOOKAHEAD + 3)]
    driver.tick()
    assert given(cluster) == [run.id for run in runs[:LOOKAHEAD]]
    begin(runs[0])
    driver.tick()
    driver.tick()
    assert given(cluster) == [run.id for run in runs[: LOOKAHEAD + 1]]


def test_a_higher_priority_goes_before_tasks_that_wait(store, cluster, driver, begin):
    runs = [store.submit("count", {}) for _ in range(3)]
    driver.tick()
    begin(runs[0])
    urgent = store.submit("count", {}, priority=5)
    driver.tick()
    assert cluster.withdrawn == [(runs[1].id, False), (runs[2].id, False)]
    driver.tick()
    assert given(cluster)[3:] == [urgent.id, runs[1].id, runs[2].id]
    assert store.get(runs[1].id).attempt == 0


def test_a_run_whose_node_died_goes_on_elsewhere_and_first(store, cluster, driver, begin):
    runs = [store.submit("count", {}) for _ in range(3)]
    driver.tick()
    begin(runs[0])
    driver.tick()
    cluster.end(runs[0], lost="Its node died.")
    driver.tick()
    assert last_event(store, runs[0]) == "Its node died. It goes on from its last checkpoint."
    found = store.get(runs[0].id)
    assert (found.state, found.attempt) == (State.QUEUED, 1)
    driver.tick()
    assert given(cluster)[3:] == [run.id for run in runs]
    begin(runs[0], "node-2")
    assert store.get(runs[0].id).attempt == 2


def test_nodes_may_die_as_often_as_workers_may(store, cluster, driver, begin):
    run = store.submit("count", {}, max_attempts=2)
    for _ in range(2):
        driver.tick()
        begin(run)
        cluster.end(run, lost="Its node died.")
    driver.tick()
    found = store.get(run.id)
    assert found.state is State.INTERRUPTED
    assert found.error["message"] == "Its node died."
    driver.tick()
    assert len(cluster.orders) == 2


def test_a_task_lost_before_it_began_costs_no_attempt(store, cluster, driver):
    run = store.submit("count", {})
    driver.tick()
    cluster.end(run, lost="Its node died.")
    driver.tick()
    assert given(cluster) == [run.id, run.id]
    assert store.get(run.id).attempt == 0


def test_what_cannot_begin_says_why_and_waits_while_others_go_on(store, cluster, driver, clock):
    run, other = store.submit("count", {}), store.submit("count", {})
    driver.tick()
    cluster.end(run, problem="Node a has no folder.")
    driver.tick()
    assert store.get(run.id).message == "Node a has no folder."
    clock.now += HOLD_S - 1
    driver.tick()
    assert given(cluster) == [run.id, other.id]
    clock.now += 2
    driver.tick()
    driver.tick()
    assert given(cluster)[2:] == [run.id, other.id]


def test_a_run_that_waits_for_room_says_so(store, cluster, driver, clock, begin):
    run = store.submit("count", {})
    driver.tick()
    clock.now += SILENT_S + 1
    driver.tick()
    assert store.get(run.id).message == "waits for room in the cluster"
    begin(run)
    clock.now += SILENT_S + 1
    driver.tick()
    assert store.get(run.id).message == "starting"


@pytest.mark.parametrize("do", ["cancel", "pause", "delete"])
def test_a_task_that_waits_is_withdrawn_with_its_run(store, cluster, driver, do):
    run = store.submit("count", {})
    driver.tick()
    getattr(store, do)(run.id)
    driver.tick()
    assert cluster.withdrawn == [(run.id, False)]
    driver.tick()
    assert len(cluster.orders) == 1


def test_a_task_that_has_begun_ends_itself_and_is_killed_if_it_does_not(
    store, cluster, driver, begin, clock
):
    run = store.submit("count", {})
    driver.tick()
    begin(run)
    driver.tick()
    store.cancel(run.id)
    driver.tick()
    clock.now += FORCE_S - 0.1
    driver.tick()
    assert cluster.withdrawn == []
    clock.now += 0.2
    for _ in range(3):
        driver.tick()
    assert cluster.withdrawn == [(run.id, True)]


def test_a_paused_run_waits_until_its_old_task_is_gone(store, cluster, driver, begin):
    run = store.submit("count", {})
    driver.tick()
    begin(run)
    driver.tick()
    store.pause(run.id)
    driver.tick()
    store.resume(run.id)
    driver.tick()
    assert len(cluster.orders) == 1
    cluster.end(run)
    driver.tick()
    assert [order.fence for order in cluster.orders.values()] == [0, 1]


def test_a_task_that_began_as_it_was_withdrawn_goes_on(store, cluster, driver, begin, clock):
    run = store.submit("count", {})
    driver.tick()
    cluster.withdraw = lambda handle, force: cluster.withdrawn.append((handle, force))
    urgent = store.submit("count", {}, priority=1)
    driver.tick()
    assert len(cluster.withdrawn) == 1
    begin(run)
    driver.tick()
    clock.now += 2 * FORCE_S
    driver.tick()
    assert len(cluster.withdrawn) == 1
    assert store.get(run.id).state is State.RUNNING
    assert urgent.id in given(cluster)


def test_the_runs_of_an_earlier_driver_are_given_back_at_once(store, cluster, driver, begin):
    run = store.submit("count", {})
    driver.tick()
    begin(run)
    again = Driver(store, Cluster())
    again.tick()
    assert last_event(store, run) == "Its driver was gone. It goes on from its last checkpoint."


def test_the_runs_of_others_are_left_alone_until_they_are_silent(store, driver, take):
    run = store.submit("count", {})
    take(run.id, "elsewhere:12345678:1:1")
    driver.tick()
    assert store.get(run.id).state is State.RUNNING
    began = store.clock()
    store.clock = lambda: began + STALE_S + 1
    driver.tick()
    assert last_event(store, run).startswith("There was no sign of life from its node for 60 s.")


def test_a_silent_node_loses_its_run_even_if_the_cluster_believes_in_it(
    store, cluster, driver, begin, clock
):
    run = store.submit("count", {})
    driver.tick()
    lease = begin(run)
    driver.tick()
    began = store.clock()
    store.clock = lambda: began + STALE_S + 1
    driver.tick()
    assert store.get(run.id).state is State.QUEUED
    clock.now += FORCE_S + 1
    driver.tick()
    driver.tick()
    clock.now += FORCE_S + 1
    driver.tick()
    assert cluster.withdrawn == [(run.id, True)]
    with pytest.raises(module.OptimError):
        lease.report(0.9, "late")


def test_a_cluster_that_cannot_be_reached_is_said_to_those_who_wait(store, cluster, driver):
    run = store.submit("count", {})
    cluster.fault = RunError("The Ray cluster at 'a:1' cannot be reached.", hint="Start it.")
    with pytest.raises(RunError, match="cannot be reached"):
        driver.tick()
    assert store.get(run.id).message == "The Ray cluster at 'a:1' cannot be reached. Start it."
    cluster.fault = None
    driver.tick()
    assert given(cluster) == [run.id]


def test_a_place_for_files_that_cannot_be_written_is_said_as_well(store, cluster, driver):
    run = store.submit("count", {})
    store.files.mkdir(parents=True)
    (store.files / "probes").write_text("in the way")
    with pytest.raises(RunError, match="Files of runs cannot be written"):
        driver.tick()
    assert "OPTIM_FILES" in store.get(run.id).message
    assert cluster.orders == {}


def test_stopping_it_costs_no_attempt(store, cluster, driver, begin):
    runs = [store.submit("count", {}) for _ in range(2)]
    driver.tick()
    begin(runs[0])
    driver.tick()
    cluster.end(runs[0])
    driver.shut_down()
    assert cluster.is_closed
    assert [(run.state, run.attempt) for run in store.runs()] == [(State.QUEUED, 0)] * 2
    assert cluster.withdrawn == [(runs[1].id, False)]


def test_a_run_computes_with_as_many_threads_as_before(store, cluster, driver, begin):
    run = store.submit("count", {})
    cluster.cores = 16
    driver.tick()
    begin(run).started({"threads": 3})
    cluster.end(run, lost="Its node died.")
    driver.tick()
    assert [order.threads for order in cluster.orders.values()] == [4, 3]
    assert [needs.cpus for needs in cluster.needs.values()] == [4, 3]


def test_no_run_asks_for_more_than_the_largest_node_has(store, cluster, clock):
    driver = Driver(store, cluster, needs=Needs(cpus=8, gpus=0.5), clock=clock)
    store.submit("count", {})
    driver.tick()
    [order], [needs] = cluster.orders.values(), cluster.needs.values()
    assert (order.threads, needs) == (8, Needs(cpus=2, gpus=0.5))


def test_it_is_busy_as_long_as_anything_runs_or_waits(store, driver, begin, clock):
    clock.now += 5
    driver.tick()
    assert driver.busy_at < clock.now
    store.submit("count", {})
    driver.tick()
    assert driver.busy_at == clock.now


def test_what_a_run_is_given_is_named_by_the_environment(monkeypatch):
    assert needs_of_environment() == Needs(None, 0.0)
    monkeypatch.setenv("OPTIM_RAY_CPUS", "8")
    monkeypatch.setenv("OPTIM_RAY_GPUS", "0.5")
    assert needs_of_environment() == Needs(8, 0.5)


@pytest.mark.parametrize(
    ("name", "text"),
    [("CPUS", "0"), ("CPUS", "1.5"), ("CPUS", "many"), ("GPUS", "-1"), ("GPUS", "inf")],
)
def test_what_cannot_be_given_is_refused(monkeypatch, name, text):
    monkeypatch.setenv(f"OPTIM_RAY_{name}", text)
    with pytest.raises(ConfigError, match=f"OPTIM_RAY_{name} must be a .*{text}"):
        needs_of_environment()


def test_only_the_run_that_is_named_is_looked_at(store):
    runs = [store.submit("count", {}) for _ in range(2)]
    assert [run.id for run in Queue(store, runs[1].id).active()] == [runs[1].id]


def test_a_run_whose_data_cannot_be_carried_keeps_no_other_waiting(store, driver, cluster):
    folder = store_home() / "data"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_text("{")
    broken, whole = store.submit("recipe", {"data": "mine"}), store.submit("recipe", {})
    driver.tick()
    assert [order.run for order in cluster.orders.values()] == [whole.id]
    assert "'mine' cannot be given to other machines" in store.get(broken.id).message


def test_nothing_is_explained_about_runs_that_do_not_wait(store, take):
    runs = [store.submit("count", {}) for _ in range(2)]
    take(runs[0].id).report(0.5, "half")
    Queue(store).explain([run.id for run in runs], "waits")
    assert [store.get(run.id).message for run in runs] == ["half", "waits"]
