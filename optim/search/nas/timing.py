"""What there is time for: networks that are tried, and the best, which is trained to the end.

Nothing is begun that would take time from training the best to the end. Where the budget is too
short for that, half of it is kept all the same: the best is then trained for as long as there is.
"""

from __future__ import annotations

from collections.abc import Sequence

from optim.search.candidate import Candidate
from optim.search.nas.halving import newest, ranked, taken
from optim.search.nas.pace import epoch_s
from optim.search.nas.session import Session

__all__ = ["epochs_in", "for_repetitions", "for_the_end", "in_order", "most_epoch_s", "spare"]

_SURE = 1.2
"""How much longer than thought a training may take, where time is kept for it."""
_SURE_ENOUGH = 1.1
"""The same where it is begun in the time that was kept."""
_LAST_SHARE = 0.5
"""Of the budget, at most, for training the best to the end."""
_FIRST_SHARE = 0.3
"""Of the budget, at least, in which networks are tried whatever comes after."""
_LONGER = 1.5
"""How many times as long as before a network is trained at least, where not to the end."""


def spare(session: Session) -> float:
    """Return the seconds in which others may be trained before the best has to be."""
    first = _FIRST_SHARE * session.budget.seconds - session.budget.spent
    left = session.time()
    return max(left - for_the_end(session), min(left, first), 0.0)


def most_epoch_s(session: Session, epochs: int) -> float:
    """Return how long an epoch may take of what is trained now, and to the end if it is the best.

    Where the best of now cannot be trained to the end, others need not have the time either.

    Args:
        session: The search.
        epochs: Of the training.
    """
    best, whole = _best(session), session.rungs[-1]
    most = spare(session) / (_SURE * epochs)
    if best is None or epochs == whole:
        return most
    if best.made["epochs"] < whole and _SURE * epoch_s(best) * whole > session.time():
        return most
    return min(most, session.time() / (_SURE * (epochs + whole)))


def for_the_end(session: Session) -> float:
    """Return the seconds that are kept for training the best to the end, and again where asked."""
    best, whole = _best(session), session.rungs[-1]
    if best is None:
        return 0.0
    wanted = 0.0 if best.made["epochs"] == whole else _SURE * epoch_s(best) * whole
    return min(_LAST_SHARE * session.budget.seconds, wanted + for_repetitions(session))


def for_repetitions(session: Session) -> float:
    """Return the seconds that repetitions of what is taken will take."""
    best = _best(session)
    return session.asked.seeds * _SURE * epoch_s(best) * session.rungs[-1] if best else 0.0


def in_order(session: Session, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return networks as they are to be trained to the end: what would be taken first.

    Where nothing is asked for only those are taken that were trained to the end: the best first.
    """
    best = taken(candidates, session.goals) if session.goals.asked else None
    return sorted(ranked(candidates, session.goals), key=lambda c: c is not best)


def epochs_in(session: Session, candidate: Candidate, seconds: float) -> int:
    """Return for how many epochs a network is worth training in a time: to the end, if it fits.

    Returns:
        0 where it would not be trained for much longer than it was.
    """
    able = min(session.rungs[-1], int(seconds / (_SURE_ENOUGH * max(epoch_s(candidate), 1e-9))))
    is_worth = able == session.rungs[-1] or able >= _LONGER * candidate.made["epochs"]
    return able if is_worth and able > candidate.made["epochs"] else 0


def _best(session: Session) -> Candidate | None:
    """Return the network that would be trained to the end now; None if none was trained."""
    return next(iter(in_order(session, newest(session.candidates))), None)
