"""Fronts of candidates: what nothing else beats, how good a front is, and how to choose from it.

Every figure is better when it is smaller. The hypervolume is the share of the box up to a reference
that a front dominates (Zitzler and Thiele, Multiobjective Evolutionary Algorithms: A Comparative
Case Study, 1999), computed exactly by slicing; that is fast for the few dozen points and three or
four figures that a search here weighs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["dominates", "front", "hypervolume", "knee"]

Values = Sequence[float]


def dominates(one: Values, other: Values) -> bool:
    """Whether one is nowhere worse and somewhere better.

    Example:
        >>> dominates((1.0, 2.0), (1.0, 3.0)), dominates((1.0, 2.0), (0.0, 3.0))
        (True, False)
    """
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(points: Sequence[Values]) -> list[int]:
    """Return the positions of the points that no other dominates, by their last figure.

    Of equal points the first stands for all.

    Example:
        >>> front([(3.0, 1.0), (1.0, 2.0), (2.0, 2.0), (1.0, 2.0)])
        [0, 1]
    """
    kept: list[int] = []
    for position in sorted(range(len(points)), key=lambda i: (*points[i], i)):
        # Whoever dominates this one sorts before it.
        if not any(
            all(a <= b for a, b in zip(points[k], points[position], strict=True)) for k in kept
        ):
            kept.append(position)
    return sorted(kept, key=lambda i: (points[i][-1], i))


def hypervolume(points: Sequence[Values], reference: Values) -> float:
    """Return the volume that points dominate below a reference; what lies beyond it adds nothing.

    Args:
        points: One a candidate.
        reference: The corner of the box.

    Example:
        >>> hypervolume([(1.0, 2.0), (2.0, 1.0)], (3.0, 3.0))
        3.0
    """
    inside = [tuple(p) for p in points if all(a < r for a, r in zip(p, reference, strict=True))]
    return _volume(inside, tuple(reference))


def _volume(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    if not points:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(p[0] for p in points)
    total = 0.0
    ordered = sorted(points, key=lambda p: p[-1])
    for i, point in enumerate(ordered):
        above = ordered[i + 1][-1] if i + 1 < len(ordered) else reference[-1]
        if above > point[-1]:
            slice_ = _front_of([p[:-1] for p in ordered[: i + 1]])
            total += (above - point[-1]) * _volume(slice_, reference[:-1])
    return total


def _front_of(points: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    return [points[i] for i in front(points)]


def knee(points: Sequence[Values]) -> int | None:
    """Return the position of the point from which every step costs more than it brings.

    Figures are put on one scale by the ends of the front; the knee is the point nearest to where
    all of them are at their best (the compromise solution: Yu, A Class of Solutions for Group
    Decision Problems, 1973). None without points.

    Example:
        >>> knee([(0.0, 10.0), (1.0, 1.0), (9.0, 0.0)])
        1
    """
    if not points:
        return None
    low = [min(column) for column in zip(*points, strict=True)]
    high = [max(column) for column in zip(*points, strict=True)]
    spans = [(most - least) or 1.0 for least, most in zip(low, high, strict=True)]
    return min(
        range(len(points)),
        key=lambda i: (
            math.dist(
                [(v - least) / s for v, least, s in zip(points[i], low, spans, strict=True)],
                [0.0] * len(low),
            ),
            i,
        ),
    )
