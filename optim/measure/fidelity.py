"""How closely a model follows another one, where nobody knows what is right.

Agreement needs no labels, only samples: for data without them, for tasks without classes, and for
noticing what accuracy hides, because two models may be right equally often about other samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.errors import MeasurementError
from optim.measure.intervals import mean_interval, wilson
from optim.measure.predictions import check_finite
from optim.quantity import How, Quantity

__all__ = ["Fidelity", "fidelity", "sqnr_of"]


@dataclass(frozen=True)
class Fidelity:
    """What two models' outputs on the same samples have in common.

    Attributes:
        agreement: Share of samples of the same largest output; None where outputs are no classes.
        divergence: Kullback-Leibler divergence of the original's probabilities from the
            candidate's, in nats, mean over samples; None where outputs are no classes.
        sqnr: Energy of the original's outputs over that of the difference, in dB; None if there is
            no difference at all.
        cosine: Cosine between the outputs of both, mean over samples.
    """

    agreement: Quantity | None
    divergence: Quantity | None
    sqnr: Quantity | None
    cosine: Quantity

    def to_json(self) -> dict[str, Any]:
        """Return ``{name: figure or None}`` as plain data."""
        return {
            name: None if value is None else value.to_json()
            for name, value in (
                ("agreement", self.agreement),
                ("divergence", self.divergence),
                ("sqnr", self.sqnr),
                ("cosine", self.cosine),
            )
        }


def fidelity(
    original: np.ndarray,
    candidate: np.ndarray,
    *,
    classes: bool = True,
    how: How = How.MEASURED,
) -> Fidelity:
    """Compare the outputs of two models sample by sample.

    Args:
        original: ``(N, ...)`` outputs; logits ``(N, classes)`` where they are classes.
        candidate: Outputs of the same shape on the same samples.
        classes: Whether outputs are logits of classes.
        how: How the candidate's were obtained.

    Raises:
        MeasurementError: If shapes differ, there is no sample, or outputs are not finite.
    """
    _check(original, candidate, classes)
    n = len(original)
    before = original.reshape(n, -1).astype(np.float64)
    after = candidate.reshape(n, -1).astype(np.float64)
    signal, noise = (before**2).sum(1), ((before - after) ** 2).sum(1)
    agreement = divergence = None
    if classes:
        same = int((before.argmax(1) == after.argmax(1)).sum())
        agreement = Quantity(same / n, "fraction", *wilson(same, n), n, how)
        divergence = _mean(_divergences(before, after), "nats", 0.0, np.inf, how)
    lengths = np.sqrt(signal * (after**2).sum(1))
    cosines = np.where(
        lengths > 0, (before * after).sum(1) / np.maximum(lengths, 1e-300), noise == 0
    )
    return Fidelity(
        agreement,
        divergence,
        sqnr_of(signal, noise, how),
        _mean(np.clip(cosines, -1.0, 1.0), "cosine", -1.0, 1.0, how),
    )


def _check(original: np.ndarray, candidate: np.ndarray, classes: bool) -> None:
    if original.shape != candidate.shape:
        raise MeasurementError(
            "Two models can only be compared by outputs of one shape: got "
            f"{original.shape[1:]} and {candidate.shape[1:]} on {len(original)} and "
            f"{len(candidate)} samples."
        )
    if not len(original):
        raise MeasurementError("Fidelity needs at least one sample.")
    if classes and (original.ndim != 2 or original.shape[1] < 2):
        raise MeasurementError(
            f"Outputs of classes are (samples, classes): got {original.shape}.",
            hint="Compare them as plain numbers.",
        )
    for name, outputs in (("original", original), ("candidate", candidate)):
        check_finite(outputs, f"The {name} model")


def _divergences(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the divergence ``(N,)`` between the probabilities of ``(N, classes)`` logits."""
    own, other = _log_softmax(before), _log_softmax(after)
    found: np.ndarray = (np.exp(own) * (own - other)).sum(1)
    return np.maximum(found, 0.0)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def _mean(values: np.ndarray, unit: str, least: float, most: float, how: How) -> Quantity:
    mean, low, high = mean_interval(values, least, most)
    return Quantity(mean, unit, low, high, len(values), how)


def sqnr_of(signal: np.ndarray, noise: np.ndarray, how: How) -> Quantity | None:
    """Return the ratio of two sums in dB with the interval of its logarithm (delta method).

    Args:
        signal: ``(N,)`` energies of what is right, sample by sample.
        noise: ``(N,)`` energies of what it is off by.
        how: How the latter were obtained.

    Returns:
        The SQNR; None where there is no difference at all, or no signal.
    """
    if not noise.any() or not signal.any():
        return None
    value = 10 * float(np.log10(signal.sum() / noise.sum()))
    pulls = signal / signal.mean() - noise / noise.mean()
    _, low, high = mean_interval(pulls)
    half = 10 / float(np.log(10)) * (high - low) / 2
    return Quantity(value, "db", value - half, value + half, len(signal), how)
