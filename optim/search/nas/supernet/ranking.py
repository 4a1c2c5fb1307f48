"""What each network of a space reaches with shared weights, and which are worth a training."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from optim.errors import Cancelled, OptimError
from optim.quantity import Quantity
from optim.search.figures import FIGURES
from optim.search.front import front
from optim.search.goals import Goals
from optim.search.nas.session import Session
from optim.search.nas.supernet.supernet import Supernet
from optim.search.space import Point, Space

__all__ = ["Ranked", "best_of", "rank", "thinned"]

_MOST = 512
"""Networks that are looked at; of larger spaces every second value of the longest field is left
out, as often as it takes."""
_TRAINED = ("error", "training")


@dataclass(frozen=True)
class Ranked:
    """A network with shared weights.

    Attributes:
        point: Where it lies in the space.
        error: Percent of the validation samples that it gets wrong, computed in floats.
        costs: What it costs as it is deployed, by figure.
        how: How each of these was obtained.
    """

    point: Point
    error: float
    costs: Mapping[str, float]
    how: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "point": dict(self.point),
            "error": self.error,
            "costs": dict(self.costs),
            "how": dict(self.how),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(dict(data["point"]), float(data["error"]), dict(data["costs"]), data["how"])


def thinned(space: Space, most: int = _MOST) -> Space:
    """Return a space of so many networks at most: its ends stay, and what lies between thins out.

    Example:
        >>> from optim.search.nas.families import space_of
        >>> [list(d.values) for d in thinned(space_of("mlp", (13,), only={"depth": (1,)}), 5)]
        [[1], [4, 260, 516, 772, 1024]]
    """
    while space.count() > most:
        longest = max(space, key=lambda d: len(d.values))
        values = longest.values
        if len(values) < 3:
            return space
        last = values[-1]
        space = space.narrowed({longest.name: (*values[:-1:2], last)})
    return space


def rank(session: Session, supernet: Supernet, until: float) -> list[Ranked]:
    """Return what networks of a supernet reach and cost.

    Args:
        session: The search.
        supernet: Trained.
        until: Seconds of the budget after which no further network is looked at.
    """
    bench = session.bench
    points = list(thinned(supernet.space).points())
    # In any order but that of the space, so that what time leaves out is no part of it.
    random.Random(session.asked.seed).shuffle(points)
    found: list[Ranked] = []
    for number, point in enumerate(points):
        session.watch.check()
        if session.budget.spent > until and found:
            break
        if number % 16 == 0:
            session.begin(f"network {number + 1:,} of {len(points):,} of the supernet")
        try:
            figures = bench.costs(bench.architecture(point), session.goals)
            error = 100 * (1 - supernet.accuracy(point))
        except Cancelled:
            raise
        except OptimError:
            continue
        costs = {name: value.value for name, value in figures.items()}
        how = {name: value.how.value for name, value in figures.items()}
        found.append(Ranked(point, error, costs, how))
    return found


def best_of(ranked: Sequence[Ranked], goals: Goals, most: int) -> list[Ranked]:
    """Return the networks of the front that keep the limits of cost, evenly along their error.

    Args:
        ranked: Networks with shared weights.
        goals: What is weighed and limited.
        most: How many; the one of least error is among them.
    """
    able = [r for r in ranked if not goals.misses(_quantities(r), but=_TRAINED)]
    costs = [name for name in goals.costs if name not in _TRAINED]
    values = [(r.error, *(r.costs.get(name, 0.0) for name in costs)) for r in able]
    best = sorted((able[i] for i in front(values)), key=lambda r: r.error)
    if len(best) <= most:
        return best
    step = (len(best) - 1) / max(1, most - 1)
    return [best[round(i * step)] for i in range(most)]


def _quantities(ranked: Ranked) -> dict[str, Quantity]:
    return {name: Quantity.exact(value, FIGURES[name].unit) for name, value in ranked.costs.items()}
