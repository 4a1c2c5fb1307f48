"""Inputs made for a model: they have the statistics its batch norms remember, and tell more than
noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from optim.data import Generated, Unlabelled, overlap
from optim.errors import CalibrationError
from optim.export.deploy import onnx_bytes
from optim.layers.rewrite import norm_layers
from optim.measure import generated
from optim.measure.evaluate import predict
from optim.measure.generated import divergence, generated_data, matched_inputs
from optim.models.bundle import GraphModel
from optim.models.input_spec import InputSpec
from optim.models.open import open_model
from optim.recipe import Recipe
from optim.step import Context
from optim.subject import open_subject
from optim.techniques.correct_bias import CorrectBias
from optim.techniques.finetune import FineTune
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm
from tests.helpers import assert_unchanged, frozen, inputs_for, tiny_bundle

FEW = Generated(samples=64)


def made(bundle, config=FEW):
    data = generated_data(bundle, config, "generated")
    return data, data.part("all")


def distances(module, x):
    """Return how far activations are from what each batch norm remembers."""
    found = []
    hooks = [
        layer.register_forward_pre_hook(
            lambda layer, args: found.append(float(divergence(args[0], layer)))
        )
        for layer in norm_layers(module).values()
    ]
    with torch.inference_mode():
        module(x)
    for hook in hooks:
        hook.remove()
    return np.array(found)


def test_the_divergence_of_two_normal_distributions_by_hand():
    norm = nn.BatchNorm1d(1, eps=0.0).eval()
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    same = torch.tensor([[-1.0], [3.0]])
    assert float(divergence(same, norm)) == pytest.approx(0.0, abs=1e-6)
    found = float(divergence(torch.tensor([[1.0], [3.0]]), norm))
    assert found == pytest.approx((math.log(4) + (1 + 1) / 4 - 1) / 2, abs=1e-6)


@pytest.mark.parametrize(
    "family", ["resnet", pytest.param("mobilenet", marks=pytest.mark.slow), "mlp", "cnn-1d"]
)
def test_matched_inputs_come_nearer_to_the_statistics_and_leave_the_model_as_it_was(family):
    bundle = tiny_bundle(family)
    before = frozen(bundle)
    noise = inputs_for(bundle, 64)
    x = matched_inputs(bundle.module, noise, 20)
    assert_unchanged(bundle, before)
    assert x.shape == noise.shape
    assert distances(bundle.module, x).sum() < 0.85 * distances(bundle.module, noise).sum()


def test_they_are_raw_samples_that_the_models_input_normalises_again(tiny_cnn):
    data, samples = made(tiny_cnn)
    assert samples.inputs.dtype == np.float32
    assert isinstance(data.task, Unlabelled)
    assert not samples.is_labelled
    assert len(np.unique(samples.ids)) == FEW.samples == data.parts["all"]
    noise = torch.randn(64, *tiny_cnn.spec.shape, generator=torch.Generator().manual_seed(0))
    steps = generated._plan(tiny_cnn, FEW.samples)[0]
    expected = matched_inputs(tiny_cnn.module, noise, steps)
    torch.testing.assert_close(tiny_cnn.spec.normalise(samples.inputs), expected)


def test_the_same_model_and_seed_get_the_same_inputs_and_others_get_others(tiny_mlp):
    data, samples = made(tiny_mlp)
    again = generated_data(tiny_mlp, FEW, "generated").load("all")
    assert np.array_equal(again.inputs, samples.inputs)
    other, drawn = made(tiny_mlp, Generated(samples=64, seed=1))
    assert not np.array_equal(drawn.inputs, samples.inputs)
    hashes = {data.hash, other.hash, generated_data(tiny_bundle("ds-cnn"), FEW, "g").hash}
    assert len(hashes) == 3


def test_no_model_has_seen_what_was_made_after_it(tiny_mlp):
    data, _ = made(tiny_mlp)
    assert overlap(data, "all", None) == "unseen"


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (tiny_bundle("resnet"), "matched to the statistics of the model's 7 batch norms"),
        (tiny_bundle("vit"), "normal noise: the model has no batch norm"),
        (tiny_bundle("lenet-5"), "normal noise: the model has no batch norm"),
    ],
    ids=["resnet", "vit", "lenet-5"],
)
def test_the_note_says_what_the_inputs_are(bundle, words):
    data, _ = made(bundle)
    assert words in data.notes[0]


def test_an_onnx_graph_gets_noise_of_the_spread_its_input_has(tiny_cnn):
    graph = replace(tiny_cnn, content=GraphModel(onnx_bytes(tiny_cnn)))
    data, samples = made(graph, Generated(samples=256))
    assert "kept as an ONNX graph" in data.notes[0]
    assert samples.inputs.mean() == pytest.approx(127.5, abs=2)
    assert samples.inputs.std() == pytest.approx(0.25 * 255, abs=2)


def test_a_model_too_large_to_be_matched_gets_noise_and_is_told_so(tiny_cnn, monkeypatch):
    monkeypatch.setattr(generated, "_BUDGET_MACS", 1e6)
    assert "too large to match 64 inputs" in made(tiny_cnn)[0].notes[0]


def test_what_does_not_train_works_on_them(tiny_cnn):
    data, _ = made(tiny_cnn)
    context, bundle = Context(data=data, reference=tiny_cnn), tiny_cnn
    for step in (
        PruneChannels(pruning_ratio=0.5),
        ReestimateBatchNorm(samples=64),
        Quantize(samples=64),
        CorrectBias(samples=64),
    ):
        applied = step.apply(bundle, context)
        assert any(layer.touched for layer in applied.report.layers), step.title
        bundle = applied.bundle


def test_what_trains_refuses_them_and_says_what_works_without(tiny_cnn):
    data, _ = made(tiny_cnn)
    split = replace(data, parts={"train": 64, "validation": 64})
    with pytest.raises(CalibrationError, match="has none that are classes") as caught:
        FineTune(epochs=1).apply(tiny_cnn, Context(data=split, reference=tiny_cnn))
    assert "quantization" in caught.value.hint


@pytest.fixture(scope="module")
def shipped():
    """A model that ships, its samples, inputs matched to it, and noise."""
    recipe = Recipe("digits-resnet8", "digits")
    bundle = open_model(recipe.model)
    data, matched = made(bundle, Generated(samples=256))
    raw = bundle.spec.to(InputSpec(bundle.spec.shape))
    noise = replace(matched, inputs=raw(inputs_for(bundle, 256)).numpy())
    real = open_subject(recipe).samples()
    return bundle, data, {"real": real, "matched": matched, "noise": noise}


def test_agreement_on_matched_inputs_is_nearer_to_that_on_real_data_than_on_noise(shipped):
    """Ten candidates. Noise orders them as well as matched inputs do, but tells them hardly apart:
    nearly all of it falls into one class, and stays there whatever is done to the model."""
    bundle, data, samples = shipped
    original = {name: predict(bundle, some) for name, some in samples.items()}
    context = Context(data=data, reference=bundle)
    bits = [(w, a) for w in (2, 3, 4, 8) for a in (4, 8)]
    steps = [Quantize(weight_bits=w, activation_bits=a, samples=64) for w, a in bits]
    steps += [PruneWeights(sparsity=share) for share in (0.7, 0.9)]
    found = {name: [] for name in samples}
    for step in steps:
        model = step.apply(bundle, context).bundle
        for name, some in samples.items():
            found[name].append(predict(model, some).agreement(original[name]).value)
    errors = {n: np.abs(np.subtract(found[n], found["real"])).mean() for n in ("matched", "noise")}
    assert errors["matched"] < 0.75 * errors["noise"]
    assert spearmanr(found["matched"], found["real"]).statistic > 0.9
    assert np.ptp(found["noise"]) < 0.2 < 0.7 < np.ptp(found["matched"])


def test_ranges_from_matched_inputs_fit_real_data_better_than_those_from_noise(shipped):
    bundle, data, samples = shipped
    step = Quantize(weight_bits=4, activation_bits=4, samples=64)
    agreement = {}
    for name in ("matched", "noise"):
        some = replace(data, hash=name, load=lambda part, name=name: samples[name])
        model = step.apply(bundle, Context(data=some, reference=bundle)).bundle
        said, expected = (predict(m, samples["real"]) for m in (model, bundle))
        agreement[name] = said.agreement(expected).value
    assert agreement["matched"] > agreement["noise"] + 0.03
