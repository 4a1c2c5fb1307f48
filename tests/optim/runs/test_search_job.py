"""A search as a run: what it shows meanwhile, the files it leaves, and a worker that is killed."""

import json

import pytest

from optim.errors import Cancelled, ConfigError
from optim.recipe import Recipe
from optim.runs.job import perform
from optim.runs.jobs import JOBS
from optim.runs.queue import Queue
from optim.runs.run import State
from optim.runs.work import Work
from optim.search.autopilot.asked import Asked

ONLY = {
    "prune_channels.importance": ["magnitude"],
    "prune_channels.scope": ["local"],
    "prune_channels.layers": ["same"],
    "quantize.weight_bits": [8],
    "quantize.layers": ["same"],
    "factorize.on": [False],
}


@pytest.fixture
def spec():
    base = Recipe("wine-mlp", "wine")
    return Asked(base, {"bytes": "75%"}, seconds=25.0, trains=False, only=ONLY).to_json()


def names(store, run):
    return {file.name for file in store.artefacts(run.id)}


def test_it_leaves_an_answer_recipes_and_a_verified_file(store, take, spec):
    run = store.submit("search", spec)
    work = Work(run, take(run.id), threads=1)
    store.enough(run.id)  # asked before it began: it ends with the first that will do
    perform(work, JOBS)
    done = store.get(run.id)
    assert done.state is State.FINISHED, done.error
    assert done.result["schema"] == "optim.search/1"
    assert done.result["ended"] == "It was asked to take what it has."
    assert done.result["satisfied"] is True
    assert {"search.json", "recipe.yaml", "model.onnx"} <= names(store, done)
    assert done.recipe == Recipe("wine-mlp", "wine")
    told = [event.message for event in store.events(run.id)]
    assert any(text.startswith("Taken: ") for text in told)


def test_a_search_whose_worker_dies_goes_on_with_what_it_tried(store, take, spec, monkeypatch):
    from optim.search.autopilot.bench import Bench

    measure, tried = Bench.measure, []

    def killed_at_the_third(self, recipe, *args, **options):
        tried.append(recipe.hash)
        if len(tried) == 3:
            raise Cancelled
        return measure(self, recipe, *args, **options)

    monkeypatch.setattr(Bench, "measure", killed_at_the_third)
    run = store.submit("search", spec)
    lease = take(run.id)
    perform(Work(run, lease, threads=1), JOBS)
    shown = store.live(run.id)
    assert [row["number"] for row in shown["candidates"]] == [1, 2]
    Queue(store).give_back(run.id, lease.fence, "Its worker died.")
    again = take(run.id)
    store.enough(run.id)
    perform(Work(store.get(run.id), again, threads=1), JOBS)
    done = store.get(run.id)
    assert done.state is State.FINISHED, done.error
    assert done.result["candidates"][:2] == json.loads(json.dumps(shown["candidates"]))


def test_what_cannot_be_searched_for_is_said_by_the_run(store, take, spec):
    run = store.submit("search", {**spec, "sampler": "magic"})
    perform(Work(run, take(run.id), threads=1), JOBS)
    assert store.get(run.id).state is State.FAILED
    assert "sampler must be one of" in store.get(run.id).error["message"]


def test_only_an_active_run_can_be_asked_for_what_it_has(store, spec):
    run = store.submit("search", spec)
    store.cancel(run.id)
    with pytest.raises(ConfigError, match="cancelled"):
        store.enough(run.id)


def test_what_was_asked_of_an_attempt_is_not_asked_of_the_next(store, spec):
    run = store.submit("search", spec)
    store.enough(run.id)
    store.cancel(run.id)
    assert store.is_enough(run.id)
    store.resume(run.id)
    assert not store.is_enough(run.id)
    store.enough(run.id)
    store.resume(run.id)  # it waits already
    assert store.is_enough(run.id)


def test_a_run_that_ends_while_it_is_deleted_is_deleted(store, spec, monkeypatch):
    run = store.submit("search", spec)
    get = store.get

    def late(run_id):
        found = get(run_id)
        if found.state is State.QUEUED:
            store._move(run_id, {State.QUEUED}, State.FINISHED, "Done.")
        return found

    monkeypatch.setattr(store, "get", late)
    store.delete(run.id)
    assert get(run.id).deleted
    assert get(run.id).state is State.FINISHED


def test_a_run_that_shows_nothing_shows_nothing(store, spec):
    run = store.submit("search", spec)
    assert store.live(run.id) == {}
    assert not store.is_enough(run.id)
