"""Differences of figures that were not measured on the same samples, or not in turns.

Nothing pairs them, so that their interval is wider than a paired one: ends of both are combined by
the method of variance estimates recovery (MOVER; for shares, Newcombe, Interval Estimation for the
Difference Between Independent Proportions, 1998).
"""

from __future__ import annotations

import math
from typing import Literal

from optim.quantity import Comparison, Quantity

__all__ = ["independent_difference", "independent_ratio"]


def independent_difference(
    baseline: Quantity, candidate: Quantity, better: Literal["higher", "lower"] = "higher"
) -> Comparison:
    """Compare two figures that nothing pairs: candidate minus baseline, shares in points.

    Example:
        >>> one = Quantity(0.80, "fraction", 0.76, 0.84, 400)
        >>> two = Quantity(0.90, "fraction", 0.87, 0.93, 400)
        >>> print(independent_difference(one, two).difference)
        10 ± 5 points
    """
    value = candidate.value - baseline.value
    low = value - math.hypot(candidate.value - candidate.low, baseline.high - baseline.value)
    high = value + math.hypot(candidate.high - candidate.value, baseline.value - baseline.low)
    scale, unit = (100.0, "points") if candidate.unit == "fraction" else (1.0, candidate.unit)
    ends = (scale * value, unit, scale * low, scale * high)
    return Comparison(Quantity(*ends, _fewer(baseline, candidate), candidate.how), better)


def independent_ratio(baseline: Quantity, candidate: Quantity) -> Comparison | None:
    """Compare two positive figures that nothing pairs: candidate over baseline, lower is better.

    Returns:
        None where an end is not positive: a ratio then says nothing.

    Example:
        >>> one, two = Quantity(2.0, "ms", 1.9, 2.1, 40), Quantity(1.0, "ms", 0.9, 1.1, 40)
        >>> independent_ratio(one, two).verdict()
        '2.0 ± 0.2x less'
    """
    if min(baseline.low, candidate.low) <= 0:
        return None
    logs = [[math.log(end) for end in (q.low, q.value, q.high)] for q in (baseline, candidate)]
    (low_b, value_b, high_b), (low_c, value_c, high_c) = logs
    value = value_c - value_b
    low = value - math.hypot(value_c - low_c, high_b - value_b)
    high = value + math.hypot(high_c - value_c, value_b - low_b)
    ends = (math.exp(value), "x", math.exp(low), math.exp(high))
    return Comparison(Quantity(*ends, _fewer(baseline, candidate), candidate.how), "lower")


def _fewer(baseline: Quantity, candidate: Quantity) -> int | None:
    known = [figure.n for figure in (baseline, candidate) if figure.n is not None]
    return min(known, default=None)
