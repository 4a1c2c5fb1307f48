"""Which network is tried next, by a model of the error: what networks cost is known before.

A Gaussian process learns the error from what was trained so far. Of the networks in a pool the one
is tried that promises to enlarge the front most, its error being uncertain and its costs being
known: the expected improvement of the hypervolume (Emmerich, Single- and Multi-objective
Evolutionary Optimization Assisted by Gaussian Random Field Metamodels, 2005), here by quantiles of
the error.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optim.search.front import front, hypervolume
from optim.search.space import Point, Space

__all__ = ["LEAST_KNOWN", "Known", "most_promising"]

LEAST_KNOWN = 6
"""Trained networks below which nothing is predicted."""
_QUANTILES = (-1.28, -0.52, 0.0, 0.52, 1.28)
"""Of the error's distribution, in deviations: the 10th to the 90th percentile."""
_SHIFT = 0.5
"""Points added to an error before its logarithm is taken."""
_MARGIN = 0.05
"""How far beyond the worst the corner of the box lies, as a share of the box."""


@dataclass(frozen=True)
class Known:
    """A network that may be tried, or was.

    Attributes:
        point: Where it lies in the space.
        costs: What it costs, positive figures by name, the same for all.
        error: Percent of samples it gets wrong; None before it is trained.
    """

    point: Point
    costs: Mapping[str, float]
    error: float | None = None


def most_promising(space: Space, trained: Sequence[Known], pool: Sequence[Known]) -> int | None:
    """Return the position in the pool of the network to try next; None if the pool is empty.

    Args:
        space: Where they lie.
        trained: Networks that were trained equally long, :data:`LEAST_KNOWN` at least.
        pool: Networks that were not.
    """
    if not pool:
        return None
    features = _features(space, [*trained, *pool])
    errors = np.log([_SHIFT + (one.error or 0.0) for one in trained])
    mean, spread = _predicted(features[: len(trained)], errors, features[len(trained) :])
    costs = _scaled_costs([*trained, *pool])
    # A cheaper network may well be worse than all that are known: it belongs into the box.
    worst = max(errors.max(), float((mean + spread).max()))
    best = min(errors.min(), float((mean - 2 * spread).min()))
    span = max(1e-9, worst - best)
    own = [((e - best) / span, *c) for e, c in zip(errors, costs[: len(trained)], strict=True)]
    corner = (1 + _MARGIN,) * len(own[0])
    own = [own[i] for i in front(own)]
    gains = []
    for m, s, c in zip(mean, spread, costs[len(trained) :], strict=True):
        guessed = [((m + q * s - best) / span, *c) for q in _QUANTILES]
        gains.append(sum(_gain(own, values, corner) for values in guessed))
    top = max(gains)
    if top <= 0:
        # Nothing promises more: whatever is least known.
        return int(np.argmax(spread))
    return gains.index(top)


def _gain(
    own: Sequence[tuple[float, ...]], values: tuple[float, ...], corner: tuple[float, ...]
) -> float:
    """Return what a point adds to a volume: its own box without what others dominate of it."""
    if any(all(a <= b for a, b in zip(known, values, strict=True)) for known in own):
        return 0.0
    if any(v >= c for v, c in zip(values, corner, strict=True)):
        return 0.0
    inside = [tuple(map(max, known, values)) for known in own]
    inside = [inside[i] for i in front(inside)]
    box = math.prod(c - v for v, c in zip(values, corner, strict=True))
    return box - hypervolume(inside, corner)


def _features(space: Space, networks: Sequence[Known]) -> np.ndarray:
    """Return ``(N, features)``: places of ordered values, others one by one, logs of costs."""
    columns: list[list[float]] = []
    for dimension in space:
        if len(dimension.values) < 2:
            continue
        given = [one.point.get(dimension.name) for one in networks]
        if dimension.is_ordered:
            last = len(dimension.values) - 1
            columns.append([-0.5 if v is None else dimension.index(v) / last for v in given])
        else:
            columns += [[float(v == value) for v in given] for value in dimension.values]
    for name in networks[0].costs:
        columns.append([math.log(max(1e-12, one.costs[name])) for one in networks])
    found = np.array(columns).T
    spread = found.std(0)
    scaled: np.ndarray = (found - found.mean(0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def _scaled_costs(networks: Sequence[Known]) -> list[tuple[float, ...]]:
    """Return the logarithms of costs, each from 0 to 1."""
    logs = np.log([[max(1e-12, v) for v in one.costs.values()] for one in networks])
    low, span = logs.min(0), np.ptp(logs, 0)
    scaled = (logs - low) / np.where(span > 0, span, 1.0)
    return [tuple(map(float, row)) for row in scaled]


def _predicted(
    known: np.ndarray, errors: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    count = known.shape[1]
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * Matern(
        np.full(count, 2.0), (0.3, 30.0), nu=2.5
    ) + WhiteKernel(0.05, (1e-3, 0.5))
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(known, errors)
    mean, spread = model.predict(wanted, return_std=True)
    return mean, spread
