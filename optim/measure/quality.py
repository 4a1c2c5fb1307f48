"""How good a model is: by labels where samples have them, by its original where they have none.

A model alone can be judged only where somebody says what is right. Beside its original, every model
can: on labelled samples by the paired change of its accuracy, and on all others by how closely it
follows the original's outputs. Which figure decides, the samples and the model's task say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optim.data.task import Classification, Detection, ModelTask, Regression
from optim.measure.detection import detection_figures, precision_change
from optim.measure.fidelity import fidelity
from optim.measure.predictions import Predictions
from optim.measure.regression import error_change, regression_figures
from optim.quantity import Comparison, Quantity

__all__ = ["METRICS", "Metric", "Quality", "fidelity_to", "primary_metric", "quality", "quality_of"]


@dataclass(frozen=True)
class Metric:
    """One figure of quality, for a reader.

    Attributes:
        title: What it is called.
        short: The same in a table or at an axis.
        about: What it says, in one sentence.
        unit: As in :class:`~optim.quantity.Quantity`.
        perfect: What the original has by definition; None where that is no finite number, or where
            it has to be measured.
    """

    title: str
    short: str
    about: str
    unit: str
    perfect: float | None = None


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        "Accuracy", "Accuracy", "Share of samples classified correctly.", "fraction"
    ),
    "map": Metric(
        "mAP",
        "mAP",
        "Mean average precision over overlaps (IoU) from 0.5 to 0.95 and all classes.",
        "fraction",
    ),
    "map50": Metric(
        "mAP@0.5",
        "mAP@0.5",
        "Mean average precision over all classes; a box counts from an overlap (IoU) of 0.5 on.",
        "fraction",
    ),
    "r2": Metric("R2", "R2", "Share of the targets' variance that is explained.", "r2"),
    "mse": Metric(
        "Mean squared error", "Squared error", "Mean over samples, in the target's unit.", "target"
    ),
    "mae": Metric(
        "Mean absolute error",
        "Absolute error",
        "Mean over samples, in the target's unit.",
        "target",
    ),
    "agreement": Metric(
        "Agreement with the original",
        "Agreement",
        "Share of samples for which the largest output is the original's.",
        "fraction",
        1.0,
    ),
    "sqnr": Metric(
        "SQNR to the original",
        "SQNR",
        "Energy of the original's outputs over that of the difference; 20 dB are a hundredth.",
        "db",
    ),
    "divergence": Metric(
        "Divergence from the original",
        "Divergence",
        "Kullback-Leibler divergence of the original's probabilities from these, per sample.",
        "nats",
        0.0,
    ),
    "cosine": Metric(
        "Cosine to the original",
        "Cosine",
        "Cosine between the outputs of both models, mean over samples.",
        "cosine",
        1.0,
    ),
}
"""Every figure of quality by its name in a scorecard."""


@dataclass(frozen=True)
class Quality:
    """How good a model is on some samples.

    Attributes:
        figures: ``{metric: Quantity}``, keys of :data:`METRICS`.
        primary: The metric that decides; it has no figure where it cannot be measured.
        change: The result against its original, paired: of accuracy and mAP in points, of the
            squared error as a ratio. None without an original, and where the primary figure is
            itself a comparison with it.
    """

    figures: Mapping[str, Quantity]
    primary: str
    change: Comparison | None = None

    @property
    def main(self) -> Quantity | None:
        """The primary figure; None where it cannot be measured."""
        return self.figures.get(self.primary)

    @property
    def cost(self) -> str:
        """What became of the original's quality, as the end of a sentence about the model.

        Example:
            >>> share = Quantity(0.98, "fraction", 0.97, 0.99, n=900)
            >>> Quality({"agreement": share}, "agreement").cost
            'agrees with the original on 98 ± 1 % of the samples'
        """
        if self.change is not None:
            return _loss(self.change, self.primary)
        if self.main is None:
            return "gives the original's outputs unchanged"
        if self.primary == "agreement":
            return f"agrees with the original on {self.main} of the samples"
        return f"keeps the original's outputs at {self.main} SQNR"


def _loss(change: Comparison, metric: str) -> str:
    if change.difference.is_exact and change.difference.value == 0:
        return "predicts the same"
    if change.direction == "same":
        return f"shows {change.verdict()}"
    return f"makes {change.verdict()} squared error" if metric == "r2" else change.verdict()


def primary_metric(has_labels: bool, task: ModelTask) -> str:
    """Return which metric decides about a model of a task on samples with or without labels."""
    if has_labels:
        return task.primary_metric
    return "agreement" if isinstance(task, Classification) else "sqnr"


def quality_of(predictions: Predictions, task: ModelTask) -> Quality:
    """Judge a model alone; on samples without labels there is then no figure."""
    figures: dict[str, Quantity] = {}
    if isinstance(task, Classification) and predictions.is_labelled:
        figures = {"accuracy": predictions.accuracy()}
    elif isinstance(task, Regression) and predictions.has_quantities:
        figures = regression_figures(predictions)
    elif isinstance(task, Detection) and predictions.has_boxes:
        figures = detection_figures(predictions, task)
    return Quality(figures, primary_metric(bool(figures), task))


def quality(
    predictions: Predictions, original: Predictions, task: ModelTask, *, every: bool = True
) -> Quality:
    """Judge a model beside its original.

    Args:
        predictions: What the model says.
        original: What its original says about the same samples.
        task: What their outputs mean.
        every: Whether all figures are wanted, or only the one that decides.

    Raises:
        MeasurementError: If the samples differ, or outputs cannot be compared.
    """
    alone = quality_of(predictions, task)
    change = None
    if alone.primary == "accuracy":
        change = predictions.against(original)
    elif isinstance(task, Detection) and alone.figures:
        change = precision_change(predictions, original, task)
    elif alone.figures:
        change = error_change(predictions, original)
    if change is not None and not every:
        return Quality(alone.figures, alone.primary, change)
    figures = {**alone.figures, **fidelity_to(original, predictions, task)}
    return Quality(figures, alone.primary, change)


def fidelity_to(
    original: Predictions, predictions: Predictions, task: ModelTask
) -> dict[str, Quantity]:
    """Return how closely a model follows its original, by metric; labels are not looked at.

    The SQNR has no figure where there is no difference at all, and agreement and divergence have
    none where outputs are no classes.

    Raises:
        MeasurementError: If the samples differ, or outputs cannot be compared.
    """
    predictions.check_same_samples(original)
    found = fidelity(
        original.outputs,
        predictions.outputs,
        classes=isinstance(task, Classification),
        how=predictions.how,
    )
    figures = {
        "agreement": found.agreement,
        "sqnr": found.sqnr,
        "divergence": found.divergence,
        "cosine": found.cosine,
    }
    return {name: figure for name, figure in figures.items() if figure is not None}
