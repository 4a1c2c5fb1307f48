"""What is known of two models from their answers alone: quality, classes, confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optim.data.task import Classification, Detection, ModelTask, Regression
from optim.inspect.classes import ClassChange, class_changes, worst_class
from optim.inspect.confidence import Confidence, confidence
from optim.measure.predictions import Predictions
from optim.measure.quality import Quality, quality, quality_of

__all__ = ["Overview", "overview", "why_no_classes"]


@dataclass(frozen=True)
class Overview:
    """Two models on the same samples.

    Attributes:
        before: Quality of the original alone.
        after: Quality of the result, and its change.
        classes: Every class that occurs; empty where nobody knows the classes.
        confidence: How sure both are; None where outputs are no classes.
        missing: Why there are no figures of classes; empty where there are.
        n: Samples.
    """

    before: Quality
    after: Quality
    classes: tuple[ClassChange, ...]
    confidence: Confidence | None
    missing: str
    n: int

    @property
    def worst(self) -> ClassChange | None:
        """The class of the lowest accuracy; None without classes."""
        return worst_class(self.classes) if self.classes else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "metric": self.after.primary,
            "before": {name: figure.to_json() for name, figure in self.before.figures.items()},
            "after": {name: figure.to_json() for name, figure in self.after.figures.items()},
            "change": self.after.change.to_json() if self.after.change else None,
            "classes": [one.to_json() for one in self.classes],
            "worst_class": self.worst.to_json() if self.worst else None,
            "confidence": self.confidence.to_json() if self.confidence else None,
            "missing": self.missing,
            "n": self.n,
        }


def overview(before: Predictions, after: Predictions, task: ModelTask) -> Overview:
    """Compare two models by what they say about the same samples.

    Args:
        before: What the original says.
        after: What the result says.
        task: What their outputs mean.

    Raises:
        MeasurementError: If the samples differ, or outputs cannot be compared.
    """
    missing = why_no_classes(before, task)
    are_classes = isinstance(task, Classification)
    return Overview(
        before=quality_of(before, task),
        after=quality(after, before, task),
        classes=() if missing else class_changes(before, after, task.class_names),
        confidence=confidence(before, after) if are_classes else None,
        missing=missing,
        n=len(after),
    )


def why_no_classes(predictions: Predictions, task: ModelTask) -> str:
    """Say why nothing is known of single classes; empty where something is."""
    if isinstance(task, Detection):
        return (
            "Accuracy of a class is of samples that are of one class each; these hold several "
            "objects."
        )
    if isinstance(task, Regression):
        return "The model predicts quantities, not classes."
    if not isinstance(task, Classification):
        return "Nobody says what the outputs mean: they are compared as numbers."
    if not predictions.is_labelled:
        return "The samples have no labels: nobody knows which class is right."
    return ""
