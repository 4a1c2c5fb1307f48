"""Intervals at 95 % confidence, each for one kind of number.

References:
    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    Bonett and Price, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions
    Based on Paired Data, 2012, doi:10.3102/1076998611411915.
    Satterthwaite, An Approximate Distribution of Estimates of Variance Components, 1946,
    doi:10.2307/3002019.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = [
    "CONFIDENCE",
    "crossed_interval",
    "jackknife_interval",
    "mean_interval",
    "median_interval",
    "paired_difference",
    "ratio_interval",
    "wilson",
]

CONFIDENCE = 0.95
_Z = 1.959963984540054
_RESAMPLES = 1000
_BLOCK = 64
"""Resamples drawn at once: their weights are ``(block, samples)``."""


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return the interval of a share of ``n`` independent samples, in 0..1.

    Example:
        >>> low, high = wilson(81, 100)
        >>> round(low, 3), round(high, 3)
        (0.722, 0.875)
    """
    share = successes / n
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def paired_difference(lost: int, won: int, n: int) -> tuple[float, float]:
    """Return the interval of a difference of two shares of the same ``n`` samples, in -1..1.

    Args:
        lost: Samples the first was right about and the second wrong.
        won: Samples the second was right about and the first wrong.
        n: All samples.
    """
    up, down = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    centre = up - down
    half = _Z * math.sqrt(max(0.0, (up + down - centre**2) / (n + 2)))
    value = (won - lost) / n
    return max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half))


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the median of ``(n,)`` values and its interval, free of any distribution.

    The ends are order statistics; with fewer than six values they are the extremes.
    """
    ordered = np.sort(values)
    n = len(ordered)
    rank = max(0, math.floor((n - _Z * math.sqrt(n)) / 2) - 1)
    return float(np.median(ordered)), float(ordered[rank]), float(ordered[n - 1 - rank])


def mean_interval(
    values: np.ndarray, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float, float]:
    """Return the mean of ``(n,)`` values and its interval by Student's t.

    One value says nothing about how others would fall: its interval is that value alone.

    Args:
        values: The values.
        least: Smallest mean there can be; no interval reaches below it.
        most: Largest mean there can be.

    Example:
        >>> mean, low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
        >>> round(mean, 2), round(low, 2), round(high, 2)
        (2.0, -0.48, 4.48)
    """
    from scipy import stats

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean, mean
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * spread
    return mean, min(mean, max(mean - half, least)), max(mean, min(mean + half, most))


def crossed_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of values of every sample with every draw, and its interval over both.

    Other samples would give another mean, and so would other draws: both vary. The variance of the
    mean is that of a two-way layout with one value in each place,
    ``(MS samples + MS draws - MS rest) / (samples * draws)``, its degrees of freedom are
    Satterthwaite's. Draws that differ by no more than chance add nothing; of a single draw the
    interval is over samples alone, and so says nothing about other draws.

    Args:
        values: ``(samples, draws)``, such as what a model that was calibrated on a draw is right
            about, less what another is right about.

    Example:
        >>> values = np.array([[0.0, 2.0], [2.0, 4.0], [1.0, 3.0]])  # draws differ by 2
        >>> mean, low, high = crossed_interval(values)
        >>> mean, low < mean_interval(values.mean(axis=1))[1]
        (2.0, True)
    """
    from scipy import stats

    n, draws = values.shape
    if draws < 2 or n < 2:
        return mean_interval(values.mean(axis=1))
    mean = float(values.mean())
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns + mean
    free = np.array([n - 1, draws - 1, (n - 1) * (draws - 1)])
    squares = np.array(
        [draws * np.square(rows - mean).sum(), n * np.square(columns - mean).sum(), (rest**2).sum()]
    )
    of_samples, of_draws, of_rest = squares / free
    if of_draws <= of_rest:
        return mean_interval(rows)
    parts = np.array([of_samples, of_draws, -of_rest])
    total = float(parts.sum())
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, total**2 / (parts**2 / free).sum()))
    half *= math.sqrt(total / values.size)
    return mean, mean - half, mean + half


def ratio_interval(
    numerator: np.ndarray, denominator: np.ndarray, seed: int = 0
) -> tuple[float, float, float]:
    """Return a ratio of two sums over the same samples and its percentile bootstrap interval.

    Args:
        numerator: ``(N, K)``, not negative; of several columns the mean of their ratios is taken.
        denominator: ``(N, K)``, not negative; the sum of no column is 0.
        seed: Of the resampling.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    n, columns = numerator.shape
    both = np.concatenate([numerator, denominator], axis=1)
    generator = np.random.default_rng(seed)

    def ratios(sums: np.ndarray) -> np.ndarray:
        least = np.finfo(np.float64).tiny
        found: np.ndarray = sums[..., :columns] / np.maximum(sums[..., columns:], least)
        return found.mean(axis=-1)

    value = float(ratios(both.sum(axis=0)))
    draws = [
        ratios(generator.multinomial(n, np.full(n, 1 / n), _BLOCK) @ both)
        for _ in range(-(-_RESAMPLES // _BLOCK))
    ]
    low, high = np.quantile(np.concatenate(draws), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return value, min(value, float(low)), max(value, float(high))


def jackknife_interval(value: float, without: np.ndarray) -> tuple[float, float, float]:
    """Return a figure of many samples and its interval from what it is without some of them.

    Args:
        value: The figure on all samples.
        without: ``(groups,)`` the figure without each of equal groups of the samples; fewer than
            two say nothing about how it would vary.

    References:
        Miller, The Jackknife: A Review, 1974, doi:10.1093/biomet/61.1.1

    Example:
        >>> values = np.array([1.0, 2.0, 3.0])
        >>> mean, low, high = jackknife_interval(2.0, (6 - values) / 2)  # as mean_interval
        >>> round(low, 2), round(high, 2)
        (-0.48, 4.48)
    """
    from scipy import stats

    groups, value = len(without), float(value)
    if groups < 2:
        return value, value, value
    spread = math.sqrt((groups - 1) ** 2 / groups) * float(np.std(without, ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, groups - 1)) * spread
    return value, value - half, value + half
