"""Whether what is taken was luck: trained again from other weights, as long, for an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optim.measure.intervals import mean_interval
from optim.quantity import How, Quantity
from optim.search.candidate import Candidate
from optim.search.nas.halving import taken
from optim.search.nas.session import Session

__all__ = ["over_seeds", "repeat"]


def repeat(session: Session) -> None:
    """Train what is taken from other weights, as often as is asked for and time allows."""
    best = taken(session.candidates, session.goals)
    if session.asked.seeds < 2 or best is None or not best.made.get("epochs"):
        return
    each = best.figures["training"].value
    errors = [best.figures["error"].value]
    for turn in range(1, session.asked.seeds):
        if each > session.time():
            break
        session.begin(
            f"training {best.title} from other weights, {turn + 1} of {session.asked.seeds}"
        )
        errors.append(_error(session, best, session.asked.seed + turn))
    if len(errors) < 2:
        session.say("There was no time left to train what is taken from other weights.")
        return
    session.repeated = {best.number: over_seeds(errors, best.figures["error"].how)}
    session.say(f"{best.title} from {len(errors)} seeds: error {session.repeated[best.number]}.")


def over_seeds(errors: Sequence[float], how: How) -> Quantity:
    """Return the mean error over seeds, with its interval.

    Example:
        >>> over_seeds([3.0, 5.0, 4.0], How.MEASURED).value
        4.0
    """
    mean, low, high = mean_interval(np.array(errors))
    return Quantity(mean, "points", max(0.0, low), high, len(errors), how)


def _error(session: Session, candidate: Candidate, seed: int) -> float:
    bench = session.bench
    bundle, _ = bench.train(
        bench.architecture(candidate.point),
        int(candidate.made["epochs"]),
        seed=seed,
        check=session.watch.check,
    )
    judged = bench.judge(bench.deployed(bundle), bench.subject.part, session.watch.check)
    return judged.error.value
