"""What alternatives came to: one cell a training, one outcome an alternative."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from optim.measure.intervals import mean_interval
from optim.quantity import Comparison, Quantity

__all__ = ["Cell", "Outcome", "compared", "times_to"]

_ENOUGH_SEEDS = 2
"""A difference on one seed has no interval, and so says nothing."""
_ENDS = {"fraction": (0.0, 1.0), "points": (-100.0, 100.0), "s": (0.0, math.inf)}
"""``{unit: least and largest mean there can be}``; of few seeds an interval would reach beyond."""


@dataclass(frozen=True)
class Cell:
    """One alternative, trained once.

    Attributes:
        title: Of the alternative.
        seed: Of initial weights and order of the samples.
        epochs: Figures of every epoch, as the step recorded them.
        train_accuracy: On the training samples, in 0..1.
        accuracy: On the validation samples, in 0..1.
        seconds: Wall time of the training.
        is_selected: Whether the validation samples have chosen its epoch: its accuracy is then a
            little too high.
    """

    title: str
    seed: int
    epochs: tuple[Mapping[str, float], ...]
    train_accuracy: float
    accuracy: float
    seconds: float
    is_selected: bool = False

    @property
    def gap(self) -> float:
        """Training accuracy minus validation accuracy, in percentage points."""
        return 100 * (self.train_accuracy - self.accuracy)

    def seconds_to(self, accuracy: float) -> float | None:
        """Return after how many seconds a validation accuracy was first reached; None if never.

        The time of measuring is left out: an epoch counts with its own ``seconds``.
        """
        spent = 0.0
        for figures in self.epochs:
            spent += figures["seconds"]
            if figures.get("accuracy", 0.0) >= accuracy:
                return spent
        return None

    def to_json(self) -> dict[str, Any]:
        """Return plain data that :meth:`from_json` reads back."""
        return {**asdict(self), "epochs": [dict(figures) for figures in self.epochs]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        """Read what :meth:`to_json` wrote."""
        return cls(**{**data, "epochs": tuple(data["epochs"])})


@dataclass(frozen=True)
class Outcome:
    """One alternative over all its seeds; intervals are over seeds.

    Attributes:
        title: Of the alternative.
        accuracy: Mean validation accuracy.
        gap: Mean generalisation gap, in percentage points.
        seconds: Mean wall time of training.
        accuracy_change: Against the first alternative, seed by seed; None for the first itself, and
            before two seeds of both were trained.
        speed: Its wall time over that of the first, seed by seed; None likewise.
        is_selected: Whether the validation samples have chosen its epochs.
    """

    title: str
    accuracy: Quantity
    gap: Quantity
    seconds: Quantity
    accuracy_change: Comparison | None
    speed: Comparison | None
    is_selected: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "title": self.title,
            "accuracy": self.accuracy.to_json(),
            "gap": self.gap.to_json(),
            "seconds": self.seconds.to_json(),
            "accuracy_change": self.accuracy_change and self.accuracy_change.to_json(),
            "speed": self.speed and self.speed.to_json(),
            "is_selected": self.is_selected,
        }


def compared(cells: Sequence[Cell]) -> list[Outcome]:
    """Return what the cells trained so far say, in the order of their first appearance."""
    by_title: dict[str, dict[int, Cell]] = {}
    for cell in cells:
        by_title.setdefault(cell.title, {})[cell.seed] = cell
    if not by_title:
        return []
    first = next(iter(by_title.values()))
    return [
        _outcome(title, own, None if own is first else first) for title, own in by_title.items()
    ]


def _outcome(title: str, own: Mapping[int, Cell], first: Mapping[int, Cell] | None) -> Outcome:
    common = sorted(own.keys() & first.keys()) if first is not None else []
    accuracy_change = speed = None
    if first is not None and len(common) >= _ENOUGH_SEEDS:
        # Rounded, so that equal differences are equal in binary arithmetic as well.
        points = [round(100 * (own[s].accuracy - first[s].accuracy), 9) for s in common]
        accuracy_change = Comparison(_mean(points, "points"), better="higher")
        logs = [float(np.log(own[s].seconds / first[s].seconds)) for s in common]
        # Ratios are averaged as logarithms: twice as fast and twice as slow cancel out.
        value, low, high = np.exp(mean_interval(np.array(logs)))
        ratio = Quantity(float(value), "x", float(low), float(high), len(common))
        speed = Comparison(ratio, better="lower")
    cells = list(own.values())
    return Outcome(
        title,
        _mean([cell.accuracy for cell in cells], "fraction"),
        _mean([cell.gap for cell in cells], "points"),
        _mean([cell.seconds for cell in cells], "s"),
        accuracy_change,
        speed,
        any(cell.is_selected for cell in cells),
    )


def _mean(values: Sequence[float], unit: str) -> Quantity:
    mean, low, high = mean_interval(np.array(values), *_ENDS[unit])
    return Quantity(mean, unit, low, high, len(values))


def times_to(cells: Sequence[Cell], accuracy: float) -> dict[str, tuple[Quantity | None, int]]:
    """Return how long each alternative trained until it reached a validation accuracy.

    Returns:
        ``{title: (mean over the seeds that reached it, number of seeds that did not)}``; None
        where no seed did.
    """
    found: dict[str, tuple[Quantity | None, int]] = {}
    for title in dict.fromkeys(cell.title for cell in cells):
        times = [cell.seconds_to(accuracy) for cell in cells if cell.title == title]
        reached = [time for time in times if time is not None]
        mean = _mean(reached, "s") if reached else None
        found[title] = (mean, len(times) - len(reached))
    return found
