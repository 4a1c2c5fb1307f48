"""Errors of predicted latencies, peak memories and energies on models that were kept aside.

Needs a folder with latency_fit.csv.gz and models.csv, named by OPTIM_DEVICE_LATENCY or found at
../shared/data/device_latency. ``--fit`` also writes the constants that ship.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, record
from scipy.optimize import nnls

from optim.devices.energy import energy_of
from optim.devices.fitting import calibrate, cross_validate, fit
from optim.devices.folds import folds_of, members
from optim.devices.law import Evaluated, Law, group_key, terms
from optim.devices.memory import MEMORY_CONSTANTS, levels_of, memory_interval_names
from optim.devices.memory_fitting import (
    LEAST_BYTES,
    calibrate_memory,
    cross_validate_memory,
    fit_memory,
)
from optim.devices.predict import CONSTANTS, interval, predict
from optim.devices.profile import catalogue
from optim.devices.tables import workload_from
from optim.devices.workload import (
    BYTES,
    Numbers,
    Workload,
    family_of,
    numbers_of,
    precision_of,
)

FOLDER = Path(os.environ.get("OPTIM_DEVICE_LATENCY", ROOT.parent / "shared/data/device_latency"))
FOLDS = 11  # as many as models were measured in the smallest family of runtimes: one each
ENOUGH = 100  # rows from which a class is judged
SMALL = 50e6  # MACs


def read() -> tuple[list[Workload], list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, names of their models, milliseconds, and joules and bytes that are known."""
    with (FOLDER / "models.csv").open(encoding="utf-8", newline="") as file:
        models = {row["model_id"]: row for row in csv.DictReader(file)}
    with gzip.open(FOLDER / "latency_fit.csv.gz", "rt", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    joined = ("params", "macs", "activations", "task")
    rows = [workload_from({**r, **{k: models[r["model_id"]][k] for k in joined}}) for r in table]
    names = [re.sub(r"[^a-z0-9]", "", row["model"].lower()) for row in table]
    joules = np.array([1e-6 * float(row["energy_uj"] or "nan") for row in table])
    peaks = np.array([float(row["peak_memory_bytes"] or "nan") for row in table])
    return rows, names, np.array([float(row["latency_ms"]) for row in table]), joules, peaks


def family(name: str) -> str:
    """Return the family a model's name belongs to: its leading letters."""
    return re.match(r"[a-z]*", name).group() or name


def baseline(
    kind: str, rows: list[Workload], measured: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """Predict log milliseconds by one simple model for every device, runtime and precision.

    Where fewer than five rows were kept, that of the class of devices stands in.
    """
    numbers = filled(numbers_of(rows))
    moved = np.exp(numbers.log_activations) * numbers.batch + np.exp(numbers.log_params)
    if kind == "log-linear":
        columns = np.column_stack(
            [np.ones(len(rows)), numbers.log_macs + np.log(numbers.batch), np.log(4 * moved)]
        )
    else:
        columns = terms(numbers)
    predicted = np.full(len(rows), np.nan)
    names: list[Callable[[Workload], str]] = [
        lambda row: "",
        lambda row: row.device_class,
        lambda row: "|".join((row.device, row.runtime, row.precision)),
    ]
    for level, name in enumerate(names):
        for index in members([name(row)] for row in rows).values():
            for fold in np.unique(folds[index]):
                kept, aside = index[folds[index] != fold], index[folds[index] == fold]
                if len(kept) >= 5 or (level == 0 and len(kept)):
                    predicted[aside] = solve(kind, columns[kept], measured[kept], columns[aside])
    return predicted


def solve(kind: str, columns: np.ndarray, measured: np.ndarray, asked: np.ndarray) -> np.ndarray:
    if kind == "log-linear":
        return asked @ np.linalg.lstsq(columns, np.log(measured), rcond=None)[0]
    relative = columns / measured[:, None]
    scale = np.sqrt((relative**2).mean(axis=0)) + 1e-30
    found, _ = nnls(relative / scale, np.ones(len(measured)))
    return np.log(np.maximum(asked @ (found / scale), 1e-6))


def filled(numbers: Numbers) -> Numbers:
    """Return numbers whose gaps are medians: the baselines know nothing better."""
    parts = {
        name: np.where(np.isnan(values), np.nanmedian(values), values)
        for name in ("log_macs", "log_params", "log_activations", "log_pixels")
        for values in [getattr(numbers, name)]
    }
    return replace(numbers, **parts)


def error(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Return the median absolute percentage error."""
    return float(100 * np.median(np.abs(np.exp(predicted) / measured - 1)))


def covered(
    law: Law,
    rows: list[Workload],
    names: list[str],
    measured: np.ndarray,
    found: list[Evaluated],
    folds: np.ndarray,
) -> np.ndarray:
    """Return which rows lie in intervals that were made of the errors of other models."""
    inside = np.zeros(len(rows), dtype=bool)
    for fold in np.unique(folds):
        learn, judge = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        made = calibrate(
            law,
            [rows[i] for i in learn],
            [names[i] for i in learn],
            measured[learn],
            *(one.take(learn) for one in found),
        )
        there = found[0].take(judge)
        low, high = interval(made, [rows[i] for i in judge], there)
        off = np.log(measured[judge]) - there.log_ms
        inside[judge] = (low <= off) & (off <= high)
    return inside


def summary(
    which: Iterable[int],
    ways: dict[str, np.ndarray],
    measured: np.ndarray,
    inside: np.ndarray,
) -> dict[str, float]:
    index = np.array(list(which), dtype=int)
    errors = {f"{name}_percent": error(p[index], measured[index]) for name, p in ways.items()}
    return {"rows": len(index), **errors, "coverage": float(inside[index].mean())}


def energy(rows: list[Workload], joules: np.ndarray) -> dict[str, float]:
    """Hold estimated energies against published ones, on devices whose process is known."""
    profiles = {one.measured_as: one for one in catalogue().values() if one.process_nm}
    known = [i for i in np.flatnonzero(np.isfinite(joules)) if rows[i].device in profiles]
    totals = [
        energy_of(profiles[rows[i].device], precision_of(rows[i].precision), rows[i]).total
        for i in known
    ]
    estimated = np.array([total.value for total in totals])
    inside = [
        total.low <= joule <= total.high for total, joule in zip(totals, joules[known], strict=True)
    ]
    return {
        "rows": len(known),
        "rows_on_devices_of_unknown_process": int(np.isfinite(joules).sum()) - len(known),
        "error_percent": error(np.log(estimated), joules[known]),
        "coverage": float(np.mean(inside)),
    }


def memory(rows: list[Workload], names: list[str], peaks: np.ndarray) -> dict[str, Any]:
    """Hold predicted peaks of memory against published ones; ``--fit`` writes the constants."""
    known = np.flatnonzero(np.isfinite(peaks)).tolist()
    rows, names, peaks = [rows[i] for i in known], [names[i] for i in known], peaks[known]
    strata = [family_of(row.runtime) for row in rows]
    by_model = folds_of(names, strata, FOLDS)
    by_device = folds_of([row.device for row in rows], strata, FOLDS)
    new_models, _ = cross_validate_memory(rows, names, peaks, by_model)
    new_devices, _ = cross_validate_memory(rows, names, peaks, by_device)
    whole = fit_memory(rows, names, peaks)
    if "--fit" in sys.argv:
        made = calibrate_memory(whole, rows, names, peaks, new_models, new_devices)
        made.save(MEMORY_CONSTANTS)
    halves = folds_of(names, strata, 2)
    inside = np.zeros(len(rows), dtype=bool)
    measured = np.maximum(peaks, LEAST_BYTES)
    for half in (0, 1):
        learn = np.flatnonzero(halves != half)
        made = calibrate_memory(
            whole,
            [rows[i] for i in learn],
            [names[i] for i in learn],
            peaks[learn],
            new_models[learn],
            new_devices[learn],
        )
        for i in np.flatnonzero(halves == half).tolist():
            name = next(
                n for n in memory_interval_names(rows[i], "measured") if n in made.intervals
            )
            low, high = made.intervals[name]
            inside[i] = low <= np.log(measured[i]) - new_models[i] <= high
    settings = members([levels_of(row)[-1]] for row in rows)
    medians = np.empty(len(rows))
    for index in settings.values():
        for fold in np.unique(by_model[index]):
            aside = by_model[index] == fold
            kept = measured[index[~aside]] if not aside.all() else measured[by_model != fold]
            medians[index[aside]] = np.log(np.median(kept))
    numbers = filled(numbers_of(rows))
    width = np.array([BYTES[precision_of(row.precision)] for row in rows])
    held = width * (np.exp(numbers.log_params) + np.exp(numbers.log_activations) * numbers.batch)
    ways = {
        "ours": new_models,
        "median_of_setting": medians,
        "weights_and_activations": np.log(held),
        "ours_new_devices": new_devices,
    }
    classes = members([row.device_class] for row in rows)
    return {
        "models": len(set(names)),
        "all": summary(range(len(rows)), ways, measured, inside),
        "by_class": {
            name: summary(index, ways, measured, inside) for name, index in sorted(classes.items())
        },
        "constants_bytes": MEMORY_CONSTANTS.stat().st_size,
    }


def speed(rows: list[Workload], law: Law) -> dict[str, float]:
    many = (rows * 10)[:10_000]
    times = {}
    for name, asked, repeat in (("one_row_ms", many[:1], 50), ("rows_10000_s", many, 1)):
        start = time.perf_counter()
        for _ in range(repeat):
            predict(asked, law)
        times[name] = (time.perf_counter() - start) / repeat
    times["one_row_ms"] *= 1e3
    return times


def main() -> None:
    if not FOLDER.is_dir():
        print("skipped: OPTIM_DEVICE_LATENCY names no folder of published latencies")
        return
    rows, names, measured, joules, peaks = read()
    strata = [family_of(row.runtime) for row in rows]
    whole = fit(rows, names, measured)
    by_model = folds_of(names, strata, FOLDS)
    by_setting = folds_of([group_key(row) for row in rows], strata, FOLDS)
    found = [cross_validate(rows, names, measured, by) for by in (by_model, by_setting)]
    law = calibrate(whole, rows, names, measured, *found)
    if "--fit" in sys.argv:
        law.save(CONSTANTS)
    by_family = folds_of([family(name) for name in names], strata, FOLDS)
    ways = {
        "ours": found[0].log_ms,
        "log_linear": baseline("log-linear", rows, measured, by_model),
        "roofline": baseline("roofline", rows, measured, by_model),
        "ours_new_families": cross_validate(rows, names, measured, by_family).log_ms,
    }
    inside = covered(whole, rows, names, measured, found, by_model)
    known = [i for i, row in enumerate(rows) if row.macs is not None]
    classes = members([rows[i].device_class] for i in known)
    by_class = {
        name: summary(np.array(known)[place], ways, measured, inside)
        for name, place in sorted(classes.items())
    }
    judged = [one for one in by_class.values() if one["rows"] >= ENOUGH]
    parts = {
        "all rows with MACs": known,
        "batch 1": [i for i in known if rows[i].batch == 1],
        "large batches": [i for i in known if rows[i].batch > 1],
        "below 50 M MACs": [i for i in known if rows[i].macs < SMALL],
        "rows without MACs": sorted(set(range(len(rows))) - set(known)),
    }
    record(
        "devices",
        {
            "models": len(set(names)),
            "folds": FOLDS,
            **{name: summary(index, ways, measured, inside) for name, index in parts.items()},
            "macro_median_percent": {
                name: float(np.median([one[f"{name}_percent"] for one in judged])) for name in ways
            },
            "by_class": by_class,
            "energy": energy(rows, joules),
            "memory": memory(rows, names, peaks),
            "facts": dict(law.facts),
            "constants_bytes": CONSTANTS.stat().st_size,
            "speed": speed(rows, law),
        },
    )


if __name__ == "__main__":
    main()
