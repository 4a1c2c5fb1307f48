"""Fill a store of runs as workers would, without any worker."""

from __future__ import annotations

import math

from optim.quantity import Comparison, How, Quantity
from optim.recipe import Recipe
from optim.runs.artefacts import keep
from optim.runs.lease import Lease
from optim.runs.queue import Queue
from optim.runs.run import EpochRow, Run
from optim.runs.store import RunStore
from tests.pages.helpers import small_recipe


def scorecard(recipe: Recipe, *, accuracy: float = 0.92, change: float = -1.4) -> dict:
    """Return what a run of a recipe stores as its result."""

    def card(correct, size, latency, macs, how=How.MEASURED):
        return {
            "accuracy": Quantity(correct, "fraction", correct - 0.02, correct + 0.02, 362, how),
            "params": Quantity.exact(4_000, "params"),
            "macs": Quantity.exact(macs, "macs"),
            "sparsity": Quantity.exact(0.0, "fraction"),
            "file": Quantity.exact(size, "bytes"),
            "latency": Quantity(latency, "ms", latency * 0.97, latency * 1.03, 40),
        }

    def plain(figures):
        return {
            **{name: value.to_json() for name, value in figures.items()},
            "primary": "accuracy",
            "sizes": {},
            "conditions": {"runtime": "ONNX Runtime 1.32", "batch_size": 1, "threads": 1},
        }

    low, high = change - 0.9, change + 0.9
    return {
        "schema": "optim.scorecard/1",
        "verdict": "This network is 4.1x smaller and loses 1.4 ± 0.9 points.",
        "model": recipe.model,
        "data": recipe.data,
        "part": "validation",
        "overlap": "unseen",
        "baseline": plain(card(accuracy - change / 100, 330_032, 0.42, 1_250_000)),
        "result": plain(card(accuracy, 80_500, 0.21, 402_000, How.SIMULATED)),
        "change": {
            "accuracy": Comparison(Quantity(change, "points", low, high, 362), "higher").to_json(),
            "file": Comparison(Quantity.exact(0.244, "x"), "lower").to_json(),
            "latency": Comparison(Quantity(0.5, "x", 0.48, 0.52, 40), "lower").to_json(),
        },
        "verification": {},
        "steps": {
            entry.id: {
                "summary": f"{entry.step.title} did what it does.",
                "layers": [
                    {"layer": "stem.conv", "touched": True, "detail": "changed", "amount": 0.5},
                    {"layer": "head", "touched": False, "detail": "left alone", "amount": None},
                ],
                "notes": [],
            }
            for entry in recipe.active
        },
    }


def trainable(**fields) -> Recipe:
    """Return a small recipe with a step that trains."""
    steps = small_recipe().to_json()["steps"]
    return small_recipe(steps=[*steps[:2], {"distill": {"epochs": 4}}, steps[2]], **fields)


class Worked:
    """A store and the hands of a worker.

    Args:
        store: Where the runs are.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store

    def queued(self, title: str = "Recover small", recipe: Recipe | None = None) -> Run:
        """Return a run that waits."""
        recipe = recipe or trainable()
        return self.store.submit("recipe", {"recipe": recipe.to_json()}, title=title)

    def running(
        self, title: str = "Recover small", *, epochs: int = 2, recipe: Recipe | None = None
    ) -> Run:
        """Return a run that has trained for some epochs."""
        run = self.queued(title, recipe)
        lease = self.lease(run)
        lease.started({"optim": "0.1.0", "threads": 1, "versions": {"torch": "2.13.0"}})
        self.train(lease, epochs)
        return self.store.get(run.id)

    def finished(
        self, title: str = "Recover small", *, recipe: Recipe | None = None, **figures: float
    ) -> Run:
        """Return a run that has finished, with two files."""
        recipe = recipe or trainable()
        run = self.queued(title, recipe)
        lease = self.lease(run)
        lease.started({"optim": "0.1.0", "threads": 1, "versions": {"torch": "2.13.0"}})
        self.train(lease, 4)
        lease.artefact(keep(self.store.kept, "recipe.yaml", recipe.to_yaml().encode()))
        lease.artefact(keep(self.store.kept, "model.onnx", b"not really"))
        lease.finish(scorecard(recipe, **figures))
        return self.store.get(run.id)

    def failed(self, title: str = "Recover small", *, traceback: str = "") -> Run:
        """Return a run that has failed."""
        run = self.queued(title)
        self.lease(run).fail(
            {
                "kind": "RunError",
                "message": "The loss is no longer a number.",
                "hint": "Lower the learning rate.",
                "traceback": traceback,
            }
        )
        return self.store.get(run.id)

    def lease(self, run: Run) -> Lease:
        """Take a run as a worker does."""
        queue = Queue(self.store)
        (active,) = [found for found in queue.active() if found.id == run.id]
        return Lease(self.store, run.id, queue.take(active, "here:0:0:0"))

    def lease_of(self, run: Run) -> Lease:
        """Return the right to write about a run that was taken before."""
        (active,) = [found for found in Queue(self.store).active() if found.id == run.id]
        return Lease(self.store, run.id, active.fence)

    def train(self, lease: Lease, epochs: int, *, step: str = "distill", of: int = 4) -> None:
        """Record epochs of a training step."""
        for epoch in range(1, epochs + 1):
            figures = {
                "loss": 1.5 * math.exp(-0.4 * epoch) + 0.1,
                "learning_rate": 0.1 / epoch,
                "accuracy": 0.93 - 0.2 * math.exp(-0.5 * epoch),
                "train_accuracy": 0.97 - 0.3 * math.exp(-0.5 * epoch),
                "seconds": 2.5,
            }
            row = EpochRow(step, epoch, figures, self.store.clock())
            lease.epochs([row])
            lease.report(
                0.1 + 0.5 * epoch / of, f"epoch {epoch} of {of}, loss {row.figures['loss']:.3f}"
            )
