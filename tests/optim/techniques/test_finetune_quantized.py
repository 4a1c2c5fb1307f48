"""Training on the grid wins back what rounding cost, keeps masks, and stays what is deployed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from optim.data import trained_on
from optim.errors import CalibrationError, UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.export.targets import TARGETS
from optim.layers.rewrite import weights_of
from optim.measure.evaluate import predict
from optim.models.bundle import GraphModel
from optim.runtime.session import InferenceSession
from optim.techniques.finetune_quantized import FineTuneQuantized
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.share_weights import ShareWeights
from tests.helpers import (
    assert_similar,
    context_for,
    data_for,
    inputs_for,
    outputs_of,
    tiny_bundle,
)

QUICK = {"epochs": 1, "batch_size": 32}


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_bits": 3, "activation_bits": 4},
        {"weight_bits": 3, "activation_bits": 4, "granularity": "per_tensor"},
        {"weight_bits": "ternary", "activation_bits": 8},
    ],
    ids=str,
)
def test_it_beats_post_training_quantization(settings, trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    samples = data.part("validation")
    rounded = Quantize(**settings).apply(bundle, context).bundle
    learned = FineTuneQuantized(epochs=2).apply(rounded, context).bundle
    change = predict(learned, samples).against(predict(rounded, samples))
    assert change.direction == "better"
    assert change.difference.low > 2
    assert predict(learned, samples).accuracy().value > 0.9


def test_it_wins_also_where_rounding_cost_little(trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    samples = data.part("validation")
    four = Quantize(weight_bits=4, activation_bits=4, granularity="per_tensor")
    rounded = four.apply(bundle, context).bundle
    learned = FineTuneQuantized(epochs=2).apply(rounded, context).bundle
    assert predict(learned, samples).against(predict(rounded, samples)).direction == "better"
    assert predict(learned, samples).accuracy().value > 0.9


def test_at_eight_bits_there_is_nothing_to_win_and_nothing_is_lost(trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    samples = data.part("validation")
    rounded = Quantize().apply(bundle, context).bundle
    learned = FineTuneQuantized(epochs=1).apply(rounded, context).bundle
    assert abs(predict(learned, samples).against(predict(rounded, samples)).difference.value) <= 1


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_bits": 3, "activation_bits": 4},
        {"weight_bits": "ternary"},
        {"weight_bits": 4, "granularity": "per_group", "group_size": 8},
        {"weight_bits": 2, "activation_bits": "float"},
        {"layers": {"linear": "float"}},
    ],
    ids=str,
)
def test_what_was_learned_runs_in_the_runtime_as_simulated(settings, trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    rounded = Quantize(samples=64, **settings).apply(bundle, context).bundle
    learned = FineTuneQuantized(epochs=1).apply(rounded, context).bundle
    x = bundle.spec.normalise(data.part("validation").inputs[:200])
    simulated = outputs_of(learned, x).numpy()
    deployed = InferenceSession.open(onnx_bytes(learned)).run(x.numpy())
    assert np.abs(deployed - simulated).mean() <= 0.02 * simulated.std()
    assert (deployed.argmax(1) == simulated.argmax(1)).mean() > 0.98


def test_grids_keep_their_form_and_their_steps_are_learned(tiny_cnn):
    context = context_for(tiny_cnn)
    rounded = Quantize(weight_bits=3, samples=32).apply(tiny_cnn, context).bundle
    learned = FineTuneQuantized(**QUICK).apply(rounded, context).bundle
    old, new = rounded.table, learned.table
    assert list(new.weights) == list(old.weights)
    assert list(new.edges) == list(old.edges)
    for name, entry in new.weights.items():
        assert entry.grid == old.weights[name].grid
        assert torch.equal(entry.zero_point, old.weights[name].zero_point)
        assert not torch.equal(entry.scale, old.weights[name].scale)
    for name, edge in new.edges.items():
        assert (edge.grid, edge.zero_point) == (old.edges[name].grid, old.edges[name].zero_point)
    assert any(new.edges[name].scale != old.edges[name].scale for name in new.edges)


def test_pruned_weights_stay_zero(tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.6).apply(tiny_cnn, context).bundle
    rounded = Quantize(weight_bits=4, samples=32).apply(sparse, context).bundle
    learned = FineTuneQuantized(**QUICK).apply(rounded, context).bundle
    simulated = learned.simulated()
    for name, weight in weights_of(learned.module).items():
        mask = sparse.table.masks[name]
        assert not weight[~mask].any()
        assert not simulated.get_parameter(f"{name}.weight")[~mask].any()


def test_without_a_soft_weight_the_original_is_not_asked(tiny_mlp):
    context = context_for(tiny_mlp)
    rounded = Quantize(weight_bits=4, samples=32).apply(tiny_mlp, context).bundle
    nobody = replace(tiny_mlp, content=GraphModel(b""))
    alone = replace(context, reference=nobody)
    FineTuneQuantized(alpha=0, **QUICK).apply(rounded, alone)
    with pytest.raises(UnsupportedModelError):
        FineTuneQuantized(alpha=0.5, **QUICK).apply(rounded, alone)


def test_what_it_has_seen_is_declared_and_test_samples_are_never_read(tiny_mlp):
    data = data_for(tiny_mlp)
    context = context_for(tiny_mlp, data=data)
    rounded = Quantize(samples=32).apply(tiny_mlp, context).bundle
    learned = FineTuneQuantized(**QUICK).apply(rounded, context).bundle
    assert learned.provenance.seen == trained_on(data)
    assert "test" not in data._loaded


def test_unsplit_data_cannot_train(tiny_mlp):
    data = data_for(tiny_mlp)
    rounded = Quantize(samples=32).apply(tiny_mlp, context_for(tiny_mlp, data=data)).bundle
    unsplit = replace(data, parts={"all": 64}, load=lambda part: data.part("train"))
    with pytest.raises(CalibrationError, match="no training part"):
        FineTuneQuantized(**QUICK).apply(rounded, context_for(tiny_mlp, data=unsplit))


def test_layers_in_floating_point_are_trained_and_named(tiny_cnn):
    context = context_for(tiny_cnn)
    rounded = Quantize(weight_bits=4, samples=32, layers={"conv1": "float"}).apply(
        tiny_cnn, context
    )
    report = FineTuneQuantized(**QUICK).apply(rounded.bundle, context).report
    details = {layer.layer: layer.detail for layer in report.layers}
    assert details["conv1"] == "trained in floating point"
    assert details["linear"].startswith("trained on its grid, steps moved by ")


@pytest.mark.parametrize("family", ["resnet", "mobilenet", "mlp", "cnn-1d", "lenet-5"])
@pytest.mark.parametrize("bias_bits", [0, 3])
def test_what_was_trained_as_shared_is_what_the_model_is_without_its_codebooks(family, bias_bits):
    bundle = tiny_bundle(family)
    context = context_for(bundle)
    share = ShareWeights(bits=2, **({"bias_bits": bias_bits} if bias_bits else {}))
    shared = share.apply(bundle, context).bundle
    learned = FineTuneQuantized(**QUICK).apply(shared, context).bundle
    x = inputs_for(bundle)
    expected = outputs_of(learned, x)
    assert not torch.allclose(expected, outputs_of(shared, x), atol=1e-3), "it was trained"
    for target in ("onnx_float", "qonnx", "openvino"):
        plain = TARGETS[target].deployed(learned)
        assert not plain.table.codebooks
        assert_similar(outputs_of(plain, x), expected, times=30)
    with torch.inference_mode():
        assert_similar(learned.module(x), expected, times=30)
