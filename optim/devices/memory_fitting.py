"""How the constants of the law of peak memory are found: from peaks that were published.

A ridge regression of logarithms, robust against single rows, in which rows count for less the more
of them a model has. What a runtime, a class, a device or a setting adds to what all share is
penalised each time: few rows of a setting thus change little.

Published peaks are rounded to whole megabytes, and the largest of what was seen: one of 0 means
less than one.

References:
    Hoerl and Kennard, Ridge Regression, Technometrics 1970, doi:10.1080/00401706.1970.10488634.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from optim.devices.fit_roofline import nonnegative_fit
from optim.devices.fitting import FEWEST_MODELS, ends_of, imputation_of
from optim.devices.folds import members, shares_of
from optim.devices.law import Origin
from optim.devices.memory import N_SIZES, MemoryLaw, columns_of, levels_of, memory_interval_names
from optim.devices.workload import Workload, numbers_of

__all__ = [
    "LEAST_BYTES",
    "calibrate_memory",
    "cross_validate_memory",
    "fit_memory",
    "fit_runtime_memory",
]

LEAST_BYTES = 5e5
_ROUNDS = 5
_USUAL = 0.2
"""Errors, of logarithms, above which a row counts for less."""


def fit_memory(
    rows: Sequence[Workload], models: Sequence[Hashable], peak_bytes: np.ndarray
) -> MemoryLaw:
    """Fit the law to published peaks.

    Args:
        rows: What was measured.
        models: Which rows belong to one model.
        peak_bytes: Peaks of memory.

    Returns:
        The law, without intervals.
    """
    from scipy import sparse
    from scipy.sparse.linalg import lsqr

    target = np.log(np.maximum(peak_bytes, LEAST_BYTES))
    # What all share is not drawn towards 0: a device that is not known must not take a part of it.
    middle = float(np.median(target))
    target = target - middle
    raw = numbers_of(rows)
    imputation = imputation_of(raw, models)
    columns = columns_of(imputation(raw)[0], rows)
    sizes, columns_sparse = columns[:, :N_SIZES], sparse.csr_matrix(columns)
    levels = members(levels_of(row) for row in rows)
    blocks = []
    for index in levels.values():
        inside = sparse.csr_matrix((np.ones(len(index)), (index, index)), shape=(len(rows),) * 2)
        blocks.append(inside @ columns_sparse)
    whole = sparse.hstack(blocks, format="csr")
    fair = np.sqrt(shares_of(models))
    fair /= fair.mean()
    weight, found = fair, np.zeros(whole.shape[1])
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)
        found = lsqr(sparse.diags(root) @ whole, root * target, damp=1.0)[0]
        weight = fair / np.maximum(np.abs(target - whole @ found) / _USUAL, 1)
    factors = dict(zip(levels, found.reshape(-1, columns.shape[1]), strict=True))
    factors[""][N_SIZES] += middle  # the column of ones
    return MemoryLaw(imputation, np.array([sizes.min(axis=0), sizes.max(axis=0)]), factors)


def cross_validate_memory(
    rows: Sequence[Workload],
    models: Sequence[Hashable],
    peak_bytes: np.ndarray,
    folds: np.ndarray,
) -> tuple[np.ndarray, list[Origin]]:
    """Return the logarithm of bytes for each row by a law that was fitted without its fold.

    Args:
        rows: What was measured.
        models: Which rows belong to one model.
        peak_bytes: Peaks of memory.
        folds: Number of the fold of each row, as ``fitting.folds_of`` deals them out.

    Returns:
        Logarithms, and whose constants they come from.
    """
    log_bytes = np.empty(len(rows))
    origins: list[Origin] = ["class"] * len(rows)
    for fold in np.unique(folds):
        kept, aside = (np.flatnonzero(which).tolist() for which in (folds != fold, folds == fold))
        law = fit_memory([rows[i] for i in kept], [models[i] for i in kept], peak_bytes[kept])
        log_bytes[aside], found = law([rows[i] for i in aside])
        for index, origin in zip(aside, found, strict=True):
            origins[index] = origin or "class"
    return log_bytes, origins


def calibrate_memory(
    law: MemoryLaw,
    rows: Sequence[Workload],
    models: Sequence[Hashable],
    peak_bytes: np.ndarray,
    new_models: np.ndarray,
    new_devices: np.ndarray,
) -> MemoryLaw:
    """Return the law with intervals that hold four times in five.

    Args:
        law: What :func:`fit_memory` returned for these rows.
        rows: What was measured.
        models: Which rows belong to one model.
        peak_bytes: Peaks of memory.
        new_models: Logarithms of bytes, cross-validated with models kept aside.
        new_devices: The same with devices kept aside: what is known then is their class.
    """
    measured = np.log(np.maximum(peak_bytes, LEAST_BYTES))
    intervals: dict[str, tuple[float, float]] = {}
    ways: tuple[tuple[Origin, np.ndarray], ...] = (
        ("measured", new_models),
        ("class", new_devices),
    )
    for origin, predicted in ways:
        named = members(memory_interval_names(row, origin) for row in rows)
        for name, index in named.items():
            those = [models[i] for i in index.tolist()]
            if len(set(those)) >= FEWEST_MODELS or name in ("class", "device"):
                intervals[name] = ends_of(measured[index] - predicted[index], those)
    return replace(law, intervals=intervals)


def fit_runtime_memory(
    terms: np.ndarray, peak_bytes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Fit what a runtime keeps beside weights and arena to measured peaks.

    Args:
        terms: One, operators, bytes of weights and of the arena, ``(networks, 4)``.
        peak_bytes: What each network took.

    Returns:
        Constants of :func:`optim.devices.memory.runtime_memory`; what is predicted for each network
        by those of the others; and the ends of the interval, as multiples.
    """
    alike = np.ones(len(terms))
    constants = nonnegative_fit(terms, peak_bytes, alike)
    others = [np.arange(len(terms)) != left_out for left_out in range(len(terms))]
    predicted = np.array(
        [
            own @ nonnegative_fit(terms[kept], peak_bytes[kept], alike[kept])
            for own, kept in zip(terms, others, strict=True)
        ]
    )
    low, high = ends_of(np.log(peak_bytes / predicted), range(len(terms)))
    return constants, predicted, (float(np.exp(low)), float(np.exp(high)))
