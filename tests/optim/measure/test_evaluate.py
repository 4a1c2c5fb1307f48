"""Running models on samples: torch, simulation and runtime say the same of the same samples."""

from dataclasses import replace

import numpy as np
import pytest

from optim.errors import Cancelled, DataError
from optim.export.deploy import onnx_bytes
from optim.measure.evaluate import predict, predict_in_runtime, samples_at_once
from optim.models.bundle import GraphModel
from optim.models.input_spec import InputSpec
from optim.quantity import How
from optim.runtime.session import InferenceSession
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, data_for, tiny_bundle


def test_a_model_is_run_on_every_device(bundle, device):
    samples = data_for(bundle).part("validation")
    found = predict(bundle, samples)
    assert found.outputs.shape == (64, bundle.task.n_numbers)
    assert np.array_equal(found.ids, samples.ids)
    assert found.how is How.MEASURED
    x = bundle.spec.normalise(samples.inputs)
    expected = bundle.simulated()(x).detach().numpy()
    np.testing.assert_allclose(found.outputs, expected, atol=1e-3 if device == "cuda" else 1e-4)


def test_batches_do_not_change_the_outputs(tiny_mlp):
    batch = samples_at_once(tiny_mlp)
    samples = data_for(tiny_mlp, validation=2 * batch + 3).part("validation")
    whole = predict(tiny_mlp, samples)
    for index in (0, batch - 1, batch, 2 * batch + 2):
        alone = predict(tiny_mlp, samples.take(np.array([index])))
        np.testing.assert_allclose(alone.outputs[0], whole.outputs[index], atol=1e-5)


def test_large_samples_are_evaluated_a_few_at_once(tiny_mlp):
    large = replace(tiny_mlp, spec=InputSpec((3, 512, 512)))
    assert samples_at_once(tiny_mlp) == 256
    assert samples_at_once(large) * 3 * 512 * 512 <= 2**23
    assert samples_at_once(replace(tiny_mlp, spec=InputSpec((2**24,)))) == 1


def test_quantized_models_are_simulated_and_say_so(tiny_cnn):
    quantized = Quantize(samples=32).apply(tiny_cnn, context_for(tiny_cnn)).bundle
    samples = data_for(tiny_cnn).part("validation")
    assert predict(quantized, samples).how is How.SIMULATED
    session = InferenceSession.open(onnx_bytes(quantized))
    assert predict_in_runtime(session, quantized, samples).how is How.MEASURED


def test_an_onnx_file_is_run_by_the_runtime(tiny_cnn):
    samples = data_for(tiny_cnn).part("validation")
    graph = replace(tiny_cnn, content=GraphModel(onnx_bytes(tiny_cnn)))
    np.testing.assert_allclose(
        predict(graph, samples).outputs, predict(tiny_cnn, samples).outputs, atol=1e-4
    )


def test_evaluation_can_be_stopped(tiny_mlp):
    def stop():
        raise Cancelled

    with pytest.raises(Cancelled):
        predict(tiny_mlp, data_for(tiny_mlp).part("test"), check=stop)


def test_samples_that_do_not_fit_are_refused(tiny_mlp):
    with pytest.raises(DataError, match="takes inputs of shape"):
        predict(tiny_mlp, data_for(tiny_bundle("cnn-1d")).part("test"))
