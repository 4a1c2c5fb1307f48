"""How the constants of rooflines are found: of classes of devices, and of settings drawn to them.

References:
    Lawson and Hanson, Solving Least Squares Problems, 1974 (non-negative least squares).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optim.devices.folds import members
from optim.devices.law import SMALLEST, class_key, group_key, terms
from optim.devices.workload import BYTES, UNKNOWN, Numbers, Workload, family_of, precision_of

__all__ = ["ROUNDS", "fit_rooflines", "nonnegative_fit", "trust_of"]

ROUNDS = 5
"""How often rows are weighed anew by how far off they are."""

_PULL = 0.3
"""How much the class counts for in the roofline of one device, in rows."""

_TRUST = 0.1
"""What a row counts for whose MACs are not known."""

_POINTS = 40
"""Rows of the class by which its shape is handed on."""

_OF_MANY = [0, 2, 3]
"""Terms for families of many models: of two to four models, a rate of MACs is all that is told."""


def fit_rooflines(
    rows: Sequence[Workload], numbers: Numbers, gaps: np.ndarray, log_ms: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the constants by setting, and by class of devices.

    Args:
        rows: What was measured.
        numbers: Of them, without gaps.
        gaps: Which numbers were imputed: ``(rows, 2)``.
        log_ms: Logarithms of the latencies.
    """
    parts = terms(numbers)
    few = np.array([family_of(row.runtime) == UNKNOWN for row in rows])
    for term in _OF_MANY:
        parts[few, term] = 0
    trust = trust_of(gaps)
    keys = [group_key(row) for row in rows]
    classes = {
        name: _roofline_of_class(
            parts[index], log_ms[index], [keys[i] for i in index], trust[index]
        )
        for name, index in members(_class_names(row) for row in rows).items()
    }
    groups: dict[str, np.ndarray] = {}
    for name, index in members([class_key(row)] for row in rows).items():
        chosen = np.random.default_rng(0).choice(index, min(len(index), _POINTS), replace=False)
        shape = parts[chosen]
        for key, position in members([keys[i]] for i in index).items():
            own = index[position]
            groups[key] = _roofline_of_group(
                parts[own], log_ms[own], trust[own], shape, classes[name]
            )
    return groups, classes


def trust_of(gaps: np.ndarray) -> np.ndarray:
    """Return what each row counts for: less where its MACs are not known."""
    return np.where(gaps[:, 0] > 0, _TRUST, 1.0)


def nonnegative_fit(parts: np.ndarray, target_ms: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return non-negative constants of ``(rows, terms)`` by least absolute relative errors."""
    from scipy.optimize import nnls

    relative = parts / target_ms[:, None]
    scale = np.sqrt((relative**2).mean(axis=0)) + 1e-30
    relative = relative / scale
    factor = weight
    found = np.zeros(parts.shape[1])
    for _ in range(ROUNDS):
        found, _ = nnls(relative * factor[:, None], factor)
        error = np.abs(relative @ found - 1)
        factor = weight / np.sqrt(np.maximum(error, 0.03))
    return found / scale


def _roofline_of_class(
    parts: np.ndarray, log_ms: np.ndarray, keys: Sequence[str], trust: np.ndarray
) -> np.ndarray:
    """Return the constants that devices of different speed share, at their middle speed."""
    groups = members([key] for key in keys)
    speed = np.empty(len(keys))
    for index in groups.values():
        speed[index] = np.median(log_ms[index])
    speed -= np.median(speed)
    found = np.zeros(parts.shape[1])
    for _ in range(ROUNDS - 1):
        found = nonnegative_fit(parts, np.exp(log_ms - speed), trust)
        rest = log_ms - np.log(np.maximum(parts @ found, SMALLEST))
        for index in groups.values():
            speed[index] = np.median(rest[index])
    return found


def _roofline_of_group(
    parts: np.ndarray,
    log_ms: np.ndarray,
    trust: np.ndarray,
    shape: np.ndarray,
    of_class: np.ndarray,
) -> np.ndarray:
    speed = np.exp(np.median(log_ms - np.log(np.maximum(parts @ of_class, SMALLEST))))
    drawn = np.maximum(shape @ of_class, SMALLEST) * speed
    weight = np.concatenate([trust, np.full(len(shape), np.sqrt(_PULL / len(shape)))])
    return nonnegative_fit(np.concatenate([parts, shape]), np.r_[np.exp(log_ms), drawn], weight)


def _class_names(row: Workload) -> tuple[str, ...]:
    width = f"{BYTES[precision_of(row.precision)]:g}"
    return class_key(row), f"{row.device_class}|{width}", row.device_class, ""
