"""Accuracy of every class, before and after: compression often hurts a few classes first.

A mean hides that. Of a hundred classes some will look worse by chance alone: five of a hundred
intervals at 95 % leave out no change where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.measure.predictions import Predictions, accuracy_change
from optim.quantity import Comparison, Quantity

__all__ = ["ClassChange", "class_changes", "worst_class"]


@dataclass(frozen=True)
class ClassChange:
    """One class in both models, on the same samples of it.

    Attributes:
        label: Its number.
        name: Its name.
        before: Accuracy of the original on its samples.
        after: Accuracy of the result.
        change: The result's against the original's, paired.
    """

    label: int
    name: str
    before: Quantity
    after: Quantity
    change: Comparison

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "label": self.label,
            "name": self.name,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "change": self.change.to_json(),
        }


def class_changes(
    before: Predictions, after: Predictions, names: Sequence[str]
) -> tuple[ClassChange, ...]:
    """Return every class that occurs, in the order of their numbers.

    Args:
        before: What the original says about labelled samples.
        after: What the result says about the same ones.
        names: Of the classes, by number.

    Raises:
        MeasurementError: If the samples differ or have no labels.
    """
    after.check_same_samples(before)
    was, now = before.class_accuracy(), after.class_accuracy()
    return tuple(
        ClassChange(
            label,
            names[label],
            was[label],
            now[label],
            _change(before, after, before.targets == label),
        )
        for label in sorted(now)
    )


def _change(before: Predictions, after: Predictions, rows: np.ndarray) -> Comparison:
    return accuracy_change(before.correct[rows], after.correct[rows], after.how)


def worst_class(classes: Sequence[ClassChange]) -> ClassChange:
    """Return the class of the lowest accuracy in the result; of equal ones that which lost most.

    It was picked for being the lowest, so that its own figure is a little too low.
    """
    return min(classes, key=lambda c: (c.after.value, c.change.difference.value))
