"""One choice for each of several parts, so that all together cost no more than is allowed.

What bits, ratios and ranks of layers come down to: every layer has a few settings, each with a
cost (bytes, MACs, time) and a harm (how much the loss rises). Costs and harms add up over layers.
That is a knapsack with one item of every kind, solved by dynamic programming over the budget (Sinha
and Zoltners, The Multiple-Choice Knapsack Problem, 1979). It is exact for whole costs up to
20,000 times their greatest common divisor beyond the cheapest, and to within a few 20,000ths of the
budget otherwise. A choice that spends all of the budget can be missed there, and with few parts
that is often the best one: who knows one, such as the same setting everywhere, says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from optim.errors import ConfigError

__all__ = ["allocate"]

_BUCKETS = 20_000
"""Parts the budget is counted in. Costs are rounded up to whole ones: it is never exceeded."""


def allocate(
    harms: Sequence[Sequence[float]],
    costs: Sequence[Sequence[float]],
    budget: float,
    known: Sequence[int] | None = None,
) -> list[int]:
    """Choose one option of every part: least harm in all, and no more cost than the budget.

    Args:
        harms: Of every option of every part; parts may have different numbers of options.
        costs: Of the same, not negative.
        budget: Largest sum of costs.
        known: A choice that the result is no more harmful than, if the budget pays for it.

    Returns:
        The index of the option of each part. What rounding left of the budget is spent as well.

    Raises:
        ConfigError: If even the cheapest options cost more than the budget.

    Example:
        >>> allocate([[0.0, 5.0], [0.0, 1.0]], [[8, 4], [8, 4]], budget=12)
        [0, 1]
    """
    least = [min(part) for part in costs]
    if sum(least) > budget:
        raise ConfigError(
            f"The budget must be at least {sum(least):.4g}, what the cheapest options cost: "
            f"got {budget:.4g}."
        )
    if not costs:
        return []
    # Only what goes beyond the cheapest option is bought, and counted.
    spare = budget - sum(least)
    extra = [np.asarray(part, float) - low for part, low in zip(costs, least, strict=True)]
    most = sum(float(part.max()) for part in extra)
    if most <= spare:
        return [int(np.lexsort((c, np.asarray(h)))[0]) for h, c in zip(harms, extra, strict=True)]
    bucket = _bucket(extra, spare)
    found = [_solve(harms, [_buckets(part, bucket) for part in extra], spare, bucket)]
    # Sums of the same costs in another order differ in their last digits.
    if known is not None and _total(costs, known) <= budget * (1 + 1e-12):
        found.append(list(known))
    spent = [_spent(chosen, harms, extra, spare) for chosen in found]
    return min(spent, key=lambda chosen: _total(harms, chosen))


def _total(values: Sequence[Sequence[float]], chosen: Sequence[int]) -> float:
    return sum(part[option] for part, option in zip(values, chosen, strict=True))


def _bucket(extra: Sequence[np.ndarray], spare: float) -> float:
    """Return the unit that costs are counted in; whole costs in one they are multiples of."""
    if all(bool((part == part.round()).all()) for part in extra):
        unit = math.gcd(*(int(cost) for part in extra for cost in part))
        if spare <= unit * _BUCKETS:
            return float(unit)
    return spare / _BUCKETS


def _buckets(costs: np.ndarray, bucket: float) -> np.ndarray:
    """Return costs as whole buckets, rounded up; what can never be paid takes more than all."""
    if bucket == 0:
        return np.where(costs > 0, _BUCKETS + 1, 0)
    # A cost of exactly so many buckets must not be rounded up because of the last digit.
    whole = np.ceil(costs / bucket - 1e-9)
    return np.minimum(whole, _BUCKETS + 1).astype(int)


def _solve(
    harms: Sequence[Sequence[float]], costs: Sequence[np.ndarray], spare: float, bucket: float
) -> list[int]:
    """Return the best options for costs in whole buckets."""
    best = np.zeros(_BUCKETS + 1)
    taken = []
    for harm, cost in zip(harms, costs, strict=True):
        tried = np.full((len(harm), _BUCKETS + 1), math.inf)
        for option, (h, c) in enumerate(zip(harm, cost, strict=True)):
            tried[option, c:] = best[: _BUCKETS + 1 - c] + h
        taken.append(tried.argmin(axis=0))
        best = tried.min(axis=0)
    left, chosen = math.floor(spare / bucket + 1e-9) if bucket else 0, []
    for options, cost in zip(reversed(taken), reversed(costs), strict=True):
        option = int(options[left])
        chosen.append(option)
        left -= int(cost[option])
    return chosen[::-1]


def _spent(
    chosen: list[int],
    harms: Sequence[Sequence[float]],
    extra: Sequence[np.ndarray],
    spare: float,
) -> list[int]:
    """Spend what rounding left: while something less harmful can be paid, take what gains most."""
    left = spare - sum(float(part[option]) for part, option in zip(extra, chosen, strict=True))
    while True:
        gains = [
            (harms[part][chosen[part]] - harm, part, option)
            for part, options in enumerate(harms)
            for option, harm in enumerate(options)
            if harm < harms[part][chosen[part]]
            and extra[part][option] - extra[part][chosen[part]] <= left
        ]
        if not gains:
            return chosen
        _, part, option = max(gains)
        left -= float(extra[part][option] - extra[part][chosen[part]])
        chosen[part] = option
