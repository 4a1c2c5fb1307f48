"""What models have in common: a ridge regression of what rooflines leave over, by runtimes.

Of some families of runtimes hundreds of models were measured, of others eleven on dozens of
devices. The latter are drawn towards the former: a model that is slow for its size in one family
is so in most. How far, and how strongly all coefficients are held at what they are drawn towards,
is chosen for each family by cross-validation over its own models, within the rows that are given:
models that a caller keeps aside have no part in it.

References:
    Hoerl and Kennard, Ridge Regression, Technometrics 1970, doi:10.1080/00401706.1970.10488634.
    Evgeniou and Pontil, Regularized Multi-Task Learning, KDD 2004, doi:10.1145/1014052.1014067.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from optim.devices.fit_roofline import ROUNDS, fit_rooflines, trust_of
from optim.devices.folds import folds_of, members
from optim.devices.law import N_LINEAR, Imputation, Law, class_key, design
from optim.devices.workload import UNKNOWN, Numbers, Workload, family_of

__all__ = ["ENOUGH_MODELS", "Measured", "Regression", "fit_shared"]

ENOUGH_MODELS = 300
"""With so many models a family stands by itself; of fewer, trees would learn names, not kinds."""

_DEVIATION = 0.3
"""How far a class may differ from its family, relative to how far families differ from 0."""

_CHOICES = tuple((share, penalty) for share in (0.0, 0.5, 1.0) for penalty in (1.0, 4.0, 16.0))
"""Shares of the coefficients of large families that are taken over, and penalties."""

_INNER = 5
"""Folds of models by which one of them is chosen; families of fewer models take the first."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Rows, and what is read of them.

    Attributes:
        rows: What was measured.
        models: Which rows belong to one model.
        numbers: Of the rows, without gaps.
        gaps: Which numbers were imputed: ``(rows, 2)``.
        log_ms: Logarithms of the latencies.
    """

    rows: Sequence[Workload]
    models: Sequence[Hashable]
    numbers: Numbers
    gaps: np.ndarray
    log_ms: np.ndarray

    def take(self, index: np.ndarray) -> Measured:
        """Return some of the rows."""
        return Measured(
            [self.rows[i] for i in index],
            [self.models[i] for i in index],
            Numbers(**{f.name: getattr(self.numbers, f.name)[index] for f in fields(Numbers)}),
            self.gaps[index],
            self.log_ms[index],
        )


@dataclass(frozen=True, eq=False)
class Regression:
    """Coefficients of one family.

    Attributes:
        common: For all rows of the family.
        by_class: What classes of devices add, by ``class_key``.
    """

    common: np.ndarray
    by_class: Mapping[str, np.ndarray]

    def of(self, columns: np.ndarray, rows: Sequence[Workload]) -> np.ndarray:
        """Return what is added to the logarithms of rooflines."""
        none = np.zeros(N_LINEAR)
        own = np.array([self.by_class.get(class_key(row), none) for row in rows])
        return np.asarray(columns @ self.common + (columns[:, :N_LINEAR] * own).sum(axis=1))


def fit_shared(
    measured: Measured, base: np.ndarray, imputation: Imputation
) -> dict[str, Regression]:
    """Fit the regression of every family.

    Args:
        measured: All rows.
        base: Logarithms of their rooflines.
        imputation: For missing numbers.
    """
    families = members([family_of(row.runtime)] for row in measured.rows)
    families.pop(UNKNOWN, None)
    n_models = {name: len({measured.models[i] for i in index}) for name, index in families.items()}
    found = {
        name: _ridge(measured.take(index), base[index], 1.0)
        for name, index in families.items()
        if n_models[name] >= ENOUGH_MODELS
    }
    usual = _usual(found, design(measured.numbers, measured.gaps).shape[1])
    for name, index in families.items():
        if name not in found:
            own = measured.take(index)
            share, penalty = _chosen(own, n_models[name], usual, imputation)
            weight = n_models[name] / len(index) / penalty
            found[name] = _ridge(own, base[index], weight, share * usual)
    return found


def _usual(found: Mapping[str, Regression], width: int) -> np.ndarray:
    """Return the mean coefficients of large families; a constant belongs to each alone."""
    if not found:
        return np.zeros(width)
    mean: np.ndarray = np.mean([one.common for one in found.values()], axis=0)
    mean[0] = 0.0
    return mean


def _chosen(
    measured: Measured, n_models: int, usual: np.ndarray, imputation: Imputation
) -> tuple[float, float]:
    """Return the choice whose regressions err least on models of the family that are kept aside.

    What counts is the mean absolute error of logarithms, of rows whose MACs are known.
    """
    choices = [choice for choice in _CHOICES if usual.any() or not choice[0]]
    if n_models < _INNER:
        return choices[0]
    errors = np.zeros(len(choices))
    folds = folds_of(measured.models, [""] * len(measured.models), _INNER)
    for fold in range(_INNER):
        kept, aside = (measured.take(np.flatnonzero(w)) for w in (folds != fold, folds == fold))
        groups, classes = fit_rooflines(kept.rows, kept.numbers, kept.gaps, kept.log_ms)
        plain = Law(imputation, groups, classes, {}, {}, {}, {})
        of_kept, of_aside = (plain(part.rows).log_ms for part in (kept, aside))
        columns = design(aside.numbers, aside.gaps)
        counted = aside.gaps[:, 0] == 0
        weight = len(set(kept.models)) / len(kept.rows)
        for place, (share, penalty) in enumerate(choices):
            made = _ridge(kept, of_kept, weight / penalty, share * usual)
            off = of_aside + made.of(columns, aside.rows) - aside.log_ms
            errors[place] += np.abs(off[counted]).sum()
    return choices[int(errors.argmin())]


def _ridge(
    measured: Measured, base: np.ndarray, weight: float, towards: np.ndarray | float = 0.0
) -> Regression:
    """Return common coefficients and deviations by class, robust against single rows."""
    columns = design(measured.numbers, measured.gaps)
    towards = np.broadcast_to(towards, columns.shape[1])
    target = measured.log_ms - base - columns @ towards
    classes = members([class_key(row)] for row in measured.rows)
    blocks = [columns]
    for index in classes.values():
        block = np.zeros((len(columns), N_LINEAR))
        block[index] = _DEVIATION * columns[index, :N_LINEAR]
        blocks.append(block)
    whole = np.concatenate(blocks, axis=1)
    counts = weight * trust_of(measured.gaps)
    factor = counts
    found = np.zeros(whole.shape[1])
    for _ in range(ROUNDS - 1):
        weighted = whole * factor[:, None]
        square = weighted.T @ whole + np.eye(whole.shape[1])
        found = np.linalg.solve(square, weighted.T @ target)
        factor = counts / np.maximum(np.abs(target - whole @ found) / 0.1, 1)
    own = _DEVIATION * found[columns.shape[1] :].reshape(len(classes), N_LINEAR)
    return Regression(found[: columns.shape[1]] + towards, dict(zip(classes, own, strict=True)))
