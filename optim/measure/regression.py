"""How well quantities are predicted: explained variance and mean errors, with their intervals."""

from __future__ import annotations

import numpy as np

from optim.errors import MeasurementError
from optim.measure.intervals import mean_interval, ratio_interval
from optim.measure.predictions import Predictions, check_finite
from optim.quantity import Comparison, Quantity

__all__ = ["error_change", "regression_figures"]


def regression_figures(predictions: Predictions) -> dict[str, Quantity]:
    """Return ``r2``, ``mse`` and ``mae`` of predicted quantities.

    R2 is the share of the targets' variance that is explained, the mean over quantities of
    ``1 - sum of squared errors / sum of squared deviations``; it has no figure where a target never
    varies. The errors are in the target's own unit, squared for the first.

    Raises:
        MeasurementError: If there is no sample, the targets are no quantities, or an output is not
            finite.
    """
    errors, deviations = _errors(predictions)
    figures = {}
    if (deviations.sum(axis=0) > 0).all():
        value, low, high = ratio_interval(errors**2, deviations)
        figures["r2"] = Quantity(1 - value, "r2", 1 - high, 1 - low, len(errors), predictions.how)
    figures["mse"] = _mean((errors**2).mean(axis=1), predictions)
    figures["mae"] = _mean(np.abs(errors).mean(axis=1), predictions)
    return figures


def error_change(predictions: Predictions, baseline: Predictions) -> Comparison:
    """Compare the mean squared error with a baseline's on the same samples, as a ratio.

    Raises:
        MeasurementError: If the samples differ, or the baseline makes no error at all.
    """
    if not np.array_equal(predictions.ids, baseline.ids):
        raise MeasurementError("Two models can only be compared on the same samples.")
    before, after = (_errors(each)[0] for each in (baseline, predictions))
    before, after = ((each**2).mean(axis=1, keepdims=True) for each in (before, after))
    if not before.sum() > 0:
        raise MeasurementError("The original model makes no error that could be compared with.")
    value, low, high = ratio_interval(after, before)
    return Comparison(Quantity(value, "x", low, high, len(after), predictions.how), better="lower")


def _errors(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return errors and squared deviations of the targets, ``(N, quantities)`` float64."""
    if not len(predictions) or not predictions.has_quantities:
        raise MeasurementError("Errors need samples of which somebody says the quantities.")
    outputs = predictions.outputs.astype(np.float64)
    targets = predictions.targets.reshape(outputs.shape).astype(np.float64)
    check_finite(outputs)
    return outputs - targets, (targets - targets.mean(axis=0)) ** 2


def _mean(values: np.ndarray, predictions: Predictions) -> Quantity:
    mean, low, high = mean_interval(values, 0.0)
    return Quantity(mean, "target", low, high, len(values), predictions.how)
