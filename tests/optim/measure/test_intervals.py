"""Intervals against hand cases, scipy, and what they promise."""

import numpy as np
import pytest
from scipy import stats

from optim.measure.intervals import (
    CONFIDENCE,
    crossed_interval,
    mean_interval,
    median_interval,
    paired_difference,
    wilson,
)


@pytest.mark.parametrize("n", [1, 2, 10, 200, 4000, 10_000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.93, 1.0])
def test_wilson_is_that_of_scipy(n, share):
    successes = round(share * n)
    low, high = wilson(successes, n)
    expected = stats.binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)
    assert 0 <= low <= successes / n <= high <= 1


def test_wilson_by_hand():
    # Of one success in one trial: (1 + z^2/2 -+ z sqrt(z^2/4)) / (1 + z^2) from z = 1.96.
    low, high = wilson(1, 1)
    assert low == pytest.approx(1 / (1 + 1.959964**2), abs=1e-6)
    assert high == 1.0


def test_the_paired_interval_by_hand():
    # 6 lost, 2 won of 98: Laplace-adjusted shares 7/100 and 3/100, difference -0.04.
    low, high = paired_difference(6, 2, 98)
    half = 1.959964 * np.sqrt((0.10 - 0.0016) / 100)
    assert low == pytest.approx(-0.04 - half, abs=1e-6)
    assert high == pytest.approx(-0.04 + half, abs=1e-6)


def test_the_paired_interval_is_the_same_seen_from_the_other_side():
    low, high = paired_difference(13, 4, 500)
    other_low, other_high = paired_difference(4, 13, 500)
    assert (low, high) == pytest.approx((-other_high, -other_low))


def test_agreement_on_everything_still_leaves_doubt():
    low, high = paired_difference(0, 0, 100)
    assert low < 0 < high
    wide = paired_difference(0, 0, 10)
    assert wide[0] < low
    assert wide[1] > high


def test_pairing_narrows_where_models_agree():
    lost, won, n = 10, 4, 2000
    low, high = paired_difference(lost, won, n)
    first, second = wilson(1800, n), wilson(1800 - lost + won, n)
    unpaired = (first[1] - first[0]) / 2 + (second[1] - second[0]) / 2
    assert (high - low) / 2 < unpaired / 2


@pytest.mark.parametrize(("p_lost", "p_won"), [(0.0, 0.0), (0.01, 0.01), (0.05, 0.02), (0.3, 0.1)])
@pytest.mark.parametrize("n", [50, 400])
def test_the_paired_interval_covers_the_truth_as_often_as_it_says(p_lost, p_won, n):
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n, [p_lost, p_won, 1 - p_lost - p_won], size=2000)
    covered = 0
    for lost, won, _ in draws:
        low, high = paired_difference(int(lost), int(won), n)
        covered += low <= p_won - p_lost <= high
    assert covered / 2000 > 0.93


@pytest.mark.parametrize("n", [1, 2, 5, 6, 9, 30, 41])
def test_the_median_lies_in_its_interval(n):
    values = np.random.default_rng(n).lognormal(size=n)
    middle, low, high = median_interval(values)
    assert middle == np.median(values)
    assert values.min() <= low <= middle <= high <= values.max()
    if n < 6:
        assert (low, high) == (values.min(), values.max())


@pytest.mark.parametrize("n", [10, 21, 30, 40, 100])
def test_the_interval_of_the_median_covers_enough(n):
    """Exactly: the rank's binomial tail, whatever the distribution."""
    values = np.arange(n, dtype=float)
    _, low, high = median_interval(values)
    below, above = int(low), int(n - 1 - high)
    outside = stats.binom.cdf(below, n, 0.5) + stats.binom.cdf(above, n, 0.5)
    assert 1 - outside >= CONFIDENCE


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_of_a_mean_is_that_of_scipy(n):
    values = np.random.default_rng(n).normal(5, 2, n)
    mean, low, high = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(CONFIDENCE)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_one_value_has_no_interval():
    assert mean_interval(np.array([4.0])) == (4.0, 4.0, 4.0)


def test_draws_that_do_not_differ_add_nothing_to_the_interval_over_samples():
    values = np.random.default_rng(0).normal(size=(50, 1)) + np.zeros((1, 4))
    assert crossed_interval(values) == pytest.approx(mean_interval(values.mean(axis=1)))


def test_of_one_draw_the_interval_is_over_samples():
    values = np.random.default_rng(0).normal(size=(50, 1))
    assert crossed_interval(values) == mean_interval(values[:, 0])


def test_with_many_samples_alike_the_interval_is_over_draws():
    draws = np.array([1.0, 2.0, 4.0])
    values = np.zeros((10_000, 1)) + draws
    assert crossed_interval(values) == pytest.approx(mean_interval(draws))


def test_the_interval_over_samples_and_draws_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        samples, draws = rng.normal(size=(60, 1)), 0.3 * rng.normal(size=(1, 5))
        _, low, high = crossed_interval(samples + draws + rng.normal(size=(60, 5)))
        covered += low <= 0 <= high
    assert 0.92 < covered / 400 < 0.99
