"""The shift of a rounded layer is the mean input times the error of its weights."""

import copy

import pytest
import torch
from torch import nn

from optim.layers.bias import mean_inputs, mean_shifts, shift_outputs
from optim.layers.graph import trace, with_parameters
from optim.layers.grid import Grid
from optim.layers.table import QuantizedWeight
from optim.techniques.correct_bias import CorrectBias
from optim.techniques.quantize import Quantize
from tests.helpers import assert_similar, context_for, tiny_bundle


def test_the_shift_by_hand():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.4, 1.3]]))
    grid = Grid(-8, 7, True, "per_channel")
    entry = QuantizedWeight(grid, torch.ones(1), torch.zeros(1, dtype=torch.int32))
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])  # means 2 and 4
    module = nn.Sequential(layer).eval()
    shifts = mean_shifts(module, {"0": entry}, mean_inputs(module, [x]))
    # Weights round to 0 and 1: errors -0.4 and -0.3; -0.4 * 2 - 0.3 * 4 = -2.
    assert shifts["0"].item() == pytest.approx(-2.0)


def test_batches_of_any_size_give_the_same_mean(tiny_cnn):
    context = context_for(tiny_cnn)
    weights = Quantize(weight_bits=3, samples=32).apply(tiny_cnn, context).bundle.table.weights
    x, _ = context.calibration(64)
    whole, parts = (
        mean_shifts(tiny_cnn.module, weights, mean_inputs(tiny_cnn.module, batches))
        for batches in ([x], x.split(24))
    )
    for name, shift in whole.items():
        assert_similar(parts[name], shift, times=10)


def test_corrected_layers_are_right_on_average(bundle, context):
    quantized = Quantize(weight_bits=3, activation_bits="float").apply(bundle, context).bundle
    x, _ = context.calibration(64)
    corrected = CorrectBias(samples=64).apply(quantized, context).bundle
    first = next(iter(quantized.table.weights))

    def mean_output(some, weights):
        traced = trace(copy.deepcopy(some.module))
        layer = traced.get_submodule(first)
        seen = []
        layer.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
        with torch.inference_mode():
            traced(x)
        weight = layer.weight.detach() if weights is None else weights[first].apply(layer.weight)
        with torch.inference_mode():
            out = with_parameters(layer, weight=weight.detach()).forward(seen[0])
        channel = out.ndim - 1 if isinstance(layer, nn.Linear) else 1
        return out.mean(dim=[d for d in range(out.ndim) if d != channel])

    exact = mean_output(bundle, None)
    before = (mean_output(quantized, quantized.table.weights) - exact).abs().max()
    after = (mean_output(corrected, quantized.table.weights) - exact).abs().max()
    assert after <= 1e-4
    assert before > 10 * after


def test_the_shift_goes_into_the_norm_behind_or_into_the_bias(tiny_cnn):
    shifted = shift_outputs(tiny_cnn.module, {"conv1": torch.ones(8), "linear": torch.ones(4)})
    assert torch.equal(shifted.bn1.bias, tiny_cnn.module.bn1.bias + 1)
    assert shifted.conv1.bias is None
    assert torch.equal(shifted.linear.bias, tiny_cnn.module.linear.bias + 1)
    assert torch.equal(shifted.conv1.weight, tiny_cnn.module.conv1.weight)


def test_a_layer_without_a_bias_gets_one():
    module = nn.Sequential(nn.Linear(3, 2, bias=False)).eval()
    x = torch.randn(4, 3)
    shifted = shift_outputs(module, {"0": torch.tensor([1.0, -1.0])})
    with torch.inference_mode():
        assert_similar(shifted(x), module(x) + torch.tensor([1.0, -1.0]))
    assert module[0].bias is None


def test_without_quantized_weights_there_is_nothing_to_do():
    bundle = tiny_bundle("mlp")
    applied = CorrectBias().apply(bundle, context_for(bundle))
    assert applied.bundle is bundle
    assert "put this step after 'Quantize'" in applied.report.notes[0]


def test_it_brings_the_outputs_closer_to_the_original(bundle, context):
    quantized = Quantize(weight_bits=3, activation_bits="float").apply(bundle, context).bundle
    corrected = CorrectBias(samples=64).apply(quantized, context).bundle
    x, _ = context.calibration(64)
    with torch.inference_mode():
        exact = bundle.module(x).mean(dim=0)
        before = (quantized.simulated()(x).mean(dim=0) - exact).abs().mean()
        after = (corrected.simulated()(x).mean(dim=0) - exact).abs().mean()
    assert after <= before
