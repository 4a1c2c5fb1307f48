"""The samples that get another class now, those that were surest of the old one first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from optim.data.task import Classification, ModelTask
from optim.errors import MeasurementError
from optim.inspect.confidence import probabilities
from optim.measure.intervals import wilson
from optim.measure.predictions import Predictions
from optim.quantity import Quantity

__all__ = ["Flip", "FlipKind", "Flips", "flips"]

FlipKind = Literal["lost", "won", "other", "changed"]
"""Right before and wrong now; wrong before and right now; wrong in another way; without labels."""


@dataclass(frozen=True)
class Flip:
    """One sample that gets another class.

    Attributes:
        index: Position among the samples that were looked at.
        id: Of the sample in its data.
        kind: See :data:`FlipKind`.
        target: Its class; None where nobody says it.
        before: Class in the original.
        after: Class in the result.
        confidence_before: Probability of that class in the original, in 0..1.
        confidence_after: Probability of the new class in the result, in 0..1.
    """

    index: int
    id: int
    kind: FlipKind
    target: int | None
    before: int
    after: int
    confidence_before: float
    confidence_after: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Flips:
    """All samples that get another class.

    Attributes:
        found: Those that lost most of the probability of their old class first.
        share: How many of all samples they are.
        counts: How many of each kind; kinds that cannot be told are left out.
    """

    found: tuple[Flip, ...]
    share: Quantity
    counts: Mapping[FlipKind, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "share": self.share.to_json(),
            "counts": dict(self.counts),
            "found": [flip.to_json() for flip in self.found],
        }


def flips(before: Predictions, after: Predictions, task: ModelTask) -> Flips:
    """Return the samples that get another class from the result than from the original.

    Args:
        before: What the original says; outputs of classes, with or without labels.
        after: What the result says about the same samples.
        task: What their outputs mean.

    Raises:
        MeasurementError: If the samples differ, or outputs are no classes.
    """
    after.check_same_samples(before)
    if not isinstance(task, Classification):
        raise MeasurementError("Samples can only get another class where outputs are classes.")
    was, now = probabilities(before.outputs), probabilities(after.outputs)
    rows = np.flatnonzero(before.classes != after.classes)
    old = before.classes[rows]
    order = np.argsort(-(was[rows, old] - now[rows, old]), kind="stable")
    found = tuple(_flip(int(row), before, after, was, now) for row in rows[order])
    kinds: tuple[FlipKind, ...] = ("lost", "won", "other") if before.is_labelled else ("changed",)
    counts = {kind: sum(flip.kind == kind for flip in found) for kind in kinds}
    n = len(before)
    share = Quantity(len(found) / n, "fraction", *wilson(len(found), n), n, after.how)
    return Flips(found, share, counts)


def _flip(
    row: int, before: Predictions, after: Predictions, was: np.ndarray, now: np.ndarray
) -> Flip:
    old, new = int(before.classes[row]), int(after.classes[row])
    target = int(before.targets[row]) if before.is_labelled else None
    kind: FlipKind = "changed"
    if target is not None:
        kind = "lost" if old == target else "won" if new == target else "other"
    sure = float(was[row, old]), float(now[row, new])
    return Flip(row, int(before.ids[row]), kind, target, old, new, *sure)
