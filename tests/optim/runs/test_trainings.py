"""Trainings of a search as runs: what comes back, what is taken up again, what is given up."""

import time
from types import SimpleNamespace

import pytest

from optim.errors import Cancelled, ConfigError
from optim.recipe import Recipe
from optim.runs import trainings
from optim.runs.job import perform
from optim.runs.jobs import JOBS
from optim.runs.queue import Queue
from optim.runs.run import ACTIVE, EpochRow, State
from optim.runs.trainings import QueuedTrainings
from optim.runs.work import Work
from optim.search.autopilot.asked import Asked as RecipesAsked
from optim.search.autopilot.plan import Autopilot
from optim.search.executor import Order
from optim.search.nas.asked import Asked
from optim.search.nas.plan import ArchitectureSearch
from optim.search.watch import Watch
from optim.sensitivity.analysis import analyse
from optim.sensitivity.kept import SHELF, key_of
from optim.sensitivity.profile import SAMPLES
from optim.stored import remove_stored
from optim.subject import open_subject
from tests.optim.search.test_autopilot import NARROW, Clock


class Here:
    """An engine that does what waits in this process, while somebody waits for it."""

    def __init__(self, store, take):
        self.store, self.take = store, take
        self.works, self.most = True, 0

    def ensure(self):
        """Be there."""

    def sleep(self, seconds):
        waiting = [run for run in Queue(self.store).active() if run.state is State.QUEUED]
        self.most = max(self.most, len(waiting))
        for run in waiting if self.works else ():
            lease = self.take(run.id)
            perform(Work(self.store.get(run.id), lease, threads=1), JOBS)


@pytest.fixture
def here(store, take):
    return Here(store, take)


@pytest.fixture
def trains(store, here, monkeypatch):
    """Return a function that makes an executor."""
    clock = SimpleNamespace(sleep=here.sleep, monotonic=time.monotonic)
    monkeypatch.setattr(trainings, "time", clock)

    def trains(places=2, **options):
        return QueuedTrainings(store, places, works=here, **options)

    return trains


@pytest.fixture
def order():
    from optim.models.zoo import ARCHITECTURES, architecture_to_json
    from optim.search.nas.bench import Bench

    architecture = ARCHITECTURES["mlp"](width=8, depth=1)
    made = {"architecture": architecture_to_json(architecture), "epochs": 2}
    key = Bench(Asked("mlp", "wine")).key_of(made)
    remove_stored(key)
    return Order(
        key, "network training", {"search": Asked("mlp", "wine").to_json(), **made}, "a network"
    )


def test_what_was_trained_lies_under_the_key_that_was_asked_for(store, trains, order):
    from optim.stored import stored_file

    executor = trains()
    executor.begin(order)
    [outcome] = executor.ended(1.0)
    assert (outcome.key, outcome.problem) == (order.key, "")
    assert outcome.seconds > 0
    assert stored_file(order.key) is not None
    assert executor.ended(0.0) == []
    assert store.runs() == [], "what it left lies under its key"


def test_a_search_that_was_killed_takes_up_what_it_had_asked_for(store, trains, here, order):
    here.works = False
    trains().begin(order)
    [run] = store.runs()
    again = trains()
    again.begin(order)
    assert [one.id for one in store.runs()] == [run.id]
    here.works = True
    [outcome] = again.ended(1.0)
    assert outcome.problem == ""


def test_searches_do_not_take_the_trainings_of_each_other(store, trains, here, order):
    here.works = False
    first, second = trains(search="first"), trains(search="second")
    first.begin(order)
    second.begin(order)
    assert len(store.runs()) == 2
    trains(search="second").begin(order)
    assert len(store.runs()) == 2
    first.withdraw()
    here.works = True
    [outcome] = second.ended(1.0)
    assert outcome.problem == ""


def test_a_training_that_somebody_has_removed_is_done_by_the_search(store, trains, here, order):
    here.works = False
    executor = trains()
    executor.begin(order)
    [run] = store.runs()
    store.delete(run.id)
    trainings.purge(store, [run.id])
    [outcome] = executor.ended(0.0)
    assert "removed" in outcome.problem
    assert executor.ended(0.0) == []


def test_the_seconds_of_a_training_are_those_of_all_attempts(store, trains, here, order, take):
    """As of one that was killed between two of its steps: the first one is taken from storage."""
    here.works = False
    executor = trains()
    executor.begin(order)
    [run] = store.runs()
    earlier = take(run.id)
    earlier.epochs([EpochRow("distill", n, {"epoch": n, "seconds": 100.0}, 0.0) for n in (1, 2)])
    store.pause(run.id)
    store.resume(run.id)
    here.works = True
    [outcome] = executor.ended(1.0)
    assert 200 < outcome.seconds < 260


def test_what_is_not_wanted_any_more_is_cancelled(store, trains, here, order):
    here.works = False
    executor = trains()
    executor.begin(order)
    executor.withdraw()
    assert not store.has_active()
    assert executor.ended(0.0) == []


def test_what_cannot_be_trained_is_a_sentence(store, trains, order):
    spec = {**order.spec, "architecture": {"magic": {}}}
    executor = trains()
    executor.begin(Order(order.key, order.kind, spec, order.title))
    [outcome] = executor.ended(1.0)
    assert "magic" in outcome.problem
    assert [run.state for run in store.runs()] == [State.FAILED], "it can be looked at"


@pytest.mark.parametrize("places", [0, 65])
def test_places_that_cannot_be_are_refused(trains, places):
    with pytest.raises(ConfigError, match=f"from 1 to 64: got {places}"):
        trains(places)


def test_networks_are_trained_at_once_and_are_those_of_a_search_alone(trains, here, tmp_path):
    only = {"width": [4, 8], "depth": [1, 2]}
    asked = Asked("mlp", "wine", seconds=60, only=only, epochs=3, precision="float32")
    found = []
    for executor in (None, trains(2)):
        url = f"sqlite:///{tmp_path / str(len(found))}.db"
        search = ArchitectureSearch(asked, url=url, executor=executor)
        answer = search.run()
        assert answer.chosen is not None
        trained = [c for c in search.session.candidates if c.is_whole]
        found.append({(str(c.point), c.made["epochs"]): c.figures["error"].value for c in trained})
    assert here.most == 2
    alone, shared = found
    assert len({point for point, _ in shared}) == 4
    both = alone.keys() & shared.keys()
    assert len(both) >= 4
    assert {key: alone[key] for key in both} == {key: shared[key] for key in both}


def test_a_search_that_is_stopped_gives_up_what_is_trained_elsewhere(store, trains, here, tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    only = {"width": [4, 8], "depth": [1, 2]}
    asked = Asked("mlp", "wine", seconds=60, only=only, epochs=3, precision="float32")

    def check():
        if any(run.kind == "network training" for run in store.runs(states=ACTIVE)):
            raise Cancelled

    here.works = False
    search = ArchitectureSearch(asked, Watch(check=check), url=url, executor=trains(2))
    with pytest.raises(Cancelled):
        search.run()
    assert not store.has_active()
    here.works = True
    again = ArchitectureSearch(asked, url=url, executor=trains(2))
    assert again.run().chosen is not None
    points = [str(c.point) for c in again.session.points.candidates()]
    assert len(points) == len(set(points)) == 4


def test_recipes_are_trained_by_others(trains, here, tmp_path, monkeypatch):
    # Nothing waits for a process to start here.
    monkeypatch.setattr("optim.search.autopilot.training._AWAY_S", 0.1)
    base = Recipe("wine-mlp", "wine")
    *_, profile = analyse(open_subject(base))
    SHELF.keep(key_of(base, SAMPLES), profile.to_json())
    limits = {"bytes": "70%", "loss": 6.0}
    asked = RecipesAsked(base, limits, seconds=14, only=NARROW, reuses=False)
    said = []
    autopilot = Autopilot(
        asked,
        Watch(say=said.append),
        url=f"sqlite:///{tmp_path / 'studies.db'}",
        clock=Clock(),
        executor=trains(2),
    )
    answer = autopilot.run()
    stages = ("short training", "long training")
    trained = [c for c in answer.candidates if c.stage in stages and c.is_whole]
    assert trained, said
    assert all(c.figures["training"].value > 0 for c in trained)
    assert here.most >= 1
    assert "Up to 2 candidates are trained at once." in said
