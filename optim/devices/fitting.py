"""How the constants of the law of latency are found: from rows that were published.

Everything is fitted to relative errors and robustly, because rows of one setting differ by builds
and by dates. What few models tell is drawn towards what many tell:

* a device's roofline towards that of its class, whose shape it takes and whose speed it does not;
* of the families of runtimes where a few dozen models were measured on hundreds of devices, all
  rows of one model count as one: a thousand rows of eleven models know eleven models. What is left
  of their rooflines is drawn towards what models do in families where hundreds were measured.

Cross-validation keeps models aside, and the errors of rows whose models were kept aside are what
intervals are made of.

References:
    Vovk et al., Algorithmic Learning in a Random World, 2005 (conformal intervals).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from optim.devices.fit_roofline import fit_rooflines
from optim.devices.fit_shared import ENOUGH_MODELS, Measured, fit_shared
from optim.devices.folds import members, shares_of
from optim.devices.law import (
    SMALLEST,
    Evaluated,
    Imputation,
    Law,
    Origin,
    Trees,
    class_key,
    design,
    features,
    interval_names,
    sizes,
    terms,
)
from optim.devices.profile import catalogue
from optim.devices.roofline import hardware_ms
from optim.devices.workload import (
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
    "imputation_of",
]

_TREES = 600
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
    groups, classes = fit_rooflines(rows, numbers, gaps, log_ms)
    law = Law(imputation, groups, classes, {}, {}, {}, _ranges(rows, raw))
    constants = np.array([law.roofline_of(row)[0] for row in rows])
    base = np.log(np.maximum((terms(numbers) * constants).sum(axis=1), SMALLEST))
    measured = Measured(rows, models, numbers, gaps, log_ms)
    shared = fit_shared(measured, base, imputation)
    columns = design(numbers, gaps)
    trees: dict[str, Trees] = {}
    for family, index in members([family_of(row.runtime)] for row in rows).items():
        if len({models[i] for i in index}) >= ENOUGH_MODELS and family in shared:
            known = shared[family].of(columns[index], [rows[i] for i in index])
            seen = features(numbers, gaps, constants, base)[index]
            seen[:, _LOG_MS] += known
            trees[family] = _boost(seen, log_ms[index] - base[index] - known)
    return replace(
        law,
        shared={family: one.common for family, one in shared.items()},
        by_class={name: own for one in shared.values() for name, own in one.by_class.items()},
        trees=trees,
    )


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
