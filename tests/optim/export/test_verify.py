"""A file is measured in its runtime before anybody gets it, and refused if it differs."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from optim.data import Outputs, Samples
from optim.data.task import NO_LABEL
from optim.errors import Cancelled, ExportError, ParityError
from optim.export.deploy import onnx_bytes
from optim.export.verify import MAX_POINTS, MIN_AGREEMENT, MIN_SQNR_DB, Verification, verify_file
from optim.quantity import Comparison, Quantity
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, data_for, tiny_bundle


@pytest.fixture(scope="module")
def quantized(trained):
    bundle, data = trained
    return Quantize(samples=128).apply(bundle, context_for(bundle, data=data)).bundle


@pytest.fixture(scope="module")
def samples(trained):
    _, data = trained
    train, validation = data.part("train"), data.part("validation")
    both = [
        np.concatenate([getattr(part, name) for part in (validation, train)])[:1000]
        for name in ("inputs", "targets", "ids")
    ]
    return Samples(*both)


def damaged(file, layer, change):
    """Change the stored integers of one layer."""
    model = onnx.load_from_string(file)
    tensor = next(t for t in model.graph.initializer if t.name == f"{layer}.weight_quantized")
    values = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.int8), tensor.name))
    return model.SerializeToString()


def test_a_sound_file_passes_and_says_what_was_measured(quantized, samples):
    found = verify_file(onnx_bytes(quantized), quantized, samples)
    found.require()
    assert found.problem == ""
    assert found.agreement.low >= MIN_AGREEMENT
    assert found.accuracy.n == len(samples)
    assert found.size.value == len(onnx_bytes(quantized))
    data = json.loads(json.dumps(found.to_json()))
    assert data["passed"] is True
    assert data["runtime"].startswith("ONNX Runtime")
    assert found.accuracy.how == "measured"


def test_a_damaged_file_is_refused_with_the_reason(quantized, samples):
    def flip(values):
        values[: len(values) // 2] = 0
        return values

    file = damaged(onnx_bytes(quantized), "layer3.0.conv1", flip)
    found = verify_file(file, quantized, samples)
    assert found.agreement.low < MIN_AGREEMENT
    assert found.to_json()["passed"] is False
    with pytest.raises(ParityError, match="at least 99% must be certain") as caught:
        found.require()
    assert "more bits" in caught.value.hint


def test_a_file_of_another_model_is_refused(quantized, samples):
    def shuffle(values):
        return np.roll(values, 1, axis=0)

    file = damaged(onnx_bytes(quantized), "linear", shuffle)
    with pytest.raises(ParityError):
        verify_file(file, quantized, samples).require()


def test_what_the_runtime_cannot_load_is_refused(quantized, samples):
    with pytest.raises(ExportError, match="cannot load the model"):
        verify_file(onnx_bytes(quantized)[:-200], quantized, samples)


def test_few_labelled_samples_are_joined_by_others_so_that_agreement_is_certain(quantized, samples):
    few = samples.take(np.arange(40))
    found = verify_file(onnx_bytes(quantized), quantized, few)
    assert found.accuracy.n == 40
    assert found.agreement.n == 1000
    more = verify_file(onnx_bytes(quantized), quantized, few, more=samples)
    assert more.agreement.n == 1000
    more.require()


def test_without_labels_a_file_is_held_against_the_simulation_alone(quantized, samples):
    blind = replace(samples, targets=np.full(len(samples), NO_LABEL))
    found = verify_file(onnx_bytes(quantized), quantized, blind)
    found.require()
    assert found.accuracy is None
    assert found.change is None
    assert found.agreement.low >= MIN_AGREEMENT
    assert found.found.startswith("same class as simulated for")
    assert json.loads(json.dumps(found.to_json()))["accuracy"] is None


def test_outputs_that_are_no_classes_are_held_against_the_simulations(quantized, samples):
    few = replace(samples, targets=np.full(len(samples), NO_LABEL)).take(np.arange(100))
    numbers = replace(quantized, task=Outputs())
    found = verify_file(onnx_bytes(quantized), numbers, few)
    found.require()
    assert found.agreement is None
    assert found.sqnr is None or found.sqnr.n == 100

    def louder(values):
        return np.clip(values * 1.5, -128, 127)

    file = damaged(onnx_bytes(quantized), "linear", louder)
    wrong = verify_file(file, numbers, few)
    assert wrong.sqnr.low < MIN_SQNR_DB
    with pytest.raises(ParityError, match="at least 20 dB must be certain"):
        wrong.require()


def test_verifying_can_be_stopped(quantized, samples):
    def stop():
        raise Cancelled

    with pytest.raises(Cancelled):
        verify_file(onnx_bytes(quantized), quantized, samples, check=stop)


def made(agreement_low=0.995, low=-0.3, high=0.3):
    exact = Quantity.exact
    value = (low + high) / 2
    return Verification(
        "R",
        exact(0.9, "fraction"),
        Comparison(Quantity(value, "points", low, high, 1000), "higher"),
        Quantity(1.0, "fraction", agreement_low, 1.0, 1000),
        0.1,
        exact(10, "bytes"),
        exact(1, "ms"),
    )


@pytest.mark.parametrize(
    ("verification", "passes"),
    [
        (made(), True),
        (made(agreement_low=0.99), True),
        (made(agreement_low=0.9899), False),
        (made(low=-2, high=2), True),
        (made(low=-MAX_POINTS - 1, high=-MAX_POINTS - 0.01), False),
        (made(low=MAX_POINTS + 0.01, high=MAX_POINTS + 1), False),
        (made(low=-1, high=-MAX_POINTS), True),
    ],
)
def test_the_limits_are_those_that_are_promised(verification, passes):
    assert (verification.problem == "") is passes
    if not passes:
        with pytest.raises(ParityError):
            verification.require()


def test_the_file_of_a_detector_is_judged_by_what_it_finds_in_its_runtime():
    bundle = tiny_bundle("detector")
    samples = data_for(bundle).part("validation")
    found = verify_file(onnx_bytes(bundle), bundle, samples)
    found.require()
    assert (found.accuracy, found.agreement) == (None, None)
    assert found.precision.n == found.change.difference.n == len(samples)
    assert found.found.startswith("mAP ")
    assert found.to_json()["map"] == found.precision.to_json()
    moved = Comparison(Quantity(-2.0, "points", -3.0, -1.0, 64), better="higher")
    assert "the file's mAP differs by" in replace(found, change=moved).problem
