"""Whether what is taken was luck: trained again from other weights, as long, for an interval.

The training that it was found by does not count: it was chosen for what it reached.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optim.measure.intervals import mean_interval
from optim.quantity import How, Quantity
from optim.search.candidate import Candidate
from optim.search.figures import times_text
from optim.search.nas.halving import taken
from optim.search.nas.session import Session
from optim.search.session import OutOfTimeError

__all__ = ["over_seeds", "repeat"]


def repeat(session: Session) -> None:
    """Train what is taken from other weights, as often as is asked for and time allows.

    What an earlier attempt has trained counts.
    """
    best = taken(session.candidates, session.goals)
    if not session.asked.seeds or best is None or not best.made.get("epochs"):
        return
    note = f"errors of {best.number}"
    errors = dict(session.points.noted(note) or ())
    each = best.figures["training"].value
    for turn in range(1, session.asked.seeds + 1):
        seed = session.asked.seed + turn
        if seed in errors:
            continue
        if each > session.time():
            break
        session.begin(f"training {best.title} from other weights, {turn} of {session.asked.seeds}")
        try:
            errors[seed] = _error(session, best, seed)
        except OutOfTimeError:
            break
        session.points.note(note, list(errors.items()))
    if not errors:
        session.say("There was no time left to train what is taken from other weights.")
        return
    found = over_seeds(list(errors.values()), best.figures["error"].how)
    session.repeated = {best.number: found}
    times = times_text(len(errors))
    session.say(f"{best.title}, trained again {times} from other weights: error {found}.")


def over_seeds(errors: Sequence[float], how: How) -> Quantity:
    """Return the mean error over seeds, with its interval.

    Example:
        >>> over_seeds([3.0, 5.0, 4.0], How.MEASURED).value
        4.0
    """
    mean, low, high = mean_interval(np.array(errors), 0.0, 100.0)
    return Quantity(mean, "points", low, high, len(errors), how)


def _error(session: Session, candidate: Candidate, seed: int) -> float:
    bench = session.bench
    bundle, _ = bench.train(
        bench.architecture(candidate.point),
        int(candidate.made["epochs"]),
        seed=seed,
        check=session.check,
    )
    judged = bench.judge(bench.deployed(bundle), bench.subject.part, session.watch.check)
    return judged.error.value
