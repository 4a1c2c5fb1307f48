"""Fidelity: by hand, at its ends, and with intervals that hold what they promise."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from optim.errors import MeasurementError
from optim.measure.fidelity import fidelity
from optim.quantity import How


@pytest.fixture
def outputs():
    return np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)


def test_a_model_follows_itself_exactly(outputs):
    found = fidelity(outputs, outputs.copy())
    assert found.agreement.value == 1.0
    assert found.divergence.value == pytest.approx(0.0, abs=1e-12)
    assert found.cosine.value == pytest.approx(1.0)
    assert found.sqnr is None, "there is no difference to relate to"


def test_figures_by_hand():
    original = np.array([[3.0, 4.0], [1.0, 0.0]])
    candidate = np.array([[4.0, 3.0], [1.0, 0.0]])
    found = fidelity(original, candidate)
    assert found.agreement.value == 0.5
    assert found.cosine.value == pytest.approx((24 / 25 + 1) / 2)
    assert found.sqnr.value == pytest.approx(10 * np.log10(26 / 2))
    own, other = softmax(original, axis=1), log_softmax(candidate, axis=1)
    expected = (own * (np.log(own) - other)).sum(1).mean()
    assert found.divergence.value == pytest.approx(expected)
    assert (found.agreement.n, found.sqnr.n) == (2, 2)


def test_a_tenth_of_the_noise_is_twenty_decibels_more(outputs):
    noise = np.random.default_rng(1).normal(size=outputs.shape)
    loud, quiet = (fidelity(outputs, outputs + share * noise).sqnr for share in (0.1, 0.01))
    assert quiet.value - loud.value == pytest.approx(20.0)
    assert loud.value == pytest.approx(20.0, abs=1.0)


def test_scaling_changes_the_sqnr_and_no_choice(outputs):
    found = fidelity(outputs, 2 * outputs)
    assert found.agreement.value == 1.0
    assert found.cosine.value == pytest.approx(1.0)
    assert found.sqnr.value == pytest.approx(0.0)


def test_intervals_hold_the_true_value_about_as_often_as_they_say():
    generator = np.random.default_rng(2)
    hits, rounds = 0, 200
    for _ in range(rounds):
        scale = generator.gamma(2.0, size=(80, 1))
        original = generator.normal(size=(80, 4)) * scale
        candidate = original + 0.1 * generator.normal(size=(80, 4)) * scale
        sqnr = fidelity(original, candidate).sqnr
        hits += sqnr.low <= 20.0 <= sqnr.high
    assert 0.87 <= hits / rounds <= 1.0


def test_outputs_that_are_no_classes_have_no_agreement():
    images = np.random.default_rng(3).normal(size=(6, 1, 4, 4))
    found = fidelity(images, images + 0.1, classes=False)
    assert found.agreement is None
    assert found.divergence is None
    assert found.sqnr is not None
    assert fidelity(images[:, :, 0, 0], images[:, :, 0, 0] + 1, classes=False).cosine.n == 6


def test_silence_is_followed_only_by_silence():
    silence = np.zeros((3, 2))
    assert fidelity(silence, silence).cosine.value == 1.0
    assert fidelity(silence, silence + 1).cosine.value == 0.0
    assert fidelity(silence, silence + 1).sqnr is None


def test_the_origin_and_the_json_form(outputs):
    found = fidelity(outputs, outputs + 0.1, how=How.SIMULATED)
    data = found.to_json()
    assert set(data) == {"agreement", "divergence", "sqnr", "cosine"}
    assert {figure["how"] for figure in data.values()} == {"simulated"}
    assert str(found.sqnr).endswith(" dB")
    assert fidelity(outputs, outputs).to_json()["sqnr"] is None


@pytest.mark.parametrize(
    ("original", "candidate", "options", "words"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), {}, "outputs of one shape"),
        (np.zeros((2, 3)), np.zeros((3, 3)), {}, "2 and 3 samples"),
        (np.zeros((0, 3)), np.zeros((0, 3)), {}, "at least one sample"),
        (np.zeros((2, 1)), np.zeros((2, 1)), {}, "samples, classes"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), {}, "candidate model gives outputs"),
        (np.full((2, 3), np.inf), np.zeros((2, 3)), {"classes": False}, "original model gives"),
    ],
)
def test_what_cannot_be_compared_is_refused(original, candidate, options, words):
    with pytest.raises(MeasurementError, match=words):
        fidelity(original, candidate, **options)
