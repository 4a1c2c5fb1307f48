"""Vibration series: right frequencies, same bytes, neither trivial nor impossible."""

import hashlib

import numpy as np
import pytest

from optim.data import bearing, open_data
from optim.data.bearing import RATE_HZ, fault_orders


def linear_accuracy(features, data):
    """Accuracy on validation of a least-squares classifier of train features."""
    train, validation = data.part("train"), data.part("validation")
    x, y = features(train.inputs[:, 0]), np.eye(4)[train.targets]
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    weights = np.linalg.lstsq((x - mean) / spread, y - 0.25, rcond=None)[0]
    scores = (features(validation.inputs[:, 0]) - mean) / spread @ weights
    return np.mean(scores.argmax(axis=1) == validation.targets)


def envelope_spectrum(series):
    """Spectrum of the power that is left when everything below 1.5 kHz is taken away."""
    spectrum = np.fft.rfft(series)
    spectrum[:, np.fft.rfftfreq(series.shape[1], 1 / RATE_HZ) < 1_500] = 0
    power = np.fft.irfft(spectrum) ** 2
    return np.log(np.abs(np.fft.rfft(power))[:, :100] + 1e-3)


def test_fault_orders_are_those_published_for_the_6205_bearing():
    published = {"inner race": 5.4152, "outer race": 3.5848, "ball": 4.7135, "cage": 0.39828}
    assert fault_orders() == pytest.approx(published, abs=1e-4)


def test_strike_rings_as_a_damped_sine():
    frequency, damping = 2 * np.pi * 3_000, 0.05
    series = bearing._ringing(*np.float64([[[0]], [[2]], [[frequency]], [[damping]]]))
    t = np.arange(100) / RATE_HZ
    expected = 2 * np.exp(-damping * frequency * t) * np.sin(frequency * t)
    np.testing.assert_allclose(series[0, :100], expected, atol=1e-12)


def test_strike_before_the_series_begins_is_heard_in_it():
    early = np.float64([[-5 / RATE_HZ]])
    parameters = np.float64([[[1]], [[2 * np.pi * 3_000]], [[0.05]]])
    whole = bearing._ringing(np.zeros((1, 1)), *parameters)
    np.testing.assert_allclose(
        bearing._ringing(early, *parameters)[0, :100], whole[0, 5:105], atol=1e-12
    )


def test_strike_after_the_series_ends_is_not_heard():
    late = np.float64([[1.0]])
    assert not bearing._ringing(late, *np.float64([[[1]], [[20_000]], [[0.05]]])).any()


def test_series_begin_with_the_bytes_they_always_had():
    series = np.asarray(open_data("bearing").part("validation").inputs[:100])
    checksum = "1206bfe5adb07368dbc91652ba56b3405e184fea2f99bbdaf91fc9e9fbdb1386"
    assert hashlib.sha256(series.tobytes()).hexdigest() == checksum


def test_samples_lie_on_a_coarse_grid():
    series = open_data("bearing").part("validation").inputs
    np.testing.assert_array_equal(series * 1_024, np.rint(series * 1_024))


def test_classes_are_exactly_balanced():
    assert np.bincount(open_data("bearing").part("test").targets).tolist() == [500] * 4


def test_raw_samples_tell_a_linear_model_little():
    assert linear_accuracy(lambda series: series, open_data("bearing")) < 0.35


def test_envelope_spectrum_tells_even_a_linear_model_much():
    assert linear_accuracy(envelope_spectrum, open_data("bearing")) > 0.6


def test_noise_hides_the_faults():
    clear, noisy = (open_data(f"bearing?noise={noise}") for noise in (0, 0.5))
    assert linear_accuracy(envelope_spectrum, clear) > 0.2 + linear_accuracy(
        envelope_spectrum, noisy
    )
