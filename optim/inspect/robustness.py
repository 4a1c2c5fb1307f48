"""Two models under corruption, on the same worse samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from optim.data.dataset import Samples
from optim.data.preview import picture
from optim.errors import ConfigError, UnsupportedModelError
from optim.inspect.classes import ClassChange, worst_class
from optim.inspect.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    Extent,
    corrupted,
    extent_of,
    refusal,
)
from optim.inspect.kept import SAMPLES
from optim.inspect.overview import overview, why_no_classes
from optim.inspect.pair import Pair
from optim.measure.evaluate import Runner, how_of, runner_of, samples_at_once
from optim.measure.intervals import mean_interval
from optim.measure.predictions import Predictions, batches
from optim.measure.quality import quality, quality_of
from optim.models.bundle import ModelBundle
from optim.quantity import Comparison, How, Quantity

__all__ = ["Average", "Cell", "Robustness", "under_corruption"]

_BATCH = 64
"""Samples that are computed at once, at most: what they become stays in the processor's cache."""
_NUMBERS = 2**24
"""Numbers that are corrupted at once."""
_CLEAN = ""


@dataclass(frozen=True)
class Cell:
    """Both models at one severity.

    Attributes:
        corruption: Its name; empty for the samples as they are.
        severity: 1 to 5; 0 for the samples as they are.
        before: The figure that decides, of the original; None where it compares with it.
        after: Of the result; None where there is no difference to relate to.
        change: The result against the original, paired; None where the figure compares by itself.
        worst: The class of the lowest accuracy in the result; None without classes.
    """

    corruption: str
    severity: int
    before: Quantity | None
    after: Quantity | None
    change: Comparison | None
    worst: ClassChange | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"corruption": self.corruption, "severity": self.severity, **_sides(self)}


@dataclass(frozen=True)
class Average:
    """Both models over the five severities of one corruption, or over all of them.

    Attributes:
        corruption: Its name; empty for all together.
        before: Accuracy of the original.
        after: Accuracy of the result.
        change: In points, paired by sample.
        worst: The class of the lowest accuracy over the severities.
    """

    corruption: str
    before: Quantity
    after: Quantity
    change: Comparison
    worst: ClassChange

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"corruption": self.corruption, **_sides(self)}


def _sides(one: Cell | Average) -> dict[str, Any]:
    return {
        name: None if value is None else value.to_json()
        for name, value in (
            ("before", one.before),
            ("after", one.after),
            ("change", one.change),
            ("worst", one.worst),
        )
    }


@dataclass(frozen=True)
class Robustness:
    """What corruption does to both models.

    Attributes:
        metric: Name of the figure that decides, a key of ``optim.measure.quality.METRICS``.
        clean: Both on the samples as they are.
        cells: Every corruption at every severity that was looked at so far.
        averages: Over severities, one a corruption, then over all; empty without classes.
        left_out: ``{corruption: why it cannot be applied}``.
        pictures: ``{corruption: one sample at severity 0, 1, ...}`` as ``data:`` addresses; empty
            where samples are no pictures.
        missing: Why there are no figures of classes; empty where there are.
        total: Corruptions that were asked for and can be applied.
        n: Samples.
        part: Which samples.
        seconds: Time it took so far.
    """

    metric: str
    clean: Cell
    cells: tuple[Cell, ...]
    averages: tuple[Average, ...]
    left_out: Mapping[str, str]
    pictures: Mapping[str, tuple[str, ...]]
    missing: str
    total: int
    n: int
    part: str
    seconds: float

    @property
    def is_complete(self) -> bool:
        """Whether all corruptions were looked at."""
        return len(self.cells) == self.total * len(SEVERITIES)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **vars(self),
            "clean": self.clean.to_json(),
            "cells": [cell.to_json() for cell in self.cells],
            "averages": [average.to_json() for average in self.averages],
            "left_out": dict(self.left_out),
            "pictures": {name: list(shown) for name, shown in self.pictures.items()},
        }


def under_corruption(
    pair: Pair,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    *,
    samples: int = SAMPLES["corruption"],
    workers: int = 1,
    told: Callable[[float, str], None] = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Robustness]:
    """Yield both models under one corruption after the other, first on clean samples.

    Args:
        pair: Both models and their data; samples that may select are looked at.
        corruptions: Names, keys of :data:`~optim.inspect.corruptions.CORRUPTIONS`.
        samples: How many samples, at most.
        workers: Batches that are computed at the same time.
        told: Called with a share in 0..1 and what is being done.
        check: Called between batches; raises to stop.

    Raises:
        ConfigError: If there is no such corruption, or the inputs were made for the model.
        UnsupportedModelError: If the models take whole numbers, to which noise means nothing.
    """
    began = time.monotonic()
    _check(pair)
    looked_at = pair.samples(samples)
    reasons = {name: refusal(name, looked_at.inputs) for name in dict.fromkeys(corruptions)}
    able = [name for name, why in reasons.items() if not why]
    models = [(runner_of(bundle), bundle) for bundle in (pair.original, pair.result)]
    rounds = 1 + len(able) * len(SEVERITIES)
    seed, extent = pair.subject.seed, extent_of(looked_at.inputs)
    done = 0

    def said(name: str, severity: int) -> tuple[Predictions, Predictions]:
        nonlocal done
        what = f"{CORRUPTIONS[name].title.lower()}, severity {severity}" if name else "clean"
        told(done / rounds, f"{what}, {len(looked_at):,} samples")
        done += 1
        worse = _worse(looked_at, name, severity, seed, extent)
        before, after = (_answers(*model, worse, workers, check) for model in models)
        return before, after

    task = pair.result.task
    clean = said(_CLEAN, 0)
    found = Robustness(
        metric=quality_of(clean[1], task).primary,
        clean=_cell(_CLEAN, 0, *clean, pair),
        cells=(),
        averages=(),
        left_out={name: why for name, why in reasons.items() if why},
        pictures={},
        missing=why_no_classes(clean[0], task),
        total=len(able),
        n=len(looked_at),
        part=pair.subject.part,
        seconds=time.monotonic() - began,
    )
    yield found
    rights: dict[str, list[np.ndarray]] = {}
    for name in able:
        cells = []
        for severity in SEVERITIES:
            before, after = said(name, severity)
            cells.append(_cell(name, severity, before, after, pair))
            if not found.missing:
                rights.setdefault(name, []).append(np.stack([before.correct, after.correct]))
        found = replace(
            found,
            cells=(*found.cells, *cells),
            averages=_averages(rights, looked_at, pair),
            pictures={**found.pictures, **_pictures(looked_at, name, seed, extent)},
            seconds=time.monotonic() - began,
        )
        yield found


def _answers(
    run: Runner, bundle: ModelBundle, samples: Samples, workers: int, check: Callable[[], None]
) -> Predictions:
    """Return what a model says, several batches at a time."""

    def answer(rows: slice) -> np.ndarray:
        check()
        return run(bundle.spec.normalise(samples.inputs[rows]))

    size = min(_BATCH, samples_at_once(bundle))
    with ThreadPoolExecutor(workers) as pool:
        outputs = list(pool.map(answer, batches(len(samples), size)))
    return Predictions(samples.ids, np.concatenate(outputs), samples.targets, how_of(bundle))


def _check(pair: Pair) -> None:
    if pair.subject.data.is_generated:
        raise ConfigError(
            "The inputs were made for the model: there is nothing that could get worse.",
            hint="Choose data that were collected.",
            field="data",
        )
    for bundle in (pair.original, pair.result):
        if bundle.interface is not None and bundle.interface.takes_whole_numbers:
            raise UnsupportedModelError(
                f"{bundle.name} takes whole numbers, such as words by their place in a list: noise "
                "on them means nothing."
            )


def _worse(samples: Samples, name: str, severity: int, seed: int, extent: Extent) -> Samples:
    """Return the samples corrupted, piece by piece.

    The extent is that of all samples: a piece that is dark would get less noise by its own.
    """
    if not name:
        return samples
    size = max(1, _NUMBERS // prod(samples.inputs.shape[1:]))
    pieces = [
        corrupted(np.asarray(samples.inputs[rows]), name, severity, (seed, rows.start), extent)
        for rows in batches(len(samples), size)
    ]
    return replace(samples, inputs=np.concatenate(pieces))


def _cell(name: str, severity: int, before: Predictions, after: Predictions, pair: Pair) -> Cell:
    task = pair.result.task
    if why_no_classes(before, task):
        judged = quality(after, before, task)
        worst = None
    else:
        found = overview(before, after, task)
        judged, worst = found.after, found.worst
    return Cell(name, severity, quality_of(before, task).main, judged.main, judged.change, worst)


def _averages(
    rights: Mapping[str, list[np.ndarray]], samples: Samples, pair: Pair
) -> tuple[Average, ...]:
    """Return the mean over severities, one a corruption, then over all; nothing without classes.

    A sample's own mean over severities is one observation: its severities are not independent.
    """
    if not rights:
        return ()
    names, how = pair.result.task.class_names, how_of(pair.result)
    means = {name: np.stack(found).mean(axis=0) for name, found in rights.items()}
    together = np.stack(list(means.values())).mean(axis=0)
    return tuple(
        _average(name, shares, samples.targets, names, how)
        for name, shares in [*means.items(), ("", together)]
    )


def _average(
    corruption: str, shares: np.ndarray, targets: np.ndarray, names: Sequence[str], how: How
) -> Average:
    """Return the average of ``(2, N)`` shares of severities at which a sample was right."""
    classes = [
        ClassChange(int(label), names[label], *_compared(shares[:, targets == label], how))
        for label in np.unique(targets)
    ]
    return Average(corruption, *_compared(shares, how), worst_class(classes))


def _compared(shares: np.ndarray, how: How) -> tuple[Quantity, Quantity, Comparison]:
    before, after = shares
    change = _mean(100 * (after - before), "points", (-100.0, 100.0), how)
    return (
        _mean(before, "fraction", (0.0, 1.0), How.MEASURED),
        _mean(after, "fraction", (0.0, 1.0), how),
        Comparison(change, "higher"),
    )


def _mean(values: np.ndarray, unit: str, ends: tuple[float, float], how: How) -> Quantity:
    """Return a mean with the interval it has with one sample more at each end.

    A few samples that are all alike do not prove that all would be; as Bonett and Price do for the
    difference of two shares.
    """
    value = float(values.mean())
    _, low, high = mean_interval(np.append(values, ends))
    low, high = max(ends[0], min(value, low)), min(ends[1], max(value, high))
    return Quantity(value, unit, low, high, len(values), how)


def _pictures(samples: Samples, name: str, seed: int, extent: Extent) -> dict[str, tuple[str, ...]]:
    """Return the first sample as it is and at every severity."""
    first = samples.take(np.arange(1))
    if first.inputs.ndim != 4:
        return {}
    ends = extent.low, extent.high
    worse = [first, *(_worse(first, name, severity, seed, extent) for severity in SEVERITIES)]
    shown = [picture(one.inputs[0], ends=ends) for one in worse]
    found = tuple(one["image"] for one in shown if "image" in one)
    return {name: found} if found else {}
