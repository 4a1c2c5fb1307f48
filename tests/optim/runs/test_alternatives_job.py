"""Alternatives as a run: every cell once, its figures under its name, nothing lost by a stop."""

import pytest

from optim.alternatives.alternative import Alternative
from optim.errors import Cancelled
from optim.models.mlp import MLP
from optim.quantity import Quantity
from optim.runs.job import perform
from optim.runs.jobs import JOBS
from optim.runs.jobs.alternatives import cell_name
from optim.runs.queue import Queue
from optim.runs.run import State
from optim.runs.work import Work
from optim.techniques.distill import Distill


@pytest.fixture
def spec():
    training = Distill(epochs=1, batch_size=16)
    return {
        "data": "wine",
        "seeds": [0, 1],
        "alternatives": [
            Alternative("Plain", MLP(width=8), training).to_json(),
            Alternative("Dropout", MLP(width=8, dropout=0.5), training).to_json(),
        ],
    }


@pytest.fixture
def done(store, take):
    """Return a function that runs a specification in this process."""

    def done(spec):
        run = store.submit("alternatives", spec)
        perform(Work(run, take(run.id), threads=1), JOBS)
        return store.get(run.id)

    return done


def test_every_cell_is_trained_and_compared(done, spec):
    run = done(spec)
    assert run.state is State.FINISHED, run.error
    cells = [(cell["title"], cell["seed"]) for cell in run.result["cells"]]
    assert cells == [("Plain", 0), ("Plain", 1), ("Dropout", 0), ("Dropout", 1)]
    plain, dropout = run.result["outcomes"]
    assert plain["accuracy_change"] is None
    assert Quantity.from_json(dropout["accuracy_change"]["difference"]).n == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seeds": []}, "seeds must be a list that is not empty"),
        ({"alternatives": "all"}, "alternatives must be a list"),
        ({"seeds": list(range(60))}, "at most 100: got 2 times 60"),
        ({"data": "../secret"}, "secret"),
    ],
)
def test_what_cannot_be_done_is_said_by_the_run(done, spec, changes, reason):
    run = done({**spec, **changes})
    assert run.state is State.FAILED
    assert reason in run.error["message"]


def test_cells_that_were_trained_are_kept_when_it_is_stopped(store, take, spec, monkeypatch):
    from optim.alternatives import training as module

    run, trained, train = store.submit("alternatives", spec), [], module._trained

    def stopped_at_the_third(alternative, data, seed, *args):
        trained.append(cell_name(alternative.title, seed))
        if len(trained) == 3:
            raise Cancelled
        return train(alternative, data, seed, *args)

    monkeypatch.setattr(module, "_trained", stopped_at_the_third)
    lease = take(run.id)
    perform(Work(run, lease, threads=1), JOBS)
    Queue(store).give_back(run.id, lease.fence, "Stopped by a test.")
    perform(Work(run, take(run.id), threads=1), JOBS)
    assert store.get(run.id).state is State.FINISHED
    assert len(store.get(run.id).result["cells"]) == 4
    assert trained == [cell_name(*cell) for cell in (*ORDER[:3], *ORDER[2:])]


ORDER = (("Plain", 0), ("Dropout", 0), ("Plain", 1), ("Dropout", 1))
"""Seeds come one by one, each with all alternatives."""
