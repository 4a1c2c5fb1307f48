"""What of a space can share weights: what keeps the limits, and what time allows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from optim.errors import Cancelled, OptimError
from optim.search.goals import Goals
from optim.search.nas.bench import Bench
from optim.search.nas.supernet.supernet import Supernet, largest_of, smallest_of
from optim.search.space import Dimension, Point, Scalar, Space

__all__ = ["affordable", "elastic", "fitting"]

_TRAINED = ("error", "training")
_NETWORKS = 2.0
"""Work of a step of a supernet, in steps of its largest network."""
_LEAST_EPOCHS = 12
"""Epochs below which networks with shared weights cannot be told apart."""


def elastic(bench: Bench) -> tuple[Space, list[Dimension]]:
    """Return the space of networks that can share weights, and what is fixed in it."""
    family, space = bench.asked.space, bench.space
    wanted = {f"{family}.{name}" for name in bench.family.elastic}
    fixed = [d for d in space if d.name not in wanted and len(d.values) > 1]
    return space.narrowed({d.name: (d.default,) for d in fixed}), fixed


def fitting(
    bench: Bench, space: Space, smallest: Point, goals: Goals, check: Callable[[], None]
) -> Space:
    """Leave out the values that miss a limit of cost even where all else is smallest.

    Args:
        bench: Tells costs.
        space: What may be tried.
        smallest: The point of least cost.
        goals: What is limited.
        check: Called between networks; raises to stop.
    """
    if not any(limit.figure not in _TRAINED for limit in goals.limits):
        return space
    base = {d.name: smallest[d.name] for d in space if smallest.get(d.name) in d.values}

    def keeps(dimension: Dimension, value: Scalar) -> bool:
        check()
        try:
            point = space.clean({**base, dimension.name: value})
            figures = bench.costs(bench.architecture(point), goals)
        except Cancelled:
            raise
        except OptimError:
            return False
        return not goals.misses(figures, but=_TRAINED)

    kept: dict[str, tuple[Scalar, ...]] = {}
    for dimension in space:
        values = dimension.values
        if len(values) < 2:
            continue
        if dimension.is_ordered:
            able = values[: _first_false(partial(_at, keeps, dimension), len(values))]
        else:
            able = tuple(value for value in values if keeps(dimension, value))
        kept[dimension.name] = able or (base.get(dimension.name, values[0]),)
    return space.narrowed(kept)


def affordable(
    bench: Bench, space: Space, seconds: float, most: int, check: Callable[[], None]
) -> tuple[Supernet, int] | None:
    """Return a supernet that can be trained in time, and for how many epochs; None if none can.

    As long as time is too short, the upper half of the field that takes most of it is left out.

    Args:
        bench: Data, and how networks of the family are trained.
        space: What may share weights.
        seconds: For the training.
        most: Epochs, at most.
        check: Called between attempts; raises to stop.
    """
    least = min(_LEAST_EPOCHS, most)
    guessed = _guess(bench, space)
    while True:
        check()
        largest = largest_of(space, bench.work)
        if least * guessed(largest) <= seconds:
            supernet = Supernet(bench, space)
            epochs = min(most, int(seconds / supernet.seconds_per_epoch()))
            if epochs >= least:
                return supernet, epochs
        smaller = [
            space.narrowed({d.name: d.values[: (len(d.values) + 1) // 2]})
            for d in space
            if d.is_ordered and len(d.values) > 1
        ]
        if not smaller:
            return None
        space = min(smaller, key=lambda one: guessed(_largest(one, largest)))


def _guess(bench: Bench, space: Space) -> Callable[[Point], float]:
    """Return what tells how long an epoch of a supernet takes, from its largest network.

    Every layer takes a while whatever its size, and longer with every MAC: by two networks.
    """
    smallest = smallest_of(space, bench.work)
    usual = space.clean({})
    least, more = (bench.seconds_per_step(bench.architecture(one)) for one in (smallest, usual))
    layer = least / max(1, bench.layer_count(smallest))
    rate = max(0.0, more - layer * bench.layer_count(usual)) / max(1.0, bench.work(usual))

    def guessed(largest: Point) -> float:
        step = layer * bench.layer_count(largest) + rate * bench.work(largest)
        return bench.steps * _NETWORKS * step

    return guessed


def _largest(space: Space, before: Point) -> dict[str, Any]:
    """Return a point with the largest values that are left in place of those left out."""
    values = {d.name: before[d.name] for d in space if before.get(d.name) in d.values}
    last = {d.name: d.values[-1] for d in space if d.name not in values}
    return space.clean({**values, **last})


def _at(keeps: Callable[[Dimension, Scalar], bool], dimension: Dimension, position: int) -> bool:
    return keeps(dimension, dimension.values[position])


def _first_false(holds: Callable[[int], bool], count: int) -> int:
    """Return the first of ``count`` positions where something no longer holds, by halving."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            low = middle + 1
        else:
            high = middle
    return low
