"""Which rows belong together, what each counts for, and how they are dealt out to folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

__all__ = ["folds_of", "members", "shares_of"]


def shares_of(models: Sequence[Hashable]) -> np.ndarray:
    """Return what each row counts for if every model counts as one."""
    counts = Counter(models)
    return np.array([1 / counts[model] for model in models])


def folds_of(names: Sequence[Hashable], strata: Sequence[str], n_folds: int) -> np.ndarray:
    """Deal names out to folds, evenly within each stratum; equal names share a fold.

    Args:
        names: Of the rows; what must not be torn apart.
        strata: Of the rows; a name belongs to the first it occurs in.
        n_folds: How many folds.
    """
    first: dict[Hashable, str] = {}
    for name, stratum in zip(names, strata, strict=True):
        first.setdefault(name, stratum)
    fold: dict[Hashable, int] = {}
    generator = np.random.default_rng(0)
    for stratum in sorted(set(first.values())):
        inside = [name for name, where in first.items() if where == stratum]
        for place, which in enumerate(generator.permutation(len(inside))):
            fold[inside[which]] = place % n_folds
    return np.array([fold[name] for name in names])


def members(names: Any) -> dict[str, np.ndarray]:
    """Return which rows carry each name, of rows that may carry several."""
    found: dict[str, list[int]] = {}
    for index, several in enumerate(names):
        for name in several:
            found.setdefault(name, []).append(index)
    return {name: np.array(index) for name, index in found.items()}
