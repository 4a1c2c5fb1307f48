"""Small parts that several lessons draw alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optim.lessons.lesson import Role, Series
from optim.quantity import Quantity

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["curve", "in_percent", "matrix_rows", "nearest", "percent"]


def percent(share: float) -> str:
    """Write a share for a reader, as the label of a stop."""
    return f"{100 * share:g} %"


def in_percent(figure: Quantity) -> tuple[float, float, float]:
    """Return value and both ends of a share, in percent."""
    return 100 * figure.value, 100 * figure.low, 100 * figure.high


def curve(
    name: str, x: Sequence[float], figures: Sequence[Quantity], role: Role, *, scale: float = 100.0
) -> Series:
    """Return figures along a control as a line with its interval.

    Args:
        name: Of the line.
        x: Where the control stands.
        figures: One for each.
        role: What the line stands for.
        scale: Times which figures are drawn; 100 for shares.
    """
    return Series(
        name,
        tuple(x),
        tuple(round(scale * f.value, 3) for f in figures),
        "line",
        role,
        tuple(round(scale * f.low, 3) for f in figures),
        tuple(round(scale * f.high, 3) for f in figures),
        tuple(f"{name}: {f}" for f in figures),
    )


def matrix_rows(weight: Tensor, columns: int) -> tuple[tuple[float, ...], ...]:
    """Return the first columns of a weight ``(out, ...)`` as rows, to two digits."""
    rows = weight.detach().reshape(len(weight), -1)[:, :columns].tolist()
    return tuple(tuple(_short(value) for value in row) for row in rows)


def nearest(stops: Sequence[float], wanted: float) -> int:
    """Return the index of the stop that is nearest to a value."""
    return min(range(len(stops)), key=lambda i: abs(stops[i] - wanted))


def _short(value: float) -> float:
    return 0.0 if value == 0 else round(value, 1 - math.floor(math.log10(abs(value))))
