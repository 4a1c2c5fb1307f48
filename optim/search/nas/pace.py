"""How long a training will take, of a network that was never trained.

A few of its steps are timed; how much longer whole epochs take is learned from the trainings there
were. MACs alone would not do: in one space an epoch takes thirty times as long for each of them in
the smallest network as in a wide one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median_low

from optim.hashing import digest
from optim.search.candidate import Candidate
from optim.search.nas.bench import Bench
from optim.search.space import Point

__all__ = ["Pace", "epoch_s"]

_LIKE = 3
"""Networks that are learned from: a computer that does other things may have slowed one of them."""


def epoch_s(candidate: Candidate) -> float:
    """Return how many seconds an epoch of a network has taken that was trained by itself."""
    return float(candidate.figures["training"].value / candidate.made["epochs"])


class Pace:
    """Tells how long trainings will take.

    Args:
        bench: Times steps, and counts them.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._thought: dict[str, float] = {}

    def epoch_s(self, point: Point, known: Sequence[Candidate]) -> float:
        """Return how many seconds an epoch of a network will take.

        Args:
            point: The network.
            known: What was trained by itself, the newest last. Of those that are most like it in
                time is learned how much longer epochs take than the steps that were timed.
        """
        thought = self._thought_s(point)
        if not known:
            return thought
        self._thought_s(known[-1].point)  # of an earlier attempt none may have been timed
        timed = [c for c in known if digest(dict(c.point)) in self._thought]
        timed.sort(key=lambda c: abs(math.log(self._thought_s(c.point) / thought)))
        slower = [epoch_s(c) / self._thought_s(c.point) for c in timed[:_LIKE]]
        return thought * median_low(slower)

    def _thought_s(self, point: Point) -> float:
        """Return how long an epoch takes by a few of its steps."""
        key = digest(dict(point))
        if key not in self._thought:
            step = self._bench.seconds_per_step(self._bench.architecture(point))
            self._thought[key] = max(step, 1e-6) * self._bench.steps
        return self._thought[key]
