"""One figure of quality for every kind of model and data: what was lost against the original."""

from __future__ import annotations

from optim.measure.quality import Quality
from optim.quantity import Quantity

__all__ = ["loss_of", "loss_words"]

_WORDS = {
    "accuracy": "points of accuracy",
    "map": "points of mAP",
    "r2": "percent more squared error",
    "agreement": "percent of the samples get another class",
    "sqnr": "percent of the outputs' energy",
}


def loss_of(found: Quality) -> Quantity:
    """Return what a model has lost, in points; below 0 where it is better than its original.

    Of accuracy and mAP the paired change; of quantities the additional squared error, in percent;
    without labels the share of samples that get another class, or the share of the outputs' energy
    that the difference has, in percent.

    Args:
        found: Of the model beside its original, as :func:`optim.measure.quality.quality` gives it.
    """
    if found.change is not None:
        change = found.change.difference
        if change.unit == "x":
            value, low, high = (100 * (x - 1) for x in (change.value, change.low, change.high))
        else:
            value, low, high = -change.value, -change.high, -change.low
        return Quantity(value, "points", low, high, change.n, change.how)
    main = found.main
    if main is None:  # no difference at all
        return Quantity.exact(0.0, "points")
    if main.unit == "db":
        value, low, high = (100 * 10 ** (-db / 10) for db in (main.value, main.high, main.low))
    else:
        value, low, high = (100 * (1 - x) for x in (main.value, main.high, main.low))
    return Quantity(value, "points", min(low, value), max(high, value), main.n, main.how)


def loss_words(metric: str) -> str:
    """Return what the points of a loss are, for a primary metric.

    Example:
        >>> loss_words("accuracy")
        'points of accuracy'
    """
    return _WORDS[metric]
