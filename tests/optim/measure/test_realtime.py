"""Whether answers come in time, on times that are given."""

import numpy as np
import pytest

from optim.errors import ConfigError
from optim.measure.realtime import alarms, real_time

TIMES = np.array([1.0, 1.0, 1.0, 2.0, 5.0, 1.0, 1.0, 1.0])


def test_the_deadline_is_hop_over_rate():
    found = real_time(TIMES, hop=1_024, rate_hz=12_000)
    assert found.deadline.value == pytest.approx(85.333, abs=0.001)
    assert found.deadline.is_exact
    assert found.missed.value == 0
    assert found.missed.high > 0, "eight answers in time do not promise the ninth"


def test_answers_that_take_longer_than_the_deadline_are_missed():
    found = real_time(TIMES, hop=30, rate_hz=20_000)
    assert found.deadline.value == 1.5
    assert found.missed.value == 2 / 8
    assert found.load.value == pytest.approx(1 / 1.5)


def test_a_model_that_never_keeps_up_has_a_load_above_one():
    found = real_time(TIMES, hop=1, rate_hz=10_000)
    assert found.missed.value == 1
    assert found.load.value == pytest.approx(10)


@pytest.mark.parametrize(("hop", "rate", "name"), [(0, 1.0, "hop"), (1, -1.0, "rate_hz")])
def test_no_hop_and_no_rate_are_refused(hop, rate, name):
    with pytest.raises(ConfigError, match=f"{name} must be above 0"):
        real_time(TIMES, hop, rate)


def test_no_times_are_refused():
    with pytest.raises(ConfigError, match="at least one measured time"):
        real_time(np.array([]), 1, 1.0)


def test_alarms_are_right_where_they_are_due():
    found = alarms(np.array([1, 0, 2, 1]), np.array([1, 1, 1, 0]), quiet=0)
    assert [each.value for each in (found.due, found.right, found.false)] == [3, 2, 1]
