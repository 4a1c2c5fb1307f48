"""From candidates to an answer: the front, the one to take, the closest miss if none will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optim.quantity import format_at_least
from optim.search.candidate import Candidate
from optim.search.figures import FIGURES
from optim.search.front import front, knee
from optim.search.goals import Goals, Miss

__all__ = ["Closest", "best_or_closest", "chosen", "closest_miss", "front_of", "knee_of"]


def front_of(
    candidates: Sequence[Candidate], goals: Goals, *, whole: bool = False
) -> list[Candidate]:
    """Return the candidates that no other beats in all objectives, cheapest first.

    Args:
        candidates: Baselines, and what was not judged, do not count.
        goals: What is weighed.
        whole: Whether only what was measured on all samples counts.
    """
    able = _able(candidates, goals)
    able = [c for c in able if c.is_whole or not whole]
    return [able[i] for i in front([goals.values(c.figures) or () for c in able])]


def knee_of(found: Sequence[Candidate], goals: Goals) -> Candidate | None:
    """Return the compromise of a front, see :func:`optim.search.front.knee`."""
    position = knee([goals.values(c.figures) or () for c in found])
    return None if position is None else found[position]


def chosen(candidates: Sequence[Candidate], goals: Goals) -> Candidate | None:
    """Return the candidate to take; None if none keeps all limits.

    Those whose whole interval keeps the limits come first. Where a cost is limited the best quality
    within is taken, by the end of its interval that is certain; where only quality is, the
    cheapest; where nothing is asked for, the knee of the front.
    """
    able = [c for c in _able(candidates, goals) if c.is_whole and not goals.misses(c.figures)]
    able = [c for c in able if not goals.misses(c.figures, certainly=True)] or able
    if not able:
        return None
    limited = {limit.figure for limit in goals.asked}
    if not limited:
        return knee_of(front_of(able, goals), goals)
    quality, cost = goals.quality, goals.costs[0]
    if limited - {quality}:
        return min(able, key=lambda c: (c.figures[quality].high, c.figures[cost].value))
    return min(able, key=lambda c: (c.figures[cost].value, c.figures[quality].high))


@dataclass(frozen=True)
class Closest:
    """The candidate that came closest to limits that none keeps.

    Attributes:
        candidate: It.
        misses: The limits it misses, and by how much.
        relaxations: For each limit, what it would have to be so that some candidate keeps all.
    """

    candidate: Candidate
    misses: tuple[Miss, ...]
    relaxations: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "number": self.candidate.number,
            "text": self.text,
            "misses": [miss.to_json() for miss in self.misses],
            "relaxations": self.relaxations,
        }

    @property
    def text(self) -> str:
        """What failed, by how much, and what to relax."""
        missed = " ".join(miss.text for miss in self.misses)
        ways = [
            f"{FIGURES[name].word} up to "
            f"{format_at_least(value, FIGURES[name].unit).removesuffix(' MACs')}"
            for name, value in self.relaxations.items()
        ]
        return f"{missed} What would do: allow {', or '.join(ways)}." if ways else missed


def closest_miss(candidates: Sequence[Candidate], goals: Goals) -> Closest | None:
    """Return what came closest; None if something keeps all limits, or nothing was looked at."""
    able = _able(candidates, goals)
    if not able or any(c.is_whole and not goals.misses(c.figures) for c in able):
        return None
    nearest = min(able, key=lambda c: goals.excess(c.figures))
    relaxations = {}
    for limit in goals.asked:  # what a device has cannot be relaxed
        others = [
            c.figures[limit.figure].value
            for c in able
            if c.is_whole
            and limit.figure in c.figures
            and not goals.misses(c.figures, but=(limit.figure,))
        ]
        if others:
            relaxations[limit.figure] = min(others)
    return Closest(nearest, tuple(goals.misses(nearest.figures)), relaxations)


def best_or_closest(best: Candidate | None, closest: Closest | None) -> Candidate | None:
    """Return what is handed over: the best, or what came closest; None if there is neither."""
    return best or (closest.candidate if closest else None)


def _able(candidates: Sequence[Candidate], goals: Goals) -> list[Candidate]:
    return [c for c in candidates if c.is_judged and not c.is_baseline and goals.values(c.figures)]
