"""A few pictures of digits, for lessons that train many small networks from nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optim.measure.intervals import wilson
from optim.quantity import Quantity

if TYPE_CHECKING:
    from optim.data.dataset import Dataset

__all__ = ["DATA", "few_digits", "share_of"]

DATA = "digits"
_DIGITS = 10


def few_digits(samples: int, wrong: float = 0.0) -> Dataset:
    """Return the digits with so many samples to train on, and all to validate on.

    Args:
        samples: Number of training samples.
        wrong: Share of these, 0..1, that is called another digit than it is.
    """
    import numpy as np

    from optim.data import open_data
    from optim.data.splits import stratified_order, with_validation

    data = with_validation(open_data(DATA), seen=(), policy="auto", seed=0)
    train = data.part("train")
    few = train.take(stratified_order(train.targets, 0)[:samples])
    if wrong:
        rng = np.random.default_rng(0)
        index = rng.permutation(samples)[: round(wrong * samples)]
        targets = few.targets.copy()
        targets[index] = (targets[index] + rng.integers(1, _DIGITS, len(index))) % _DIGITS
        few = replace(few, targets=targets)
    return replace(
        data,
        parts={**data.parts, "train": len(few)},
        load=lambda part: few if part == "train" else data.part(part),
        load_targets=None,
    )


def share_of(accuracy: float, n: int) -> Quantity:
    """Return an accuracy on ``n`` samples with its interval."""
    low, high = wilson(round(accuracy * n), n)
    return Quantity(accuracy, "fraction", min(low, accuracy), max(high, accuracy), n)
