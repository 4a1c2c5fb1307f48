"""Outputs stay, channels reach equally far, and what shares a grid is rounded better."""

import pytest
import torch
from torch import nn

from optim.layers.equalisation import Scaled, channel_reach, links_of
from optim.models.bundle import ModelBundle
from optim.techniques.equalisations import EQUALISATIONS
from optim.techniques.equalise import Equalise
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, inputs_for, outputs_of, tiny_bundle


@pytest.mark.parametrize("method", EQUALISATIONS)
def test_outputs_stay_the_same(method, bundle, context):
    applied = Equalise(method=method).apply(bundle, context)
    x = inputs_for(bundle)
    exact = outputs_of(bundle, x)
    assert (outputs_of(applied.bundle, x) - exact).abs().max() <= 1e-4 * exact.abs().max()


def test_scales_by_hand():
    """4 and 1 meet at 2; 1 and 9 at 3."""
    module = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[4.0], [-1.0]]))
        module[0].bias.copy_(torch.tensor([8.0, 3.0]))
        module[2].weight.copy_(torch.tensor([[1.0, -9.0]]))
    links, reasons = links_of(module, norms=False)
    assert [(link.source, link.readers) for link in links] == [("0", ("2",))]
    assert reasons == {"2": "no layer with weights follows"}
    scaled, bundle = Scaled(module), tiny_bundle("mlp")
    scales = EQUALISATIONS["cross_layer"](sweeps=1).scaled(scaled, links, context_for(bundle))["0"]
    torch.testing.assert_close(scales, torch.tensor([2.0, 1 / 3]))
    result = scaled.result()
    torch.testing.assert_close(result[0].weight, torch.tensor([[2.0], [-3.0]]))
    torch.testing.assert_close(result[0].bias, torch.tensor([4.0, 9.0]))
    torch.testing.assert_close(result[2].weight, torch.tensor([[2.0, -3.0]]))


def test_weights_on_both_sides_reach_equally_far(tiny_mlp):
    context = context_for(tiny_mlp)
    module = Equalise().apply(tiny_mlp, context).bundle.module
    for link in links_of(module, norms=False)[0]:
        scaled = Scaled(module)
        torch.testing.assert_close(scaled.made(link), scaled.read(link), rtol=0.05, atol=1e-6)


def test_all_strength_makes_activations_reach_equally_far(tiny_mlp):
    context = context_for(tiny_mlp)
    step = Equalise(method={"smooth": {"alpha": 1.0, "samples": 64}})
    module = step.apply(tiny_mlp, context).bundle.module
    links, _ = links_of(module, norms=True)
    x, _ = context.calibration(64)
    for reach in channel_reach(module, links, [x]).values():
        live = reach[reach > 1e-3]
        torch.testing.assert_close(live, torch.ones_like(live), rtol=1e-3, atol=1e-3)


def reasons_of(module, norms=False):
    return links_of(module.eval(), norms=norms)[1]


def test_what_cannot_be_scaled_says_why():
    linear = nn.Linear
    assert "relu6" in reasons_of(nn.Sequential(linear(2, 2), nn.ReLU6(), linear(2, 2)))["0"]
    assert "gelu" in reasons_of(nn.Sequential(linear(2, 2), nn.GELU(), linear(2, 2)))["0"]
    shared = linear(2, 2)
    twice = nn.Sequential(linear(2, 2), nn.ReLU(), shared, nn.ReLU6(), shared)
    assert "more than once" in reasons_of(twice)["0"]
    plain = nn.LayerNorm(2, elementwise_affine=False)
    assert "of its own" in reasons_of(nn.Sequential(plain, linear(2, 2)), norms=True)["0"]
    grouped = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1, groups=2))
    assert "1 does not read its channels one by one" in reasons_of(grouped)["0"]
    residual = reasons_of(tiny_bundle("resnet").module)
    assert "read by several" in residual["conv1"]
    assert "add" in residual["layer1.0.conv2"]


def test_a_network_that_cannot_be_equalised_stays_and_says_so():
    bundle = tiny_bundle("mobilenet")
    applied = Equalise().apply(bundle, context_for(bundle))
    assert applied.bundle is bundle
    assert "No layer's outputs" in applied.report.notes[0]


def test_pruned_weights_stay_zero(tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.6).apply(tiny_cnn, context).bundle
    module = Equalise().apply(sparse, context).bundle.module
    for name, mask in sparse.table.masks.items():
        assert not module.get_parameter(f"{name}.weight")[~mask].any()


# --- better than without ------------------------------------------------------------------------


def uneven(bundle: ModelBundle) -> ModelBundle:
    """Return the same network with channels of very different reach, as training may leave them."""
    scaled = Scaled(bundle.module)
    generator = torch.Generator().manual_seed(0)
    for link in links_of(bundle.module, norms=False)[0]:
        scaled.scale(link, torch.randn(link.channels, generator=generator).mul(1.5).exp())
    return bundle.with_module(scaled.result())


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("cross_layer", {"weight_bits": 5, "granularity": "per_tensor"}),
        ("smooth", {"weight_bits": 8, "activation_bits": 5}),
    ],
    ids=["cross_layer", "smooth"],
)
def test_uneven_channels_are_rounded_better(method, fields, trained):
    bundle, data = trained
    bundle = uneven(bundle)
    context = context_for(bundle, data=data)
    x = bundle.spec.normalise(data.part("validation").inputs)
    exact = outputs_of(bundle, x)

    def error(model):
        quantized = Quantize(samples=128, **fields).apply(model, context).bundle
        return float((outputs_of(quantized, x) - exact).square().mean())

    equalised = Equalise(method=method).apply(bundle, context).bundle
    assert error(equalised) < 0.5 * error(bundle)
