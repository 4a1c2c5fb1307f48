"""The result in one sentence, promising no more than the intervals hold."""

from __future__ import annotations

from optim.measure.quality import Quality
from optim.quantity import Comparison

__all__ = ["verdict"]


def verdict(quality: Quality, size: Comparison, latency: Comparison | None = None) -> str:
    """Say what compression brought and what it cost.

    Args:
        quality: Of the result beside its original.
        size: Ratio of the files' bytes.
        latency: Ratio of measured times; left out while it is only estimated.

    Example:
        >>> from optim.quantity import Quantity
        >>> loss = Comparison(Quantity(-0.6, "points", -1.0, -0.2, n=4000), better="higher")
        >>> smaller = Comparison(Quantity.exact(0.244, "x"), better="lower")
        >>> verdict(Quality({}, "accuracy", loss), smaller)
        'This network is 4.1x smaller and loses 0.6 ± 0.4 points.'
    """
    gains = [g for g in (_gain(size, "smaller", "larger"), _speed(latency)) if g]
    if not gains:
        return f"This network has the size and speed it had, and {quality.cost}."
    return f"This network is {' and '.join(gains)}{',' * (len(gains) > 1)} and {quality.cost}."


def _gain(change: Comparison, less: str, more: str) -> str:
    if change.direction == "same":
        return ""
    value = change.difference.value
    factor = 1 / value if value < 1 else value
    if round(factor, 2) == 1:
        return ""
    return f"{factor:.{1 if factor < 100 else 0}f}x {less if value < 1 else more}"


def _speed(latency: Comparison | None) -> str:
    return "" if latency is None else _gain(latency, "faster", "slower")
