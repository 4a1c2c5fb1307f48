"""An estimate never looks like a measurement, and follows the MACs."""

import pytest

from optim.quantity import How, Quantity
from optim.techniques.quantize import Quantize
from optim.whatif.latency import estimate
from tests.helpers import context_for

BASELINE = Quantity(1.0, "ms", 0.9, 1.1, 40)


def test_it_says_that_it_is_one(tiny_cnn):
    pair = estimate(BASELINE, 1000, tiny_cnn, 500, 10)
    assert pair.candidate.how is How.ESTIMATED
    assert pair.change.difference.how is How.ESTIMATED
    assert pair.candidate.n is None
    assert pair.baseline is BASELINE


def test_fewer_macs_take_less_time_and_none_take_some(tiny_cnn):
    times = [estimate(BASELINE, 1000, tiny_cnn, m, 10).candidate.value for m in (1000, 500, 0)]
    assert times == sorted(times, reverse=True)
    assert times[0] == pytest.approx(1.0)
    assert times[2] == pytest.approx(10 * 0.002)


def test_a_network_that_multiplies_nothing_takes_as_long_as_before(tiny_cnn):
    pair = estimate(BASELINE, 0, tiny_cnn, 0, 0)
    assert pair.candidate.value == pytest.approx(BASELINE.value)
    assert pair.change.direction == "same"


def test_the_interval_holds_the_value_and_is_wide(tiny_cnn):
    quantized = Quantize(samples=32).apply(tiny_cnn, context_for(tiny_cnn)).bundle
    for bundle in (tiny_cnn, quantized):
        found = estimate(BASELINE, 1000, bundle, 400, 10).candidate
        assert found.low < 0.8 * found.value
        assert found.high > 1.2 * found.value


def test_integers_are_thought_to_be_faster(tiny_cnn):
    quantized = Quantize(samples=32).apply(tiny_cnn, context_for(tiny_cnn)).bundle
    plain = estimate(BASELINE, 1000, tiny_cnn, 1000, 10).candidate.value
    assert estimate(BASELINE, 1000, quantized, 1000, 10).candidate.value < plain
