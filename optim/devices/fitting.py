"""How the constants of the law of latency are found: from rows that were published.

Everything is fitted to relative errors and robustly, because rows of one setting differ by builds
and by dates. What few models tell is drawn towards what many tell:

* a device's roofline towards that of its class, whose shape it takes and whose speed it does not;
* of the families of runtimes where a few dozen models were measured on hundreds of devices, all
  rows of one model count as one: a thousand rows of eleven models know eleven models.

Cross-validation keeps models aside, and the errors of rows whose models were kept aside are what
intervals are made of.

References:
    Lawson and Hanson, Solving Least Squares Problems, 1974 (non-negative least squares).
    Hoerl and Kennard, Ridge Regression, Technometrics 1970, doi:10.1080/00401706.1970.10488634.
    Vovk et al., Algorithmic Learning in a Random World, 2005 (conformal intervals).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from optim.devices.law import (
    N_LINEAR,
    SMALLEST,
    Evaluated,
    Imputation,
    Law,
    Origin,
    Trees,
    class_key,
    design,
    features,
    group_key,
    interval_names,
    sizes,
    terms,
)
from optim.devices.profile import catalogue
from optim.devices.roofline import hardware_ms
from optim.devices.workload import (
    BYTES,
    UNKNOWN,
    Numbers,
    Workload,
    family_of,
    numbers_of,
    precision_of,
)

__all__ = [
    "FEWEST_MODELS",
    "calibrate",
    "cross_validate",
    "ends_of",
    "fit",
    "folds_of",
    "imputation_of",
    "members",
    "nonnegative_fit",
    "shares_of",
]

_PULL = 0.3
"""How much the class counts for in the roofline of one device, in rows."""

_TRUST = 0.1
"""What a row counts for whose MACs are not known."""

_POINTS = 40
"""Rows of the class by which its shape is handed on."""

_OF_MANY = [0, 2, 3]
"""Terms for families of many models: of two to four models, a rate of MACs is all that is told."""

_ROUNDS = 5
_TREES = 600
_ENOUGH_MODELS = 300
"""Fewer models than this and trees learn their names rather than their kinds."""

_DEVIATION = 0.3
"""How far a class may differ from its family, relative to how far families differ from 0."""

FEWEST_MODELS = 5
"""Models whose errors an interval is made of, at least: fewer tell no ends of four in five."""

_LEVEL = 0.8
_DRAWN = 500

_PARTS = {"nodes": 31, "depth": 6}


def fit(rows: Sequence[Workload], models: Sequence[Hashable], measured_ms: np.ndarray) -> Law:
    """Fit the law to measured rows.

    Args:
        rows: What was measured.
        models: Which rows belong to one model; only told apart, never read.
        measured_ms: Latencies in milliseconds, of a whole batch.

    Returns:
        The law, without intervals.
    """
    log_ms = np.log(measured_ms)
    raw = numbers_of(rows)
    imputation = imputation_of(raw, models)
    numbers, gaps = imputation(raw)
    parts = terms(numbers)
    few = np.array([family_of(row.runtime) == UNKNOWN for row in rows])
    for term in _OF_MANY:
        parts[few, term] = 0
    trust = np.where(gaps[:, 0] > 0, _TRUST, 1.0)
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
    law = Law(imputation, groups, classes, {}, {}, {}, _ranges(rows, raw))
    constants = np.array([law.roofline_of(row)[0] for row in rows])
    base = np.log(np.maximum((parts * constants).sum(axis=1), SMALLEST))
    columns = design(numbers, gaps)
    shared: dict[str, np.ndarray] = {}
    by_class: dict[str, np.ndarray] = {}
    trees: dict[str, Trees] = {}
    for family, index in members([family_of(row.runtime)] for row in rows).items():
        if family == UNKNOWN:
            continue
        of_class = [class_key(rows[i]) for i in index]
        n_models = len({models[i] for i in index})
        weight = 1.0 if n_models >= _ENOUGH_MODELS else n_models / len(index)
        common, own = _ridge(
            columns[index], of_class, (log_ms - base)[index], weight * trust[index]
        )
        shared[family] = common
        by_class |= own
        if n_models >= _ENOUGH_MODELS:
            known = columns[index] @ common + np.array(
                [columns[i, :N_LINEAR] @ own[name] for i, name in zip(index, of_class, strict=True)]
            )
            seen = features(numbers, gaps, constants, base)[index]
            seen[:, _LOG_MS] += known
            trees[family] = _boost(seen, log_ms[index] - base[index] - known)
    return Law(imputation, groups, classes, shared, by_class, trees, law.ranges)


def cross_validate(
    rows: Sequence[Workload],
    models: Sequence[Hashable],
    measured_ms: np.ndarray,
    folds: np.ndarray,
) -> Evaluated:
    """Return what is predicted for each row by a law that was fitted without its fold.

    Args:
        rows: What was measured.
        models: See :func:`fit`.
        measured_ms: Latencies in milliseconds.
        folds: Number of the fold of each row, as :func:`folds_of` deals them out.
    """
    log_ms = np.empty(len(rows))
    outside, imputed = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    origins: list[Origin] = ["class"] * len(rows)
    families = [UNKNOWN] * len(rows)
    for fold in np.unique(folds):
        kept, aside = (np.flatnonzero(which).tolist() for which in (folds != fold, folds == fold))
        law = fit([rows[i] for i in kept], [models[i] for i in kept], measured_ms[kept])
        found = law([rows[i] for i in aside])
        log_ms[aside], outside[aside] = found.log_ms, found.extrapolated
        imputed[aside] = found.imputed
        for place, index in enumerate(aside):
            origins[index], families[index] = found.origins[place], found.families[place]
    return Evaluated(log_ms, origins, families, outside, imputed)


def calibrate(
    law: Law,
    rows: Sequence[Workload],
    models: Sequence[Hashable],
    measured_ms: np.ndarray,
    new_models: Evaluated,
    new_settings: Evaluated,
) -> Law:
    """Return the law with intervals that hold four times in five.

    Args:
        law: What :func:`fit` returned for these rows.
        rows: What was measured.
        models: Which rows belong to one model: each counts as one, however many its rows.
        measured_ms: Latencies in milliseconds.
        new_models: Cross-validated with models kept aside.
        new_settings: Cross-validated with settings kept aside, by :func:`group_key`: what is
            known of a device then comes from its other settings, or from its class.
    """
    errors = np.log(measured_ms) - new_models.log_ms
    named = [
        interval_names(row, "measured", family, imputed)
        for row, family, imputed in zip(rows, new_models.families, new_models.imputed, strict=True)
    ]
    names = np.array(models)
    intervals = {
        name: ends_of(errors[index], names[index].tolist())
        for name, index in members(named).items()
        if len(np.unique(names[index])) >= FEWEST_MODELS
    }
    unknown = np.log(measured_ms) - new_settings.log_ms
    of_class = np.array(new_settings.origins) == "class"
    index = np.flatnonzero(of_class)
    named = [
        interval_names(rows[i], "class", new_settings.families[i], False) for i in index.tolist()
    ]
    intervals |= {
        name: ends_of(unknown[place], names[place].tolist())
        for name, place in ((name, index[place]) for name, place in members(named).items())
        if len(np.unique(names[place])) >= FEWEST_MODELS
    }
    for name, made in (("given", errors), ("imputed", errors), ("class", unknown)):
        intervals.setdefault(name, ends_of(made, models))
    related = np.array(new_settings.origins) == "related"
    facts = {
        "extrapolated": _ratio(errors, new_models.extrapolated, names),
        "related": _ratio(unknown, related, names, usual=errors),
        **_hardware(rows, measured_ms),
    }
    return replace(law, intervals=intervals, facts=facts)


def shares_of(models: Sequence[Hashable]) -> np.ndarray:
    """Return what each row counts for if every model counts as one."""
    counts = Counter(models)
    return np.array([1 / counts[model] for model in models])


def ends_of(errors: np.ndarray, models: Sequence[Hashable]) -> tuple[float, float]:
    """Return the 10 % and 90 % points of errors, every model counting as one.

    Rows of one model err alike: a hundred rows of ten models are ten draws, and the ends lie a
    little further out where those are few (split conformal prediction).
    """
    n_models = len(set(models))
    level = min(1.0, _LEVEL * (n_models + 1) / n_models)
    order = np.argsort(errors)
    share = shares_of(models)[order] / n_models
    place = np.cumsum(share) - share / 2
    low, high = np.interp([(1 - level) / 2, (1 + level) / 2], place, errors[order])
    return float(low), float(high)


def _ratio(
    errors: np.ndarray, which: np.ndarray, names: np.ndarray, usual: np.ndarray | None = None
) -> float:
    """Return how much wider some errors spread than usual; 1 where they do not, or are few."""
    if len(np.unique(names[which])) < FEWEST_MODELS:
        return 1.0
    spreads = [
        ends_of(np.abs(made), models.tolist())[1]
        for made, models in (
            (errors[which], names[which]),
            (errors if usual is None else usual, names),
        )
    ]
    return max(1.0, spreads[0] / spreads[1])


def _hardware(rows: Sequence[Workload], measured_ms: np.ndarray) -> dict[str, float]:
    """Return how far latencies lie above what data sheets promise, each device alike.

    Nothing where no device of the catalogue was measured.
    """
    profiles = {one.measured_as: one for one in catalogue().values() if one.measured_as}
    over: dict[str, list[float]] = {}
    for row, ms in zip(rows, measured_ms, strict=True):
        promised = (
            hardware_ms(profiles[row.device], precision_of(row.precision), row)
            if row.device in profiles
            else None
        )
        if promised is not None:
            over.setdefault(row.device, []).append(float(np.log(ms / promised)))
    if not over:
        return {}
    generator = np.random.default_rng(0)
    drawn = [generator.choice(values, _DRAWN) for values in over.values()]
    low, middle, high = np.quantile(np.concatenate(drawn), [0.1, 0.5, 0.9])
    return {"hardware": middle, "hardware_low": low - middle, "hardware_high": high - middle}


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


def _class_names(row: Workload) -> tuple[str, ...]:
    width = f"{BYTES[precision_of(row.precision)]:g}"
    return class_key(row), f"{row.device_class}|{width}", row.device_class, ""


def imputation_of(raw: Numbers, models: Sequence[Hashable]) -> Imputation:
    """Return what stands in for missing numbers, fitted to each model once."""
    first = np.unique([hash(model) for model in models], return_index=True)[1]
    medians = np.nan_to_num(
        np.array([np.nanmedian(raw.log_params[first]), np.nanmedian(raw.log_pixels[first])])
    )
    params, pixels = (
        np.where(np.isnan(values), median, values)[first]
        for values, median in zip((raw.log_params, raw.log_pixels), medians, strict=True)
    )
    known = Imputation.design(params, pixels, raw.task[first])
    macs, activations = raw.log_macs[first], raw.log_activations[first]
    both = ~np.isnan(macs) & ~np.isnan(activations)
    return Imputation(
        medians,
        _solve(known[~np.isnan(macs)], macs[~np.isnan(macs)]),
        _solve(np.column_stack([known, macs])[both], activations[both]),
    )


def _solve(columns: np.ndarray, target: np.ndarray) -> np.ndarray:
    square = columns.T @ columns + 1e-2 * np.eye(columns.shape[1])
    return np.asarray(np.linalg.solve(square, columns.T @ target))


def nonnegative_fit(parts: np.ndarray, target_ms: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return non-negative constants of ``(rows, terms)`` by least absolute relative errors."""
    from scipy.optimize import nnls

    relative = parts / target_ms[:, None]
    scale = np.sqrt((relative**2).mean(axis=0)) + 1e-30
    relative = relative / scale
    factor = weight
    found = np.zeros(parts.shape[1])
    for _ in range(_ROUNDS):
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
    for _ in range(_ROUNDS - 1):
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


def _ridge(
    columns: np.ndarray, of_class: Sequence[str], target: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return common coefficients and deviations by class, robust against single rows."""
    classes = members([name] for name in of_class)
    blocks = [columns]
    for index in classes.values():
        block = np.zeros((len(columns), N_LINEAR))
        block[index] = _DEVIATION * columns[index, :N_LINEAR]
        blocks.append(block)
    whole = np.concatenate(blocks, axis=1)
    factor = weight
    found = np.zeros(whole.shape[1])
    for _ in range(_ROUNDS - 1):
        weighted = whole * factor[:, None]
        square = weighted.T @ whole + np.eye(whole.shape[1])
        found = np.linalg.solve(square, weighted.T @ target)
        factor = weight / np.maximum(np.abs(target - whole @ found) / 0.1, 1)
    own = _DEVIATION * found[columns.shape[1] :].reshape(len(classes), N_LINEAR)
    return found[: columns.shape[1]], dict(zip(classes, own, strict=True))


_LOG_MS = 11
"""Column of :func:`features` that holds the latency per sample by roofline and ridge."""


def _boost(seen: np.ndarray, target: np.ndarray) -> Trees:
    from sklearn.ensemble import HistGradientBoostingRegressor

    booster = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=_TREES,
        learning_rate=0.06,
        max_leaf_nodes=(_PARTS["nodes"] + 1) // 2,
        max_depth=_PARTS["depth"],
        min_samples_leaf=10,
        l2_regularization=1.0,
        max_features=0.5,
        early_stopping=False,
        random_state=0,
    ).fit(seen, target)
    grown = [one[0].nodes for one in booster._predictors]
    shape = (len(grown), _PARTS["nodes"])
    itself = np.tile(np.arange(shape[1]), (shape[0], 1))
    feature, threshold, value = np.zeros(shape, int), np.zeros(shape), np.zeros(shape)
    left, right = itself.copy(), itself.copy()
    for tree, nodes in enumerate(grown):
        leaf = nodes["is_leaf"].astype(bool)
        here = slice(len(nodes))
        feature[tree, here] = np.where(leaf, 0, nodes["feature_idx"])
        threshold[tree, here] = np.where(leaf, 0, nodes["num_threshold"])
        left[tree, here] = np.where(leaf, itself[tree, here], nodes["left"])
        right[tree, here] = np.where(leaf, itself[tree, here], nodes["right"])
        value[tree, here] = np.where(leaf, nodes["value"], 0)
    start = float(np.ravel(booster._baseline_prediction)[0])
    return Trees(feature, threshold, left, right, value, start, _PARTS["depth"])


def _ranges(rows: Sequence[Workload], raw: Numbers) -> dict[str, np.ndarray]:
    measured = sizes(raw)
    blank = np.isnan(measured)
    lowest, highest = np.where(blank, np.inf, measured), np.where(blank, -np.inf, measured)
    found = {}
    for name, index in members([class_key(row)] for row in rows).items():
        ends = np.array([lowest[index].min(axis=0), highest[index].max(axis=0)])
        unread = blank[index].all(axis=0)
        if f"|{UNKNOWN}|" in name:  # their law reads MACs alone
            unread[1:] = True
        ends[:, unread] = np.array([[-np.inf], [np.inf]])
        found[name] = ends
    return found
