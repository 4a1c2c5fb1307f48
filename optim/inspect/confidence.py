"""How sure a model is of its classes, and whether rightly so.

A model is *calibrated* if of the answers it is 80 % sure of, 80 % are right. The expected
calibration error (ECE) is the mean distance between both over bins of confidence. Compression
changes it even where accuracy stays, and whoever thresholds confidences will notice.

Of few samples the ECE is too high: even a calibrated model shows some. How much that would be is
computed beside it, by drawing right and wrong answers from the confidences themselves (Bröcker and
Smith 2007). What a calibrated model shows as well is no sign of an error, and so the interval of
such an ECE begins at 0: resampling alone finds too large a low end there, because the sum of
distances is never below 0 and most of it is noise.

References:
    Guo et al., On Calibration of Modern Neural Networks, 2017, arXiv:1706.04599
    Bröcker and Smith, Increasing the Reliability of Reliability Diagrams, 2007,
    doi:10.1175/WAF993.1
    Davison and Hinkley, Bootstrap Methods and their Application, 1997 (the basic interval)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from optim.measure.intervals import CONFIDENCE, mean_interval
from optim.measure.predictions import Predictions
from optim.quantity import Comparison, How, Quantity

__all__ = ["BINS", "Bin", "Calibration", "Confidence", "confidence", "probabilities"]

BINS = 15
"""Bins of equal width, as in the paper."""
_RESAMPLES = 1000
_BLOCK = 50


@dataclass(frozen=True)
class Bin:
    """Answers of about the same confidence.

    Attributes:
        low: Least confidence, in 0..1.
        high: Largest confidence.
        n: Samples.
        confidence: Mean over them; None without any.
        accuracy: Share of them that are right; None without any, or without labels.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """The confidence of one model.

    Attributes:
        confidence: Probability of the class it chooses, mean over samples.
        ece: Expected calibration error; None without labels. Its interval reaches down to 0 where
            chance alone explains it.
        by_chance: The ECE that a calibrated model of these confidences stays below in 95 of 100
            draws of so many samples; None without labels.
        bins: From the least sure answers to the surest.
    """

    confidence: Quantity
    ece: Quantity | None
    by_chance: Quantity | None
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "confidence": self.confidence.to_json(),
            "ece": self.ece.to_json() if self.ece else None,
            "by_chance": self.by_chance.to_json() if self.by_chance else None,
            "bins": [asdict(one) for one in self.bins],
        }


@dataclass(frozen=True)
class Confidence:
    """The confidence of two models on the same samples.

    Attributes:
        before: Of the original.
        after: Of the result.
        shift: How much surer the result is of its classes, in points. It is no better for being
            surer; ``better`` says only which way is up.
        ece_change: The result's ECE against the original's, in points; None without labels.
    """

    before: Calibration
    after: Calibration
    shift: Comparison
    ece_change: Comparison | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "shift": self.shift.to_json(),
            "ece_change": self.ece_change.to_json() if self.ece_change else None,
        }


def probabilities(outputs: np.ndarray) -> np.ndarray:
    """Return the probabilities ``(N, classes)`` that outputs stand for.

    Logits go through a softmax; outputs that are probabilities already are taken as they are.
    """
    values = outputs.astype(np.float64)
    sums = values.sum(axis=1)
    if values.size and values.min() >= 0 and np.allclose(sums, 1, atol=1e-3):
        return values / sums[:, None]
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    found: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return found


def confidence(before: Predictions, after: Predictions, seed: int = 0) -> Confidence:
    """Compare how sure two models are on the same samples.

    Args:
        before: What the original says; outputs of classes.
        after: What the result says about the same samples.
        seed: Of the resampling.

    Raises:
        MeasurementError: If the samples differ.
    """
    after.check_same_samples(before)
    both = [probabilities(p.outputs).max(axis=1) for p in (before, after)]
    shift = _mean(100 * (both[1] - both[0]), "points", after.how)
    if not before.is_labelled:
        sides = [
            Calibration(_mean(sure, "fraction", p.how), None, None, _bins(sure, None))
            for sure, p in zip(both, (before, after), strict=True)
        ]
        return Confidence(sides[0], sides[1], Comparison(shift, "higher"), None)
    rights = [p.correct for p in (before, after)]
    generator = np.random.default_rng(seed)
    errors, draws = _errors(both, rights, generator)
    sides = []
    for i, (sure, right, p) in enumerate(zip(both, rights, (before, after), strict=True)):
        ece = _basic(errors[i], draws[:, i], "fraction", len(sure), p.how, least=0.0)
        by_chance = _by_chance(sure, generator)
        if ece.value <= by_chance.value:
            ece = replace(ece, low=0.0)
        mean = _mean(sure, "fraction", p.how)
        sides.append(Calibration(mean, ece, by_chance, _bins(sure, right)))
    apart = 100 * (draws[:, 1] - draws[:, 0])
    value = 100 * (errors[1] - errors[0])
    change = _basic(value, apart, "points", len(both[0]), after.how)
    return Confidence(
        sides[0], sides[1], Comparison(shift, "higher"), Comparison(change, better="lower")
    )


def _bin_of(sure: np.ndarray) -> np.ndarray:
    return np.minimum((sure * BINS).astype(int), BINS - 1)


def _bins(sure: np.ndarray, right: np.ndarray | None) -> tuple[Bin, ...]:
    places = _bin_of(sure)
    found = []
    for i in range(BINS):
        rows = places == i
        n = int(rows.sum())
        found.append(
            Bin(
                i / BINS,
                (i + 1) / BINS,
                n,
                float(sure[rows].mean()) if n else None,
                float(right[rows].mean()) if n and right is not None else None,
            )
        )
    return tuple(found)


def _errors(
    both: list[np.ndarray], rights: list[np.ndarray], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ECE ``(2,)`` of both models, and ``(resamples, 2)`` of the same resamples."""
    n = len(both[0])
    gaps = np.concatenate(
        [_gaps(sure, right) for sure, right in zip(both, rights, strict=True)], axis=1
    )

    def errors(sums: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.abs(sums.reshape(-1, 2, BINS)).sum(axis=2) / n
        return found

    draws = [
        errors(generator.multinomial(n, np.full(n, 1 / n), _BLOCK) @ gaps)
        for _ in range(_RESAMPLES // _BLOCK)
    ]
    return errors(gaps.sum(axis=0))[0], np.concatenate(draws)


def _gaps(sure: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return ``(N, BINS)``: by how much confidence is above correctness, in the sample's bin."""
    found = np.zeros((len(sure), BINS))
    found[np.arange(len(sure)), _bin_of(sure)] = sure - right
    return found


def _by_chance(sure: np.ndarray, generator: np.random.Generator) -> Quantity:
    """Return the ECE below which a calibrated model stays in 95 of 100 draws."""
    places = np.eye(BINS)[_bin_of(sure)]
    draws = np.concatenate(
        [
            np.abs(((generator.random((_BLOCK, len(sure))) < sure) - sure) @ places).sum(axis=1)
            for _ in range(_RESAMPLES // _BLOCK)
        ]
    )
    value = float(np.quantile(draws, CONFIDENCE)) / len(sure)
    return Quantity(value, "fraction", value, value, len(sure), How.SIMULATED)


def _basic(
    value: float, draws: np.ndarray, unit: str, n: int, how: How, least: float = -np.inf
) -> Quantity:
    """Return a figure with its basic bootstrap interval, which takes the bias of draws away."""
    tail = (1 - CONFIDENCE) / 2
    low, high = 2 * value - np.quantile(draws, [1 - tail, tail])
    value = float(value)
    low, high = min(value, max(float(low), least)), max(value, float(high))
    return Quantity(value, unit, low, high, n, how)


def _mean(values: np.ndarray, unit: str, how: How) -> Quantity:
    ends = (0.0, 1.0) if unit == "fraction" else (-100.0, 100.0)
    mean, low, high = mean_interval(values, *ends)
    return Quantity(mean, unit, low, high, len(values), how)
