"""Which networks are trained for longer: a third of those that were trained as long, the best.

Asynchronous successive halving (Li et al., A System for Massively Parallel Hyperparameter Tuning,
2018, arXiv:1810.05934), with one worker or several: as soon as a length of training has three
networks for each that was trained for longer, its best one is; else a new network is tried.
**Differs from the paper**: each training begins from the start, with a schedule of its own length,
so that it can be made again; what is best is told by fronts, not by one figure; and a short length
has to show that it tells something: :func:`telling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.choosing import chosen
from optim.search.front import front
from optim.search.goals import Goals
from optim.search.nas.trust import spearman_rho

__all__ = ["LEARNED", "newest", "promotion", "ranked", "taken", "telling"]

_FEWER = 3
LEARNED = 6
"""Networks that are trained for every length to learn which lengths tell something."""
_TELLS = 0.5
"""Spearman's rho with the errors after whole trainings, at least."""


def ranked(candidates: Sequence[Candidate], goals: Goals) -> list[Candidate]:
    """Return networks, best first: limits, then front after front, by error within one.

    Args:
        candidates: Trained ones.
        goals: What is weighed and limited.
    """
    left = [c for c in candidates if goals.values(c.figures)]
    found: list[Candidate] = []
    while left:
        positions = set(front([goals.values(c.figures) or () for c in left]))
        best = [c for i, c in enumerate(left) if i in positions]
        found += sorted(best, key=lambda c: (c.figures[goals.quality].value, c.number))
        left = [c for i, c in enumerate(left) if i not in positions]
    return sorted(found, key=lambda c: goals.excess(c.figures) > 0)


def taken(candidates: Sequence[Candidate], goals: Goals) -> Candidate | None:
    """Return the network to take, as :func:`~optim.search.choosing.chosen`; None if none will do.

    Estimates of a device are taken by their value: their intervals are so wide that what certainly
    keeps a limit is often much worse. Where nothing is asked for the compromise is one among those
    that were trained for longest: an error after less says little of what it will be.
    """
    if not goals.asked:
        longest = max((c.made.get("epochs", 0) for c in candidates if c.is_whole), default=0)
        candidates = [c for c in candidates if c.made.get("epochs", 0) == longest]
    by_value = [
        replace(
            c,
            figures={
                name: value if name == goals.quality else Quantity.exact(value.value, value.unit)
                for name, value in c.figures.items()
            },
        )
        for c in candidates
    ]
    best = chosen(by_value, goals)
    return next((c for c in candidates if best and c.number == best.number), None)


def promotion(
    candidates: Sequence[Candidate], goals: Goals, rungs: Sequence[int], *, first: int = 0
) -> tuple[Candidate, int] | None:
    """Return the network that is to be trained for longer, and how long; None for a new one.

    Args:
        candidates: All that were tried.
        goals: What is weighed and limited.
        rungs: Lengths of trainings in epochs, shortest first.
        first: So many networks, the first that were trained, go on whatever they reach.
    """
    for shorter, longer in zip(rungs[-2::-1], rungs[:0:-1], strict=True):
        trained = [c for c in candidates if c.is_whole and c.made.get("epochs") == shorter]
        promoted = {c.parent for c in candidates if c.made.get("epochs") == longer}
        best = [*trained[:first], *ranked(trained, goals)[: len(trained) // _FEWER]]
        for candidate in best:
            if candidate.number not in promoted:
                return candidate, longer
    return None


def telling(candidates: Sequence[Candidate], rungs: Sequence[int]) -> tuple[int, ...]:
    """Return the lengths of training that tell something of the longest, and that itself.

    Decided once, by the first networks that were trained for all lengths: which ones these are has
    nothing to do with what they reach.

    Args:
        candidates: All that were tried, oldest first.
        rungs: Lengths of trainings in epochs, shortest first.
    """
    errors: dict[str, dict[int, float]] = {}
    for c in candidates:
        if c.is_whole and c.made.get("epochs"):
            own = errors.setdefault(repr(sorted(c.point.items())), {})
            own[c.made["epochs"]] = c.figures["error"].value
    known = [own for own in errors.values() if own.keys() >= set(rungs)][:LEARNED]
    if len(known) < LEARNED:
        return tuple(rungs)
    last = [own[rungs[-1]] for own in known]
    return (
        *(r for r in rungs[:-1] if (spearman_rho([k[r] for k in known], last) or 0.0) >= _TELLS),
        rungs[-1],
    )


def newest(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return of each network that was trained by itself the candidate that was so for longest."""
    longest: dict[str, Candidate] = {}
    for candidate in candidates:
        if not candidate.is_whole or not candidate.made.get("epochs"):
            continue
        key = repr(sorted(candidate.point.items()))
        if key not in longest or candidate.made["epochs"] > longest[key].made["epochs"]:
            longest[key] = candidate
    return list(longest.values())
