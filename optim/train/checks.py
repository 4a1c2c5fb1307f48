"""What cannot be trained on, refused before any time is spent."""

from __future__ import annotations

from torch import Tensor

from optim.errors import CalibrationError

__all__ = ["check_samples", "check_targets"]


def check_samples(targets: Tensor, validation: tuple[Tensor, Tensor] | None) -> None:
    """Refuse samples from which nothing can be learned.

    Args:
        targets: ``(N,)`` class indices of the training samples, or ``(N, objects, 5)`` boxes.
        validation: Inputs and targets of the validation samples, if there are any.

    Raises:
        CalibrationError: If there are fewer than two samples, of one class only, or a validation
            part without any.
    """
    count = len(targets)
    if count < 2:
        raise CalibrationError(f"Training needs at least 2 samples: got {count}.")
    if targets.ndim == 1 and bool((targets == targets[0]).all()):
        raise CalibrationError(
            f"All {count:,} training samples are of class {int(targets[0])}; "
            "training needs at least two classes.",
            hint="Add samples of another class.",
        )
    if validation is not None and not len(validation[0]):
        raise CalibrationError(
            "The validation part holds no sample.", hint="Use data with more samples."
        )


def check_targets(targets: Tensor, classes: int) -> None:
    """Refuse class indices that the model has no output for.

    Args:
        targets: ``(N,)`` class indices; of boxes the loss knows which classes there are.
        classes: Outputs of the model.

    Raises:
        CalibrationError: Naming the first wrong one.
    """
    if targets.ndim > 1:
        return
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise CalibrationError(
            f"Targets must be from 0 to {classes - 1}, the model's outputs: got {wrong}.",
            hint="Use the data the model was made for, or a model with more outputs.",
        )
