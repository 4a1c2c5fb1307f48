"""A search for architectures as a run: its files, and a worker that is killed while it trains."""

import json

import pytest

from optim.errors import Cancelled
from optim.runs.job import perform
from optim.runs.jobs import JOBS
from optim.runs.queue import Queue
from optim.runs.run import State
from optim.runs.work import Work
from optim.search.nas.asked import Asked


@pytest.fixture
def spec():
    only = {"width": [4, 8], "depth": [1, 2]}
    return Asked(
        "mlp", "wine", {"params": 500}, seconds=60, only=only, epochs=3, precision="float32"
    ).to_json()


def test_it_leaves_an_answer_trained_weights_and_a_verified_file(store, take, spec):
    run = store.submit("nas", spec)
    work = Work(run, take(run.id), threads=1)
    store.enough(run.id)  # asked before it began: it ends with the first network
    perform(work, JOBS)
    done = store.get(run.id)
    assert done.state is State.FINISHED, done.error
    assert done.result["schema"] == "optim.nas/1"
    assert done.result["satisfied"] is True
    files = {file.name for file in store.artefacts(run.id)}
    front = {f"front-{number}.safetensors" for number in done.result["front"]}
    assert {"nas.json", "recipe.yaml", "model.onnx", "model.safetensors", *front} == files


def test_a_worker_that_dies_in_mid_training_goes_on_with_network_and_epoch(
    store, take, spec, monkeypatch
):
    from optim.search.nas import trying

    epochs, dies = [], [True]
    title = trying.title_of

    def noted(work, step, figures):
        epochs.append((step, figures["epoch"]))
        if len(epochs) == 3 and dies:
            dies.clear()
            raise Cancelled
        record(work, step, figures)

    record = Work.record
    monkeypatch.setattr(Work, "record", noted)
    run = store.submit("nas", {**spec, "only": {"width": [4], "depth": [1]}, "epochs": 5})
    lease = take(run.id)
    perform(Work(run, lease, threads=1), JOBS)
    assert store.get(run.id).state is State.RUNNING
    Queue(store).give_back(run.id, lease.fence, "Its worker died.")
    perform(Work(store.get(run.id), take(run.id), threads=1), JOBS)
    done = store.get(run.id)
    assert done.state is State.FINISHED, done.error
    (row,) = done.result["candidates"]
    assert (row["epochs"], row["title"]) == (5, title("mlp", row["point"]))
    # Those before are told again, and none is trained again: the training went on.
    again = [number for _, number in epochs[3:]]
    assert again == sorted(again)
    assert again[-1] == 5
    assert len({step for step, _ in epochs}) == 1
    unbroken = store.submit("nas", {**spec, "only": {"width": [4], "depth": [1]}, "epochs": 5})
    perform(Work(unbroken, take(unbroken.id), threads=1), JOBS)
    (other,) = store.get(unbroken.id).result["candidates"]
    assert other["figures"]["error"] == row["figures"]["error"]


def test_what_was_tried_is_shown_meanwhile_and_kept(store, take, spec, monkeypatch):
    from optim.search.nas.bench import Bench

    train, count = Bench.train, []

    def killed_at_the_third(self, *args, **options):
        count.append(args)
        if len(count) == 3:
            raise Cancelled
        return train(self, *args, **options)

    monkeypatch.setattr(Bench, "train", killed_at_the_third)
    run = store.submit("nas", spec)
    lease = take(run.id)
    perform(Work(run, lease, threads=1), JOBS)
    shown = store.live(run.id)
    known = shown["candidates"]
    assert known[0]["number"] == 1
    Queue(store).give_back(run.id, lease.fence, "Its worker died.")
    perform(Work(store.get(run.id), take(run.id), threads=1), JOBS)
    done = store.get(run.id)
    assert done.state is State.FINISHED, done.error
    assert done.result["candidates"][: len(known)] == json.loads(json.dumps(known))


def test_what_cannot_be_searched_for_is_said_by_the_run(store, take, spec):
    run = store.submit("nas", {**spec, "space": "magic"})
    perform(Work(run, take(run.id), threads=1), JOBS)
    assert store.get(run.id).state is State.FAILED
    assert "space must be one of" in store.get(run.id).error["message"]
