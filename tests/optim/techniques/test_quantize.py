"""Scales in closed form, exclusion, per-layer bits, and methods that pay."""

import math

import pytest
import torch
from torch import nn

from optim.errors import CalibrationError, ConfigError
from optim.layers.graph import kind_of, trace
from optim.layers.grid import Grid, power_of_two, to_rows
from optim.layers.quantized_graph import QuantizationPlan, integer_inputs
from optim.layers.statistics import Statistics
from optim.layers.table import QuantizedWeight
from optim.measure.evaluate import predict
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, data_for, inputs_for, outputs_of, tiny_bundle

MINMAX = {"weight_calibration": "minmax", "calibration": "minmax", "samples": 64}


def folded_weights(bundle):
    traced = trace(bundle.module)
    return {
        str(n.target): traced.get_parameter(f"{n.target}.weight").detach()
        for n in traced.graph.nodes
        if kind_of(n) in ("conv", "linear")
    }


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8, 16])
@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel", "per_group"])
def test_symmetric_scales_in_closed_form(bits, granularity, bundle, context):
    step = Quantize(
        weight_bits=bits,
        activation_bits="float",
        granularity=granularity,
        group_size=8,
        weight_calibration="minmax",
    )
    table = step.apply(bundle, context).bundle.table
    for name, weight in folded_weights(bundle).items():
        entry = table.weights[name]
        reach = to_rows(weight, entry.grid).abs().amax(dim=1)
        torch.testing.assert_close(entry.scale, reach / ((2**bits - 1) / 2))
        assert not entry.zero_point.any()


@pytest.mark.parametrize("bits", [3, 8])
def test_affine_scales_in_closed_form(bits, bundle, context):
    step = Quantize(
        weight_bits=bits,
        activation_bits="float",
        weight_scheme="affine",
        weight_calibration="minmax",
    )
    table = step.apply(bundle, context).bundle.table
    for name, weight in folded_weights(bundle).items():
        entry, values = table.weights[name], weight.flatten(1)
        low, high = values.amin(dim=1).clamp(max=0), values.amax(dim=1).clamp(min=0)
        torch.testing.assert_close(entry.scale, (high - low) / (2**bits - 1))
        expected = (-(2 ** (bits - 1)) - low / entry.scale).round()
        assert (entry.zero_point - expected).abs().max() <= 1  # a quotient on the half


def test_activation_scales_are_those_of_what_was_observed(bundle, context):
    applied = Quantize(activation_bits=8, **MINMAX).apply(bundle, context)
    x, _ = context.calibration(64)
    source = next(n.name for n in trace(bundle.module).graph.nodes if n.op == "placeholder")
    edge = applied.bundle.table.edges[source]
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    assert edge.scale == pytest.approx((1 + 2**-10) * (high - low) / 255, rel=1e-6)
    assert edge.zero_point == round(-low / edge.scale)


def test_every_weight_errs_by_half_a_step_at_most(bundle, context):
    table = (
        Quantize(weight_bits=4, activation_bits="float", weight_calibration="minmax")
        .apply(bundle, context)
        .bundle.table
    )
    for name, weight in folded_weights(bundle).items():
        entry = table.weights[name]
        error = (entry.apply(weight) - weight).abs().flatten(1).amax(dim=1)
        assert (error <= entry.scale / 2 * 1.0001).all()


@pytest.mark.parametrize("bits", ["ternary", 2, 3, 4])
def test_a_weight_has_no_more_values_than_its_bits_allow(bits, bundle, context):
    applied = Quantize(weight_bits=bits, activation_bits="float").apply(bundle, context)
    simulated = applied.bundle.simulated()
    levels = 3 if bits == "ternary" else 2**bits
    for name in folded_weights(bundle):
        for channel in simulated.get_parameter(f"{name}.weight"):
            assert len(channel.unique()) <= levels


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_an_activation_has_no_more_values_than_its_bits_allow(bits, tiny_cnn):
    applied = Quantize(activation_bits=bits, samples=32).apply(tiny_cnn, context_for(tiny_cnn))
    for edge in applied.bundle.table.edges.values():
        assert edge.grid.levels == 2**bits
        low, high = edge.bounds()
        assert low <= 0 <= high


def test_the_float_model_is_left_for_more_steps(bundle, context):
    applied = Quantize(weight_bits=2, samples=32).apply(bundle, context)
    x = inputs_for(bundle)
    with torch.inference_mode():
        assert torch.equal(applied.bundle.module(x), bundle.module(x))
    assert not torch.equal(outputs_of(applied.bundle, x), outputs_of(bundle, x))


def test_an_excluded_layer_and_its_input_stay_in_floating_point():
    bundle = tiny_bundle("lenet-5")
    context = context_for(bundle)
    whole = Quantize(samples=32).apply(bundle, context).bundle.table
    part = Quantize(samples=32, layers={"fc1": "float"}).apply(bundle, context)
    assert "fc1" not in part.bundle.table.weights
    assert set(whole.weights) - set(part.bundle.table.weights) == {"fc1"}
    assert len(part.bundle.table.edges) == len(whole.edges) - 1
    report = {entry.layer: entry for entry in part.report.layers}
    assert not report["fc1"].touched
    assert report["fc1"].detail == "kept in floating point by choice"


def test_single_layers_get_their_own_bits(tiny_cnn):
    step = Quantize(
        weight_bits=8, activation_bits="float", layers={"linear": 3, "conv1": "ternary"}
    )
    table = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle.table
    assert table.weights["linear"].grid.bits == 3
    assert table.weights["conv1"].grid.levels == 3
    assert table.weights["layer1.0.conv1"].grid.bits == 8


def test_an_unknown_layer_is_refused(tiny_cnn):
    with pytest.raises(ConfigError, match="no layer 'conv7'"):
        Quantize(layers={"conv7": 4}).apply(tiny_cnn, context_for(tiny_cnn))


def test_float_everywhere_puts_nothing_on_a_grid(bundle, context):
    table = (
        Quantize(weight_bits="float", activation_bits="float").apply(bundle, context).bundle.table
    )
    assert not table.is_quantized


def test_activations_alone_can_be_quantized(bundle, context):
    table = Quantize(weight_bits="float", samples=32).apply(bundle, context).bundle.table
    assert not table.weights
    assert table.edges


def test_pruned_weights_stay_zero_on_symmetric_grids(tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.6).apply(tiny_cnn, context).bundle
    for bits in (2, 4, 8, "ternary"):
        simulated = Quantize(weight_bits=bits, samples=32).apply(sparse, context).bundle.simulated()
        for name, mask in sparse.table.masks.items():
            assert not simulated.get_parameter(f"{name}.weight")[~mask].any()


def test_inputs_that_are_not_finite_are_refused(tiny_mlp):
    data = data_for(tiny_mlp)
    data.part("train").inputs[3, 2] = float("nan")
    with pytest.raises(CalibrationError, match="is not finite on the calibration data"):
        Quantize(samples=64).apply(tiny_mlp, context_for(tiny_mlp, data=data))


def test_residual_additions_and_concatenations_are_on_a_grid(tiny_cnn):
    traced = trace(tiny_cnn.module)
    plan = QuantizationPlan.of(traced)
    for node in traced.graph.nodes:
        if kind_of(node) == "add":
            for source in node.all_input_nodes:
                assert source.name in plan.edges or source.name in plan.inherits


def test_every_side_of_a_concatenation_is_on_a_grid():
    class Sides(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 3, padding=1)

        def forward(self, x):
            return torch.cat([torch.relu(self.a(x)), self.b(x)], dim=1)

    traced = trace(Sides().eval())
    plan = QuantizationPlan.of(traced)
    assert set(plan.edges) == {"x", "relu", "b"}


def test_only_narrow_layers_with_one_scale_a_channel_run_on_integers(tiny_cnn):
    context = context_for(tiny_cnn)

    def integer_layers(**settings):
        bundle = Quantize(samples=32, **settings).apply(tiny_cnn, context).bundle
        return len(integer_inputs(bundle.deployable(), bundle.table))

    every = len(folded_weights(tiny_cnn))
    assert integer_layers() == every
    assert integer_layers(weight_bits=4, activation_bits=4) == every
    assert integer_layers(weight_bits=16) == 0
    assert integer_layers(activation_bits=16) == 0
    assert integer_layers(granularity="per_group") == 0
    assert integer_layers(activation_bits="float") == 0


def test_what_has_no_integer_kernel_is_said(tiny_cnn):
    context = context_for(tiny_cnn)
    groups = Quantize(samples=32, granularity="per_group").apply(tiny_cnn, context).report
    assert "no integer kernel" in groups.notes[0]
    wide = Quantize(samples=32, activation_bits=16).apply(tiny_cnn, context).report
    assert "16 bits have no integer kernel" in wide.notes[0]
    assert not Quantize(samples=32).apply(tiny_cnn, context).report.notes


def test_groups_that_are_shorter_than_was_asked_for_are_said(tiny_cnn):
    step = Quantize(activation_bits="float", granularity="per_group", group_size=64)
    applied = step.apply(tiny_cnn, context_for(tiny_cnn))
    told = {entry.layer: entry.detail for entry in applied.report.layers}
    for name, weight in folded_weights(tiny_cnn).items():
        columns, scales = weight[0].numel(), len(applied.bundle.table.weights[name].scale)
        assert scales == len(weight) * math.ceil(columns / 64)
        if columns < 64:
            assert told[name].endswith(f"channels have {columns} weights, which are one group")
        elif columns % 64:
            assert told[name].endswith(f"last group of each channel has {columns % 64} weights")
        else:
            assert told[name].endswith("scales")
    assert any("one group" in detail for detail in told.values())
    assert any("last group" in detail for detail in told.values())


@pytest.mark.parametrize("fields", [{}, {"weight_bits": 4}, {"weight_bits": "ternary"}], ids=str)
def test_scales_can_be_powers_of_two(fields, tiny_cnn):
    context = context_for(tiny_cnn)
    step = Quantize(samples=32, scales="power_of_two", **fields)
    table = step.apply(tiny_cnn, context).bundle.table
    for entry in table.weights.values():
        assert torch.equal(entry.scale, entry.scale.log2().round().exp2())
    for edge in table.edges.values():
        assert math.log2(edge.scale).is_integer()
        assert edge.bounds()[0] <= 0 <= edge.bounds()[1]
    outline = step.outline(tiny_cnn, context).table
    assert all(e.scale.log2().frac().eq(0).all() for e in outline.weights.values())


def test_powers_of_two_are_the_better_of_both_neighbours():
    grid, rows = Grid.for_weights(4, True, "per_channel"), torch.randn(50, 40)
    statistics = Statistics.of_rows(rows)
    scale, zero_point = power_of_two(rows, grid, statistics.low, statistics.high)

    def errors(scale):
        entry = QuantizedWeight(grid, scale, zero_point)
        return (entry.apply(rows) - rows).square().sum(1)

    exact, _ = grid.parameters(statistics.low, statistics.high)
    for other in (exact.log2().floor().exp2(), exact.log2().ceil().exp2()):
        assert (errors(scale) <= errors(other) + 1e-6).all()


# --- a smarter method is not worse --------------------------------------------------------------


def weight_error(bundle, **settings):
    """Return the squared error of all weights, relative to their size."""
    table = (
        Quantize(activation_bits="float", **settings)
        .apply(bundle, context_for(bundle))
        .bundle.table
    )
    weights = folded_weights(bundle)
    return sum(
        float((table.weights[name].apply(w) - w).square().sum() / w.square().sum())
        for name, w in weights.items()
    )


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_searched_ranges_round_no_worse_than_exact_ones(bits, bundle):
    mse = weight_error(bundle, weight_bits=bits, weight_calibration="mse")
    minmax = weight_error(bundle, weight_bits=bits, weight_calibration="minmax")
    assert mse <= minmax


def test_finer_scales_and_more_bits_round_no_worse(bundle):
    tensor, channel, group = (
        weight_error(bundle, weight_bits=4, granularity=g, group_size=8)
        for g in ("per_tensor", "per_channel", "per_group")
    )
    assert group <= channel <= tensor
    errors = [weight_error(bundle, weight_bits=b) for b in (2, 3, 4, 5, 6, 7, 8, 16)]
    assert errors == sorted(errors, reverse=True)


def test_eight_bits_cost_next_to_nothing_and_two_bits_much(trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    samples = data.part("validation")
    whole = predict(bundle, samples)

    def loss(**settings):
        quantized = Quantize(samples=128, **settings).apply(bundle, context).bundle
        return -predict(quantized, samples).against(whole).difference.value

    assert whole.accuracy().value > 0.9
    assert abs(loss()) <= 1.5
    assert loss(weight_bits=2, granularity="per_tensor", weight_calibration="minmax") > 10


def test_reduced_range_spends_seven_bits_of_eight(bundle, context):
    step = Quantize(reduce_range=True, samples=32)
    table = step.apply(bundle, context).bundle.table
    assert {(w.grid.qmin, w.grid.qmax) for w in table.weights.values()} == {(-64, 63)}
    assert {edge.grid.bits for edge in table.edges.values()} == {8}


def test_reduced_range_leaves_other_widths_alone(bundle, context):
    name = next(iter(folded_weights(bundle)))
    step = Quantize(weight_bits=4, reduce_range=True, samples=32, layers={name: 8})
    table = step.apply(bundle, context).bundle.table
    assert table.weights[name].grid.bits == 7
    assert {w.grid.bits for n, w in table.weights.items() if n != name} <= {4}


@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
def test_bytes_of_a_symmetric_range_lie_off_the_middle_of_two_steps(scheme, bundle, context):
    step = Quantize(activation_scheme=scheme, **MINMAX)
    bytes_ = torch.arange(256.0)
    x = (bytes_ / 255 - 0.5) / 0.5
    plan = QuantizationPlan(("input",), {}, {})
    edges = step._quantize_edges({"input": Statistics.of_rows(x[None])}, plan, [])
    places = x.double() / edges["input"].scale
    assert ((places - places.floor()) - 0.5).abs().min() > 1e-4
    assert len(places.round().unique()) >= 255  # and no two of them share a step but the middle
