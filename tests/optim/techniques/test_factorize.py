"""Layers taken apart: exact at full rank, closest at lower ones, and never at more MACs."""

from math import prod

import numpy as np
import pytest
import torch
from torch import nn

from optim.export.deploy import onnx_bytes
from optim.layers.low_rank import (
    Shapes,
    energy_rank,
    factors,
    input_covariance,
    macs,
    variational_rank,
)
from optim.layers.rewrite import layer_shapes, weights_of
from optim.measure.costs import static_costs
from optim.measure.evaluate import predict
from optim.measure.macs import layer_costs
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.runtime.session import InferenceSession
from optim.techniques.factorize import Factorize
from optim.techniques.finetune import FineTune
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import assert_similar, context_for, inputs_for, outputs_of, tiny_bundle

LAYERS = {
    "linear": (nn.Linear(12, 9), "matrix", (9,), (12,)),
    "pointwise": (nn.Conv2d(6, 9, 1, stride=2), "matrix", (6,), (6, 8, 8)),
    "tucker": (nn.Conv2d(6, 9, 3, stride=2, padding=1), "tucker", (6, 9), (6, 8, 8)),
    "sequence": (nn.Conv1d(6, 9, 5, padding=2, bias=False), "tucker", (6, 9), (6, 20)),
    "spatial": (
        nn.Conv2d(6, 9, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
        "spatial",
        (18,),
        (6, 9, 12),
    ),
}


@pytest.fixture(params=LAYERS)
def case(request):
    return LAYERS[request.param]


@pytest.mark.parametrize("aware", [False, True])
def test_at_full_rank_nothing_changes(case, aware):
    layer, form, ranks, shape = case
    x = torch.randn(5, *shape)
    with torch.no_grad():
        seen = input_covariance(layer, form, x) if aware else None
        assert_similar(factors(layer, form, ranks, seen)(x), layer(x), times=20)


def test_at_a_lower_rank_the_inputs_make_it_closer(case):
    layer, form, ranks, shape = case
    mix = torch.randn(shape[0], shape[0]) * torch.logspace(0, -2, shape[0])
    x = torch.einsum("ij,nj...->ni...", mix, torch.randn(200, *shape))
    half = tuple(max(1, rank // 2) for rank in ranks)
    with torch.no_grad():
        seen = input_covariance(layer, form, x)
        errors = [
            float((factors(layer, form, half, known)(x) - layer(x)).square().mean())
            for known in (seen, None)
        ]
    assert errors[0] < 0.9 * errors[1]


def test_the_singular_values_left_out_are_the_error():
    layer = nn.Linear(20, 15, bias=False)
    weight = layer.weight.detach()
    spectrum = torch.linalg.svdvals(weight)
    first, second = factors(layer, "matrix", (4,), None)
    lost = (second.weight @ first.weight - weight).square().sum()
    torch.testing.assert_close(lost, spectrum[4:].square().sum(), rtol=1e-4, atol=0)


def test_energy_by_hand():
    spectrum = np.array([3.0, 2.0, 1.0])  # squares 9, 4, 1
    assert [energy_rank(spectrum, e) for e in (0.5, 9 / 14, 0.65, 13 / 14, 1.0)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("true_rank", [1, 5, 12])
def test_vbmf_finds_the_rank_under_noise(true_rank):
    rng = np.random.default_rng(true_rank)
    clean = rng.standard_normal((60, true_rank)) @ rng.standard_normal((true_rank, 90))
    noisy = clean + 0.5 * rng.standard_normal((60, 90))
    assert variational_rank(np.linalg.svd(noisy, compute_uv=False), 60, 90) == true_rank


def test_vbmf_of_noise_alone_keeps_one():
    noise = np.random.default_rng(0).standard_normal((40, 50))
    assert variational_rank(np.linalg.svd(noise, compute_uv=False), 40, 50) == 1


def test_macs_by_hand():
    at = Shapes((8, 8), (4, 4))
    weight = torch.zeros(9, 6, 3, 3)
    assert macs(weight, None, (), at) == 9 * 6 * 9 * 16
    assert macs(weight, "tucker", (2, 3), at) == 2 * 6 * 64 + 2 * 3 * 9 * 16 + 3 * 9 * 16
    assert macs(weight, "spatial", (4,), at) == 4 * (6 * 3 * 4 * 8 + 9 * 3 * 4 * 4)
    assert macs(torch.zeros(9, 6), "matrix", (4,), Shapes((), ())) == 4 * 15


@pytest.mark.parametrize(
    "fields",
    [{"energy": 0.6}, {"rank": "ratio", "ratio": 0.3, "kernels": "spatial"}, {"rank": "vbmf"}],
    ids=str,
)
def test_the_macs_that_are_told_are_those_of_the_model(tiny_cnn, fields):
    applied = Factorize(inputs=False, **fields).apply(tiny_cnn, context_for(tiny_cnn))
    summary = applied.report.summary
    said = int(summary.rsplit(" ", 1)[1].rstrip(".").replace(",", ""))
    found = static_costs(applied.bundle)[1].value
    own = static_costs(tiny_cnn)[1].value
    before = int(summary.split(" taken apart, ")[1].split(" ")[0].replace(",", ""))
    assert found - said == own - before  # what is no layer with weights stays
    assert said < before


def test_a_layer_that_would_save_nothing_says_so_with_the_nearest_rank(tiny_mlp):
    applied = Factorize(rank="ratio", ratio=0.9).apply(tiny_mlp, context_for(tiny_mlp))
    first = applied.report.layers[0]
    assert not first.touched
    # 12 inputs, 16 outputs: 192 MACs whole, 28 a rank
    assert first.detail == "rank 11 saves no multiplications; 6 would"
    assert applied.report.notes


def test_layers_can_be_left_whole_and_masked_ones_are(tiny_cnn):
    context = context_for(tiny_cnn)
    pruned = PruneWeights(layers={"linear": 0.0}).apply(tiny_cnn, context).bundle
    report = Factorize(energy=0.5).apply(pruned, context).report
    details = {entry.layer: entry.detail for entry in report.layers}
    assert details["conv1"] == "single weights are masked; factorize first"
    own = Factorize(energy=0.5, layers={"conv1": 1.0}).apply(tiny_cnn, context).report
    assert own.layers[0].detail == "left whole by choice"


def test_groups_of_channels_are_left():
    bundle = tiny_bundle("mobilenet")
    report = Factorize(energy=0.5).apply(bundle, context_for(bundle)).report
    assert any("groups of channels are thin" in entry.detail for entry in report.layers)


def test_whatever_comes_next_works_on_the_factors(tiny_cnn, tmp_path):
    context = context_for(tiny_cnn)
    bundle = Factorize(energy=0.6).apply(tiny_cnn, context).bundle
    again = load_checkpoint(save_checkpoint(bundle, tmp_path / "model.safetensors"))
    assert again.hash == bundle.hash
    steps = [
        PruneChannels(pruning_ratio=0.3),
        FineTune(epochs=1, batch_size=32),
        PruneWeights(sparsity=0.5),
        Quantize(samples=32),
    ]
    for step in steps:
        bundle = step.apply(bundle, context).bundle
    x = inputs_for(bundle)
    found = InferenceSession.open(onnx_bytes(bundle), 1).run(x.numpy())
    expected = outputs_of(bundle, x).numpy()
    assert np.abs(found - expected).mean() < 0.05 * expected.std()


def test_samples_beat_weights_alone_and_a_narrower_network(several_trained):
    correct = {"samples": 0.0, "weights": 0.0, "narrower": 0.0}
    for bundle, data in several_trained:
        context, samples = context_for(bundle, data=data), data.part("validation")
        settings = {"rank": "ratio", "ratio": 0.6}
        made = {
            "samples": Factorize(**settings).apply(bundle, context).bundle,
            "weights": Factorize(inputs=False, **settings).apply(bundle, context).bundle,
            "narrower": PruneChannels(pruning_ratio=0.25).apply(bundle, context).bundle,
        }
        assert static_costs(made["samples"]) == static_costs(made["weights"])
        assert static_costs(made["samples"])[1].value < static_costs(made["narrower"])[1].value
        for name, other in made.items():
            correct[name] += predict(other, samples).accuracy().value / len(several_trained)
    assert correct["samples"] > correct["weights"] + 0.02
    assert correct["samples"] > correct["narrower"] + 0.02


def test_shapes_are_those_of_every_layer(tiny_transformer):
    shapes = layer_shapes(tiny_transformer.module, tiny_transformer.spec.shape)
    assert list(shapes) == list(weights_of(tiny_transformer.module))
    assert any(prod(at.writes) > 1 for at in shapes.values()), "tokens count"


class TokensFirst(nn.Module):
    """A dense layer on ``(tokens, batch, features)``, and a convolution of each token alone."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(8, 12)
        self.conv = nn.Conv1d(1, 3, 3)
        self.head = nn.Linear(30, 4)

    def forward(self, x):
        return self.head(self.conv(self.dense(x.transpose(0, 1))).flatten(1))


def test_macs_are_those_of_all_tokens_wherever_the_batch_stands():
    module, shape = TokensFirst().eval(), (6, 8)
    shapes = layer_shapes(module, shape)
    counted = {name: macs(w, None, (), shapes[name]) for name, w in weights_of(module).items()}
    assert counted == {cost.name: cost.macs for cost in layer_costs(module, shape)}
    assert counted["dense"] == 6 * 8 * 12, "by hand"
