"""The stage of a search that trains a supernet and says which networks are worth a training."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from optim.errors import Cancelled, OptimError
from optim.models.zoo import architecture_to_json
from optim.quantity import Quantity, format_value
from optim.search.candidate import Candidate
from optim.search.nas.session import Session
from optim.search.nas.supernet.planning import affordable, elastic, fitting
from optim.search.nas.supernet.ranking import Ranked, best_of, rank
from optim.search.nas.supernet.supernet import Supernet
from optim.search.nas.words import title_of
from optim.search.space import Point
from optim.train import Epoch

__all__ = ["STAGE", "Learned", "learn"]

_TRAIN_SHARE, _RANK_SHARE = 0.4, 0.55
"""Of the budget: what is spent when the supernet is trained, and when its networks are ranked."""
_LONGER = 2
"""Epochs of a supernet for each of a whole training, at most."""
_BEST = 8
STAGE = "from the supernet"
"""Of candidates whose weights are those of the supernet."""


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained supernet, and what its networks reach.

    Attributes:
        supernet: It.
        ranked: Its networks.
        best: Those worth a training, least error first.
        each_s: Seconds that it took to say what one of them reaches.
        samples: Validation samples on which it was looked at.
    """

    supernet: Supernet
    ranked: list[Ranked]
    best: list[Ranked]
    each_s: float
    samples: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data; of the networks one row each, its values in the space first."""
        names = [dimension.name for dimension in self.supernet.space]
        costs = sorted({name for one in self.ranked for name in one.costs})
        return {
            "epochs": self.supernet.epochs,
            "seconds": self.supernet.seconds,
            "each_s": self.each_s,
            "samples": self.samples,
            "how": dict(self.ranked[0].how) if self.ranked else {},
            "columns": [*names, "error", *costs],
            "rows": [
                [
                    *(one.point.get(name) for name in names),
                    round(one.error, 3),
                    *(one.costs.get(name) for name in costs),
                ]
                for one in self.ranked
            ],
        }


def learn(session: Session, smallest: Point) -> Learned | None:
    """Train a supernet, look at its networks, and keep the best of them as candidates.

    Args:
        session: The search.
        smallest: The network of least cost.

    Returns:
        None where the budget is too small, or where an earlier attempt did it and kept nothing.
    """
    bench = session.bench
    session.begin("planning the supernet")
    plans = session.watch.states("supernet: plan")
    plan = plans.load() or {}
    if not plan and any(c.stage == STAGE for c in session.candidates):
        session.say("What the supernet thinks most of is known from an earlier attempt.")
        return None
    space, fixed = elastic(bench)
    if plan:
        supernet, epochs = Supernet(bench, space.narrowed(plan["values"])), int(plan["epochs"])
    else:
        space = fitting(bench, space, smallest, session.goals, session.watch.check)
        seconds = _TRAIN_SHARE * session.budget.seconds - session.budget.spent
        most = _LONGER * session.asked.epochs
        found = affordable(bench, space, seconds, most, session.watch.check)
        if found is None:
            session.say("The budget is too small for a supernet: networks are trained one by one.")
            return None
        supernet, epochs = found
        plan = {"values": {d.name: list(d.values) for d in supernet.space}, "epochs": epochs}
        plans.save(plan)
    largest = title_of(session.asked.space, supernet.largest)
    kept = f" Fixed: {', '.join(f'{d.label.lower()} {d.default}' for d in fixed)}." if fixed else ""
    session.say(
        f"A supernet of {supernet.space.count():,} networks is trained for {epochs} epochs; the "
        f"largest has {largest}.{kept}"
    )
    _train(session, supernet, epochs)
    if "ranked" in plan:
        ranked, each = [Ranked.from_json(one) for one in plan["ranked"]], float(plan["each_s"])
    else:
        session.begin("looking at the supernet's networks")
        began = time.perf_counter()
        ranked = rank(session, supernet, _RANK_SHARE * session.budget.seconds)
        each = (time.perf_counter() - began) / max(1, len(ranked))
        session.watch.states("supernet: plan").save(
            {**plan, "ranked": [one.to_json() for one in ranked], "each_s": each}
        )
    best = best_of(ranked, session.goals, _BEST)
    session.say(
        f"{len(ranked):,} of its networks were looked at, {format_value(each, 's')} each; "
        f"{len(best)} of their front are trained on their own."
    )
    learned = Learned(supernet, ranked, best, each, bench.subject.data.parts["validation"])
    _keep(session, learned)
    return learned


def _train(session: Session, supernet: Supernet, epochs: int) -> None:
    name = "supernet"
    session.begin("training the supernet")

    def on_epoch(epoch: Epoch) -> None:
        session.watch.record(name, epoch.figures())
        session.begin(f"training the supernet, epoch {epoch.number} of {epochs}")

    supernet.train(
        epochs,
        resume=session.watch.states(name),
        on_epoch=on_epoch,
        check=session.watch.check,
    )


def _keep(session: Session, learned: Learned) -> None:
    """Measure the best as they are, with shared weights and as they would be deployed."""
    known = {repr(sorted(c.point.items())) for c in session.candidates if c.stage == STAGE}
    for one in learned.best:
        session.watch.check()
        if repr(sorted(one.point.items())) in known:
            continue
        try:
            found = _measured(session, learned.supernet, one.point)
        except Cancelled:
            raise
        except OptimError as error:
            session.say(f"A network of the supernet was passed over. {error}")
            continue
        session.others.add(found)
        session.tell()


def _measured(session: Session, supernet: Supernet, point: Point) -> Candidate:
    bench = session.bench
    began = time.monotonic()
    architecture = bench.architecture(point)
    bundle = supernet.network(architecture)
    made = {
        "architecture": architecture_to_json(architecture),
        "epochs": 0,
        "supernet": {
            "values": {d.name: list(d.values) for d in supernet.space},
            "epochs": supernet.epochs,
        },
    }
    if key := bench.remember(bundle, made):
        session.watch.trained(key)
    judged = bench.judge(bench.deployed(bundle), bench.subject.part, session.watch.check)
    figures = {
        **bench.costs(architecture, session.goals),
        "error": judged.error,
        "training": Quantity.exact(supernet.seconds, "s"),
    }
    found = Candidate(
        dict(point), made, figures, "measured", STAGE, title_of(session.asked.space, point)
    )
    return replace(found, quality=judged.accuracy, seconds=time.monotonic() - began)
