"""The law of latency: a roofline for every device and runtime, and what models have in common.

For a model of M multiply-accumulates, A activations and P parameters at batch B::

    t = c0 + c1 B M + c2 B A + c3 P                      (a roofline in sums, all c >= 0)
    log t = log(roofline) + shared(M, A, P, task) + trees(...)

The four constants belong to a device, runtime, precision and number of threads. Where few models
were measured they are drawn towards those of the class of devices, whose shape they then share.
``shared`` is a ridge regression of what the roofline leaves over, one for each family of runtimes;
``trees`` are boosted and exist where hundreds of models were measured. All constants are fitted by
:mod:`optim.devices.fitting`; this module evaluates them with numpy alone.

References:
    Williams et al., Roofline: An Insightful Visual Performance Model, CACM 2009,
    doi:10.1145/1498765.1498785.
    Friedman, Greedy Function Approximation: A Gradient Boosting Machine, Annals of Statistics 2001,
    doi:10.1214/aos/1013203451.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from optim.devices.workload import (
    BYTES,
    TASKS,
    Numbers,
    Workload,
    family_of,
    numbers_of,
    precision_of,
)
from optim.storage import write_atomic

__all__ = [
    "N_LINEAR",
    "SMALLEST",
    "Evaluated",
    "Imputation",
    "Law",
    "Origin",
    "Trees",
    "class_key",
    "design",
    "features",
    "group_key",
    "interval_names",
    "sizes",
    "terms",
]

Origin = Literal["measured", "related", "class"]
"""Whose constants were used: of this very setting, of another one of this device, of its class."""

SMALLEST = 1e-7
"""Milliseconds and constants are at least this before a logarithm is taken."""

_CHUNK = 2000


def group_key(row: Workload) -> str:
    """Return what a device's constants go by."""
    threads = int(row.threads) if row.threads else 0
    return "|".join(
        (_plain(row.device), _plain(row.runtime), precision_of(row.precision), str(threads))
    )


def class_key(row: Workload) -> str:
    """Return what the constants of a class go by."""
    width = BYTES[precision_of(row.precision)]
    return f"{row.device_class}|{family_of(row.runtime)}|{width:g}"


def terms(numbers: Numbers) -> np.ndarray:
    """Return the terms of the roofline, scaled to the size of mobile models.

    Shape: ``(rows, 4)``.
    """
    batch = numbers.batch
    return np.stack(
        [
            np.ones_like(batch),
            batch * np.exp(numbers.log_macs) / 1e8,
            batch * np.exp(numbers.log_activations) / 1e6,
            np.exp(numbers.log_params) / 1e6,
        ],
        axis=1,
    )


@dataclass(frozen=True)
class Imputation:
    """What stands in for MACs and activations that nobody published.

    Attributes:
        medians: Logarithms of parameters and pixels where they too are missing.
        macs: Coefficients of a constant, log params, log pixels and tasks.
        activations: The same, and log MACs.
    """

    medians: np.ndarray
    macs: np.ndarray
    activations: np.ndarray

    def __call__(self, numbers: Numbers) -> tuple[Numbers, np.ndarray]:
        """Return numbers without gaps, and which were imputed: ``(rows, 2)``, MACs, activations."""
        params, pixels = (
            np.where(np.isnan(values), median, values)
            for values, median in zip(
                (numbers.log_params, numbers.log_pixels), self.medians, strict=True
            )
        )
        known = self.design(params, pixels, numbers.task)
        gaps = np.isnan(np.stack([numbers.log_macs, numbers.log_activations], axis=1))
        macs = np.where(gaps[:, 0], known @ self.macs, numbers.log_macs)
        guess = np.column_stack([known, macs]) @ self.activations
        activations = np.where(gaps[:, 1], guess, numbers.log_activations)
        whole = Numbers(macs, params, activations, pixels, numbers.batch, numbers.task)
        return whole, gaps.astype(float)

    @staticmethod
    def design(params: np.ndarray, pixels: np.ndarray, task: np.ndarray) -> np.ndarray:
        """Return the columns that both regressions share."""
        kinds = [(task == index).astype(float) for index in range(len(TASKS))]
        return np.column_stack([np.ones_like(params), params, pixels, *kinds])


@dataclass(frozen=True)
class Trees:
    """Boosted trees of one depth-first layout, all walked at once.

    Attributes:
        feature: Column that a node looks at, ``(trees, nodes)``.
        threshold: Values up to it go left.
        left: Index of the left child; a leaf is its own.
        right: Index of the right child; a leaf is its own.
        value: What a leaf adds; 0 elsewhere.
        start: What the sum starts with.
        depth: Steps from root to the deepest leaf.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    start: float
    depth: int

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the sum of all trees for ``(rows, columns)``."""
        parts = [
            self._walk(features[start : start + _CHUNK])
            for start in range(0, len(features), _CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _walk(self, features: np.ndarray) -> np.ndarray:
        tree = np.arange(len(self.feature))
        node = np.zeros((len(features), len(self.feature)), dtype=np.intp)
        row = np.arange(len(features))[:, None]
        for _ in range(self.depth):
            goes_left = features[row, self.feature[tree, node]] <= self.threshold[tree, node]
            node = np.where(goes_left, self.left[tree, node], self.right[tree, node])
        return self.start + self.value[tree, node].sum(axis=1)


@dataclass(frozen=True)
class Evaluated:
    """What a law says of rows.

    Attributes:
        log_ms: Logarithm of the latency in milliseconds.
        origins: Whose constants were used.
        families: Of the runtimes whose constants were used.
        extrapolated: Whether MACs, parameters, activations or batch, as far as they are given, lie
            outside of what was measured on that class of devices.
        imputed: Whether MACs were not given.
        runtimes: Those whose constants were used; empty where nobody asks.
    """

    log_ms: np.ndarray
    origins: list[Origin]
    families: list[str]
    extrapolated: np.ndarray
    imputed: np.ndarray
    runtimes: list[str] = field(default_factory=list)

    def take(self, index: np.ndarray) -> Self:
        """Return what is said of some of the rows."""
        return type(self)(
            self.log_ms[index],
            [self.origins[i] for i in index.tolist()],
            [self.families[i] for i in index.tolist()],
            self.extrapolated[index],
            self.imputed[index],
            [self.runtimes[i] for i in index.tolist()] if self.runtimes else [],
        )


@dataclass(frozen=True)
class Law:
    """All constants.

    Attributes:
        imputation: For missing numbers.
        groups: Roofline of a device, runtime, precision and number of threads.
        classes: Roofline of classes; ``""`` is that of everything.
        shared: Coefficients by family of runtimes.
        by_class: Deviations of them by :func:`class_key`.
        trees: By family.
        ranges: Lowest and highest of :func:`sizes` by :func:`class_key`.
        intervals: Logarithms of the 10 % and 90 % points of measured over predicted, by
            :func:`interval_names`.
        facts: Other fitted numbers, by name.
    """

    imputation: Imputation
    groups: Mapping[str, np.ndarray]
    classes: Mapping[str, np.ndarray]
    shared: Mapping[str, np.ndarray]
    by_class: Mapping[str, np.ndarray]
    trees: Mapping[str, Trees]
    ranges: Mapping[str, np.ndarray]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, rows: Sequence[Workload]) -> Evaluated:
        """Evaluate the law for rows."""
        given = numbers_of(rows)
        numbers, gaps = self.imputation(given)
        found = [self.roofline_of(row) for row in rows]
        rows = [
            replace(row, runtime=runtime) for row, (_, _, runtime) in zip(rows, found, strict=True)
        ]
        constants = np.array([one for one, _, _ in found]).reshape(len(rows), 4)
        base = np.log(np.maximum((terms(numbers) * constants).sum(axis=1), SMALLEST))
        families = np.array([family_of(row.runtime) for row in rows])
        log_ms = base + self._shared(rows, families, numbers, gaps)
        for family, trees in self.trees.items():
            here = families == family
            if here.any():
                seen = features(numbers, gaps, constants, log_ms)[here]
                log_ms[here] = log_ms[here] + trees(seen)
        asked = sizes(given)  # what is not known lies nowhere
        outside = np.zeros(len(rows), dtype=bool)
        for index, row in enumerate(rows):
            if (ends := self.ranges.get(class_key(row))) is not None:
                beyond = (asked[index] < ends[0] - 0.01) | (asked[index] > ends[1] + 0.01)
                outside[index] = beyond.any()
        origins = [origin for _, origin, _ in found]
        runtimes = [row.runtime for row in rows]
        return Evaluated(log_ms, origins, families.tolist(), outside, gaps[:, 0] > 0, runtimes)

    def roofline_of(self, row: Workload) -> tuple[np.ndarray, Origin, str]:
        """Return the roofline's constants for a row, whose they are, and of which runtime."""
        key = group_key(row)
        if key in self.groups:
            return self.groups[key], "measured", row.runtime
        width = BYTES[precision_of(row.precision)]
        alike = {
            name: (runtime == row.runtime, kind == precision_of(row.precision), threads)
            for name, (runtime, kind, threads) in self._relatives.get(
                _plain(row.device), {}
            ).items()
            if BYTES[kind] == width
            and (not row.runtime or family_of(runtime) == family_of(row.runtime))
        }
        if alike:
            best = max(alike, key=lambda name: _likeness(alike[name], row))
            same = alike[best][:2] == (True, True) and row.threads is None
            runtime = self._relatives[_plain(row.device)][best][0]
            return self.groups[best], "measured" if same else "related", runtime
        whole = class_key(row)
        first = row.device_class
        for name in (whole, f"{first}|{whole.split('|')[2]}", first):
            if name in self.classes:
                return self.classes[name], "class", row.runtime
        return self.classes[""], "class", row.runtime

    @cached_property
    def _relatives(self) -> dict[str, dict[str, tuple[str, str, int]]]:
        found: dict[str, dict[str, tuple[str, str, int]]] = {}
        for key in self.groups:
            device, runtime, precision, threads = key.split("|")
            found.setdefault(device, {})[key] = (runtime, precision, int(threads))
        return found

    def _shared(
        self, rows: Sequence[Workload], families: np.ndarray, numbers: Numbers, gaps: np.ndarray
    ) -> np.ndarray:
        columns = design(numbers, gaps)
        added = np.zeros(len(rows))
        for index, row in enumerate(rows):
            if (common := self.shared.get(families[index])) is None:
                continue
            added[index] = columns[index] @ common
            own = self.by_class.get(class_key(row))
            if own is not None:
                added[index] += columns[index, : len(own)] @ own
        return added

    def save(self, path: Path) -> None:
        """Write all constants into one file."""
        arrays: dict[str, np.ndarray] = {
            "medians": self.imputation.medians,
            "macs": self.imputation.macs,
            "activations": self.imputation.activations,
        }
        names: dict[str, Any] = {"facts": dict(self.facts), "intervals": dict(self.intervals)}
        for part in _TABLES:
            table = getattr(self, part)
            names[part] = list(table)
            arrays[part] = np.array(list(table.values()))
        names["trees"] = {}
        for family, trees in self.trees.items():
            names["trees"][family] = {"start": trees.start, "depth": trees.depth}
            for part, kind in _NODES.items():
                arrays[f"{family}.{part}"] = getattr(trees, part).astype(kind)
        arrays["names"] = np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)
        write_atomic(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        names = json.loads(arrays["names"].tobytes())
        tables = {part: dict(zip(names[part], arrays[part], strict=True)) for part in _TABLES}
        trees = {
            family: Trees(**{part: arrays[f"{family}.{part}"] for part in _NODES}, **rest)
            for family, rest in names["trees"].items()
        }
        return cls(
            imputation=Imputation(arrays["medians"], arrays["macs"], arrays["activations"]),
            trees=trees,
            intervals={key: (low, high) for key, (low, high) in names["intervals"].items()},
            facts=names["facts"],
            **tables,
        )


_TABLES = ("groups", "classes", "shared", "by_class", "ranges")
_NODES = {
    "feature": np.uint8,
    "threshold": np.float64,
    "left": np.uint8,
    "right": np.uint8,
    "value": np.float32,
}


def interval_names(row: Workload, origin: Origin, family: str, imputed: bool) -> tuple[str, ...]:
    """Return the kinds of rows whose errors a row may share, the most similar first."""
    known = "imputed" if imputed else "given"
    if origin == "class":
        return f"class|{family}", "class"
    large = "batch" if row.batch > 1 else "one"
    return f"{row.device_class}|{family}|{known}|{large}", f"{family}|{known}", known


def sizes(numbers: Numbers) -> np.ndarray:
    """Return what a model must not exceed to be like those that were measured.

    Logarithms of MACs, parameters, activations and batch: ``(rows, 4)``.
    """
    return np.stack(
        [
            numbers.log_macs,
            numbers.log_params,
            numbers.log_activations,
            np.log(numbers.batch),
        ],
        axis=1,
    )


def design(numbers: Numbers, gaps: np.ndarray) -> np.ndarray:
    """Return the columns of the ridge regressions, of size about one; linear ones come first."""
    macs = (numbers.log_macs - 20) / 2
    activations = (numbers.log_activations - 15.5) / 1.5
    params = (numbers.log_params - 16) / 1.5
    kinds = [0.15 * (numbers.task == index) for index in range(len(TASKS))]
    linear = [np.ones_like(macs), macs, activations, params, gaps[:, 0], gaps[:, 1]]
    square = [macs**2, activations**2, params**2]
    product = [macs * activations, macs * params, activations * params]
    bent = [0.15 * column for column in (*square, *product)]
    return np.column_stack([*linear, *bent, *kinds, 0.15 * (numbers.log_pixels - 10.8)])


N_LINEAR = 6
"""Columns of :func:`design` that are linear."""


def features(
    numbers: Numbers, gaps: np.ndarray, constants: np.ndarray, log_ms: np.ndarray
) -> np.ndarray:
    """Return what trees look at: sizes, their ratios, and the device's constants."""
    parts = terms(numbers) * constants
    share = parts / np.maximum(parts.sum(axis=1, keepdims=True), SMALLEST)
    macs, activations, params, pixels = (
        numbers.log_macs,
        numbers.log_activations,
        numbers.log_params,
        numbers.log_pixels,
    )
    batch = np.log(numbers.batch)
    ratios = (macs - activations, macs - params, activations - pixels, macs - pixels)
    rest = (activations - params, batch, numbers.task, log_ms - batch)
    return np.column_stack(
        [
            macs,
            activations,
            params,
            pixels,
            *ratios,
            *rest,
            gaps,
            share,
            np.log(np.maximum(constants, SMALLEST)),
        ]
    )


def _plain(name: str) -> str:
    return name.replace("|", "/")


def _likeness(other: tuple[bool, bool, int], row: Workload) -> tuple[bool, bool, float]:
    """Return what the most similar setting has most of; without threads, as many as possible."""
    runtime, precision, threads = other
    return runtime, precision, threads if row.threads is None else -abs(threads - row.threads)
