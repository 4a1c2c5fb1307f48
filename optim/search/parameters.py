"""Dimensions of a space as the parameters of Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optim.search.space import Dimension, Scalar

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

__all__ = ["parameter_of", "suggested"]


def _distribution(dimension: Dimension) -> BaseDistribution:
    """Return even ranges as such, other ordered values as positions, the rest as categories."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if not dimension.is_ordered:
        return CategoricalDistribution(dimension.values)
    step = _step(dimension.values)
    if step is None:
        return IntDistribution(0, len(dimension.values) - 1)
    low, high = dimension.values[0], dimension.values[-1]
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
        return IntDistribution(low, high, step=step)
    return FloatDistribution(float(low), float(high), step=float(step))


def _step(values: Sequence[Scalar]) -> float | int | None:
    """Return the distance between values that are evenly spaced numbers; None for others."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < max(2, len(values)):
        return None
    step = round(numbers[1] - numbers[0], 9)
    even = all(abs(numbers[0] + i * step - v) < 1e-6 for i, v in enumerate(numbers))
    return step if even and step > 0 else None


def suggested(trial: optuna.Trial, dimension: Dimension) -> Scalar:
    """Return the value that a trial is to try."""
    if len(dimension.values) == 1:
        return dimension.values[0]
    return _value_of(dimension, trial._suggest(dimension.name, _distribution(dimension)))


def _value_of(dimension: Dimension, parameter: Any) -> Scalar:
    """Return the value that a parameter stands for."""
    if not dimension.is_ordered:
        return dimension.values[dimension.index(parameter)]
    if _step(dimension.values) is None:
        return dimension.values[int(parameter)]
    return min(dimension.values, key=lambda value: abs(float(value) - float(parameter)))


def parameter_of(dimension: Dimension, value: Scalar) -> Any:
    """Return the parameter that stands for a value."""
    if not dimension.is_ordered or _step(dimension.values) is not None:
        return value
    return dimension.index(value)
