"""Numbers that say what they are; comparisons that claim no more than they know."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optim.errors import ConfigError
from optim.quantity import UNITS, Comparison, How, Quantity, format_at_least, format_value


@pytest.mark.parametrize(
    ("low", "value", "high"),
    [(2, 1, 3), (0, 4, 3), (math.nan, 1, 2), (0, math.nan, 2), (0, 1, math.nan)],
)
def test_an_interval_holds_its_value(low, value, high):
    with pytest.raises(ConfigError, match="low <= value <= high"):
        Quantity(value, "ms", low, high)


def test_units_are_known():
    with pytest.raises(ConfigError, match=r"unit must be one of .*'parsec'") as caught:
        Quantity.exact(1, "parsec")
    assert caught.value.field == "unit"


def test_origins_are_known():
    with pytest.raises(ValueError, match="guessed"):
        Quantity(1, "ms", 1, 1, how="guessed")


def test_two_quantities_cannot_be_subtracted():
    with pytest.raises(TypeError, match="needs the samples"):
        Quantity.exact(2, "ms") - Quantity.exact(1, "ms")
    with pytest.raises(TypeError):
        2 - Quantity.exact(1, "ms")


@given(
    value=st.floats(-1e12, 1e12),
    below=st.floats(0, 1e6),
    above=st.floats(0, 1e6),
    unit=st.sampled_from(sorted(UNITS)),
    how=st.sampled_from(How),
    n=st.none() | st.integers(1, 10**6),
)
def test_a_quantity_comes_back_from_json(value, below, above, unit, how, n):
    original = Quantity(value, unit, value - below, value + above, n, how)
    data = json.loads(json.dumps(original.to_json()))
    assert Quantity.from_json(data) == original
    assert set(data) == {"value", "low", "high", "n", "unit", "how"}
    assert str(original)


@pytest.mark.parametrize(
    ("value", "unit", "half", "text"),
    [
        (0.8103, "fraction", 0.0078, "81.0 ± 0.8 %"),
        (0.8103, "fraction", None, "81.0 %"),
        (1.0, "fraction", None, "100 %"),
        (-0.6, "points", 0.4, "-0.6 ± 0.4 points"),
        (0.0421, "ms", None, "42.1 µs"),
        (1234.0, "ms", None, "1.23 s"),
        (12.34, "ms", 0.5, "12.3 ± 0.5 ms"),
        (999, "bytes", None, "999 B"),
        (205_432, "bytes", None, "205 kB"),
        (1_234_567, "bytes", None, "1.23 MB"),
        (40_551_040, "macs", None, "40.6 M MACs"),
        (269_722, "params", None, "270 k"),
        (0.5, "x", None, "0.500x"),
        (90, "s", None, "1.50 min"),
        (0.00001, "j", None, "10.0 µJ"),
        (7, "count", None, "7"),
        (7, "bytes", None, "7 B"),
        (math.nan, "ms", None, "not measured"),
        (math.inf, "ms", None, "not measured"),
        (-0.0001, "points", 0.5, "0.0 ± 0.5 points"),
        (3.0, "points", math.nan, "3.00 points"),
    ],
)
def test_numbers_are_written_for_a_reader(value, unit, half, text):
    assert format_value(value, unit, half) == text


def difference(value, low, high, unit="points", better="higher"):
    return Comparison(Quantity(value, unit, low, high, 100), better)


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (3.0, 1.0, 20.0, "3.00 ms (1.00 ms to 20.0 ms)"),
        (3.0, 2.0, 4.0, "3 ± 1 ms"),
        (3.0, 1.0, 5.0, "3 ± 2 ms"),
    ],
)
def test_no_interval_reaches_below_what_can_be(value, low, high, text):
    assert str(Quantity(value, "ms", low, high)) == text


@pytest.mark.parametrize(
    ("change", "direction", "words"),
    [
        (difference(-0.1, -0.6, 0.4), "same", "no difference beyond noise (-0.1 ± 0.5 points)"),
        (difference(0.2, -0.3, 0.7), "same", "no difference beyond noise (+0.2 ± 0.5 points)"),
        (difference(-1.0, -1.4, -0.6), "worse", "loses 1.0 ± 0.4 points"),
        (difference(1.0, 0.6, 1.4), "better", "gains 1.0 ± 0.4 points"),
        (difference(0, 0, 0), "same", "no difference"),
        (difference(0.5, 0.4, 0.6, "x", "lower"), "better", "2.0 ± 0.4x less"),
        (difference(2.0, 1.8, 2.2, "x", "lower"), "worse", "2.0 ± 0.2x more"),
        (
            difference(1.0, 0.9, 1.1, "x", "lower"),
            "same",
            "no difference beyond noise (1.0 ± 0.1x)",
        ),
        (difference(1, 1, 1, "x", "lower"), "same", "no difference"),
    ],
)
def test_a_comparison_in_words(change, direction, words):
    assert change.direction == direction
    assert change.verdict() == words
    assert Comparison.from_json(json.loads(json.dumps(change.to_json()))) == change


@given(value=st.floats(-50, 50), half=st.floats(0.001, 20))
def test_noise_is_never_called_a_change(value, half):
    change = difference(value, value - half, value + half)
    touches = value - half <= 0 <= value + half
    assert change.beyond_noise == (not touches)
    assert ("no difference" in change.verdict()) == touches


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (40_036, "bytes", "40.1 kB"),
        (40_000, "bytes", "40.0 kB"),
        (130, "bytes", "130 B"),
        (2.00419, "points", "2.01 points"),
        (0.07, "points", "0.070 points"),
        (0.1 + 0.2, "points", "0.300 points"),
        (999_999, "bytes", "1.00 MB"),
        (0.0, "points", "0.0 points"),
        (float("nan"), "bytes", "not measured"),
    ],
)
def test_what_has_to_be_allowed_is_rounded_up(value, unit, text):
    assert format_at_least(value, unit) == text


def test_a_ratio_of_nothing_is_said_as_it_is():
    assert Comparison(Quantity.exact(0.0, "x"), better="lower").verdict() == "0.0x of it"
    unsure = Comparison(Quantity(0.2, "x", -0.1, 0.5, n=5), better="lower")
    assert unsure.verdict() == "0.2 ± 0.3x of it"
