"""What a model says about samples, and everything that follows from it.

Accuracy, its interval, the paired difference to another model, agreement, confusion and the worst
class all derive from one value: the outputs by sample id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from optim.data.task import NO_LABEL
from optim.errors import DataError, MeasurementError
from optim.measure.intervals import paired_difference, wilson
from optim.quantity import Comparison, How, Quantity

__all__ = ["Predictions", "accuracy_change", "batches", "check_finite"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Outputs of one model on samples, with or without labels.

    Attributes:
        ids: ``(N,)`` sample ids.
        outputs: ``(N, classes)`` float32 logits, or ``(N, numbers)`` of another task.
        targets: ``(N,)`` class indices; all -1 where nobody says what the samples are; or
            quantities, floats ``(N,)`` or ``(N, quantities)``; or objects, ``(N, objects, 5)``
            integers as :class:`~optim.data.task.Detection` has them. What needs no classes, such
            as agreement, can be asked of all; accuracy and confusion cannot.
        how: ``MEASURED`` for the model as it is or in its runtime, ``SIMULATED`` for fake
            quantization.
    """

    ids: np.ndarray
    outputs: np.ndarray
    targets: np.ndarray
    how: How = How.MEASURED

    def __post_init__(self) -> None:
        width = self.outputs.shape[1]
        if self.has_quantities:
            if self.targets.size != self.outputs.size:
                raise DataError(
                    f"The data have {self.targets.size // max(1, len(self.targets))} quantities a "
                    f"sample, the model {width} outputs.",
                    hint="Choose data with the quantities the model was trained on.",
                )
            return
        if self.has_boxes:
            return
        if self.is_labelled and self.targets.min() < 0:
            raise DataError(
                "Some samples have labels and others have none.", hint="Leave the others out."
            )
        if self.is_labelled and not 0 <= self.targets.min() <= self.targets.max() < width:
            raise DataError(
                f"The data has class {int(self.targets.max())}, the model only {width} outputs.",
                hint="Choose data with the classes the model was trained on.",
            )

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return predictions on several disjoint sets of samples as one."""
        return cls(
            np.concatenate([p.ids for p in parts]),
            np.concatenate([p.outputs for p in parts]),
            np.concatenate([p.targets for p in parts]),
            parts[0].how,
        )

    @property
    def classes(self) -> np.ndarray:
        """``(N,)``; the class with the largest output.

        Raises:
            MeasurementError: If an output is not finite: then no class is the largest.
        """
        check_finite(self.outputs)
        return self.outputs.argmax(axis=1)

    @property
    def is_labelled(self) -> bool:
        """Whether somebody says of which class the samples are."""
        if self.has_quantities or self.has_boxes or not len(self.targets):
            return False
        return not bool((self.targets == NO_LABEL).all())

    @property
    def has_quantities(self) -> bool:
        """Whether targets are quantities, not classes."""
        return self.targets.dtype.kind == "f"

    @property
    def has_boxes(self) -> bool:
        """Whether targets are objects with a box each."""
        return self.targets.ndim == 3

    @property
    def correct(self) -> np.ndarray:
        """``(N,)`` bool.

        Raises:
            MeasurementError: If the samples have no labels, or an output is not finite.
        """
        self._check_labelled()
        return self.classes == self.targets

    def accuracy(self) -> Quantity:
        """Return the share of samples classified correctly."""
        return _share(self.correct, self.how)

    def class_accuracy(self) -> dict[int, Quantity]:
        """Return the accuracy of each class that occurs.

        Raises:
            MeasurementError: If the samples have no labels.
        """
        return {
            int(label): _share(self.correct[self.targets == label], self.how)
            for label in np.unique(self.targets)
        }

    def confusion(self) -> np.ndarray:
        """Return ``(classes, classes)`` counts: rows are true classes, columns predicted ones.

        Raises:
            MeasurementError: If the samples have no labels.
        """
        self._check_labelled()
        classes = self.outputs.shape[1]
        flat = np.bincount(self.targets * classes + self.classes, minlength=classes**2)
        return flat.reshape(classes, classes)

    def against(self, baseline: Predictions) -> Comparison:
        """Compare accuracy with a baseline's on the same samples, in percentage points.

        Raises:
            MeasurementError: If the samples differ.
        """
        self.check_same_samples(baseline)
        return accuracy_change(baseline.correct, self.correct, self.how)

    def agreement(self, other: Predictions) -> Quantity:
        """Return the share of samples on which both models choose the same class.

        Raises:
            MeasurementError: If the samples differ.
        """
        self.check_same_samples(other)
        return _share(self.classes == other.classes, self.how)

    def largest_difference(self, other: Predictions) -> float:
        """Return the largest absolute difference between the outputs of both models."""
        self.check_same_samples(other)
        return float(np.abs(self.outputs - other.outputs).max())

    def check_same_samples(self, other: Predictions) -> None:
        """Refuse a comparison with what another model says about other samples.

        Raises:
            MeasurementError: If the samples differ.
        """
        if not np.array_equal(self.ids, other.ids):
            raise MeasurementError("Two models can only be compared on the same samples.")

    def _check_labelled(self) -> None:
        if len(self.targets) and not self.is_labelled:
            raise MeasurementError(
                "The samples have no labels, so accuracy cannot be measured.",
                hint="Compare with the original model on them instead: agreement needs no labels.",
            )


def check_finite(outputs: np.ndarray, who: str = "The model") -> None:
    """Refuse outputs that are no answers.

    Args:
        outputs: ``(N, ...)``.
        who: Gave them, as the subject of a sentence.

    Raises:
        MeasurementError: If one is not finite.
    """
    if not np.isfinite(outputs).all():
        raise MeasurementError(
            f"{who} gives outputs that are not finite.",
            hint="Check the normalisation of its inputs.",
        )


def accuracy_change(before: np.ndarray, after: np.ndarray, how: How = How.MEASURED) -> Comparison:
    """Compare two models by which of the same samples each classified correctly.

    Args:
        before: ``(N,)`` bool, the baseline.
        after: ``(N,)`` bool, the candidate, sample by sample.
        how: How the candidate's were obtained.

    Returns:
        The difference in percentage points with its paired interval.
    """
    lost, won, n = int(np.sum(before & ~after)), int(np.sum(after & ~before)), len(after)
    low, high = paired_difference(lost, won, n)
    value = (won - lost) / n
    points = Quantity(100 * value, "points", 100 * low, 100 * high, n, how)
    return Comparison(points, better="higher")


def _share(hits: np.ndarray, how: How) -> Quantity:
    n, successes = len(hits), int(hits.sum())
    if not n:
        raise MeasurementError("Accuracy needs at least one sample.")
    low, high = wilson(successes, n)
    return Quantity(successes / n, "fraction", low, high, n, how)


def batches(n: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` that cover ``n`` samples in order."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
