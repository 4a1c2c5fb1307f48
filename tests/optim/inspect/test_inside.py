"""Errors of layers, dead channels, distributions and grids are what the values say."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from optim.inspect.distributions import histogram, weights_inside, weights_on_grid
from optim.inspect.layers import layers_of
from optim.inspect.norms import norm_scales
from optim.inspect.pair import Pair, pair_of
from optim.inspect.propagation import look_inside
from optim.layers.rewrite import norm_layers
from optim.measure.costs import model_costs
from optim.measure.fidelity import sqnr_of
from optim.models.weighted import deployed_weight
from optim.quantity import How
from optim.recipe import Recipe
from optim.subject import subject_of
from optim.techniques.distill import Distill
from optim.techniques.factorize import Factorize
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import as_a_graph, data_for, tiny_bundle
from tests.optim.graph.graphs import bundle_of, kept, quantized, upsampled


def pair(bundle, *steps):
    """Return a model and what steps make of it."""
    recipe = Recipe("tiny", "tiny")
    for step in steps:
        recipe = recipe.with_step(step)
    return pair_of(recipe, subject_of(bundle, data_for(bundle)))


QUANTIZE = Quantize(weight_bits=4, samples=32)


@pytest.fixture(scope="module")
def rounded():
    """A residual network on 4-bit weights, and what is inside."""
    one = pair(tiny_bundle("resnet"), QUANTIZE)
    return one, look_inside(one, samples=40)


def values_of(bundle, x, layer):
    """Return what a layer gives, hooked in the graph that is simulated."""
    graph, found = bundle.simulated(), []
    graph.get_submodule(layer).register_forward_hook(lambda m, a, out: found.append(out))
    with torch.no_grad():
        graph(x)
    return found[0]


def test_the_error_of_a_layer_is_that_of_its_values(rounded):
    one, inside = rounded
    x = one.original.spec.normalise(np.asarray(one.samples(40).inputs))
    for layer in ("conv1", "layer2.0.conv1", "linear"):
        exact, now = (values_of(b, x, layer).double() for b in (one.original, one.result))
        signal, noise = (v.square().flatten(1).sum(1).numpy() for v in (exact, exact - now))
        expected = sqnr_of(signal, noise, How.SIMULATED)
        found = inside.errors[layer].sqnr
        assert found.value == pytest.approx(expected.value, abs=1e-3)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-2)
        assert found.how == How.SIMULATED


def test_where_only_rounding_changed_both_errors_are_one(rounded):
    _, inside = rounded
    assert all(error.rounding == error.sqnr for error in inside.errors.values())


def test_rounding_is_told_apart_from_what_pruning_did():
    one = pair(tiny_bundle("resnet"), PruneWeights(sparsity=0.8), QUANTIZE)
    first, last = (look_inside(one, samples=32).errors[name] for name in ("conv1", "linear"))
    for error in (first, last):
        assert error.sqnr.value < error.rounding.value


def test_without_steps_every_layer_gives_what_it_gave():
    inside = look_inside(pair(tiny_bundle("mlp")), samples=16)
    assert all(error.is_same and error.rounding is None for error in inside.errors.values())


def test_of_pruned_channels_those_that_are_left_are_compared():
    one = pair(
        tiny_bundle("resnet"), PruneChannels(pruning_ratio=0.25), PruneChannels(pruning_ratio=0.25)
    )
    inside = look_inside(one, samples=16)
    stem = inside.errors["conv1"]
    assert stem.missing == ""
    assert stem.channels < tiny_bundle("resnet").module.conv1.out_channels
    assert stem.is_same, "the first layer lost channels and nothing else"
    assert inside.errors["layer1.0.conv2"].sqnr is not None
    x = one.original.spec.normalise(np.asarray(one.samples(16).inputs))
    exact, now = (values_of(b, x, "conv1") for b in (one.original, one.result))
    torch.testing.assert_close(exact[:, one.kept["conv1"]], now)


def test_of_layers_that_were_taken_apart_the_last_factor_is_compared():
    one = pair(tiny_bundle("resnet"), Factorize(energy=0.5, samples=32))
    inside = look_inside(one, samples=16)
    inner, last = inside.errors["linear.0"], inside.errors["linear.1"]
    assert "inner factor" in inner.missing
    assert last.missing == ""
    x = one.original.spec.normalise(np.asarray(one.samples(16).inputs))
    exact = values_of(one.original, x, "linear").double()
    now = values_of(one.result, x, "linear.1").double()
    expected = 10 * np.log10(float(exact.square().sum() / (exact - now).square().sum()))
    assert last.sqnr.value == pytest.approx(expected, abs=1e-3)


def test_channels_that_never_vary_are_dead():
    bundle = tiny_bundle("resnet")
    norm = norm_layers(bundle.module)["bn1"]
    with torch.no_grad():
        norm.weight[:2] = 0.0  # one constant above zero, one below
        norm.bias[:2] = torch.tensor([0.3, -0.3])
        norm.bias[2] = -1e3  # never gets through the activation function
    found = look_inside(Pair(subject_of(bundle, data_for(bundle)), tiny_bundle("resnet"), bundle))
    assert found.errors["conv1"].still == 3
    assert found.errors["conv1"].still_before == 0
    assert found.errors["layer1.0.conv1"].still == found.errors["layer1.0.conv1"].still_before


def test_inputs_are_seen_before_they_are_rounded(rounded):
    _, inside = rounded
    given = inside.inputs["layer1.0.conv1"]
    assert given.edge is not None
    steps = given.after.values / given.edge.scale
    assert not torch.allclose(steps, steps.round(), atol=1e-3)
    assert float(given.before.low) == 0, "behind a ReLU"


@pytest.fixture(scope="module")
def graph():
    """A graph that stays one, its original, and what is inside."""
    bundle = bundle_of(upsampled(), (3, 8, 8))
    one = pair(bundle, PruneWeights(sparsity=0.5), QUANTIZE)
    return one, look_inside(one, samples=24)


def test_graphs_show_the_same(graph):
    _, inside = graph
    assert list(inside.errors) == ["down", "up", "out"]
    for error in inside.errors.values():
        assert error.sqnr is not None
        assert error.missing == ""
        assert error.sqnr.how == How.MEASURED
        assert error.sqnr.value < error.rounding.value
    assert [error.channels for error in inside.errors.values()] == [6, 4, 4]
    assert inside.inputs["out"].edge is not None


def test_what_a_quantizer_takes_over_is_still_seen():
    bundle = replace(kept(tiny_bundle("resnet")), name="graph")
    found = layers_of(pair(bundle, Quantize(samples=32)), samples=8)
    assert [row.activation_bits for row in found.rows] == [8] * len(found.rows)
    for one in found.distributions.values():
        assert one.inputs_grid.bits == 8


def test_a_graph_and_the_module_it_was_made_of_have_the_same_errors():
    bundle = tiny_bundle("lenet-5")
    steps = (PruneWeights(sparsity=0.5, scope="local"),)
    as_module, as_graph = (look_inside(pair(b, *steps), samples=16) for b in (bundle, kept(bundle)))
    found, expected = (
        [error.sqnr.value if error.sqnr else None for error in one.errors.values()]
        for one in (as_graph, as_module)
    )
    assert found == pytest.approx(expected, abs=1e-2)


def test_files_that_store_integers_show_their_weights():
    bundle = bundle_of(quantized(), (5,))
    one = Pair(subject_of(bundle, data_for(bundle)), bundle, bundle)
    found = layers_of(one, samples=16)
    assert [row.bits for row in found.rows] == [8, 32]
    grid = found.distributions["first"].weights_grid
    assert grid.before is None
    assert sum(grid.after) == 5 * 7


def test_models_of_different_lanes_are_compared_where_names_meet():
    bundle = tiny_bundle("mlp")
    other = replace(kept(bundle), name="file")
    found = look_inside(Pair(subject_of(bundle, data_for(bundle)), bundle, other), samples=8)
    assert all(error.missing for error in found.errors.values())


# --- distributions --------------------------------------------------------------------------------


def test_a_histogram_counts_every_value_of_both_once():
    before, after = np.array([0.0, 0.1, 1.0]), np.array([-1.0, 0.5])
    found = histogram(before, after)
    assert (found.edges[0], found.edges[-1]) == (-1.0, 1.0)
    assert (sum(found.before), sum(found.after)) == (3, 2)
    assert found.after[0] == found.before[-1] == 1
    same = histogram(None, np.zeros(4))
    assert same.before is None
    assert sum(same.after) == 4


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel", "per_group"])
def test_on_its_grid_every_weight_is_a_whole_number_within_the_ends(granularity):
    step = Quantize(weight_bits=3, samples=32, granularity=granularity)
    one = pair(tiny_bundle("lenet-5"), step)
    for name, weight in weights_inside(one.result).items():
        found = weights_on_grid(weight)
        assert (found.qmin, found.qmax, found.bits) == (-4, 3, 3)
        assert sum(found.after) == sum(found.before) == weight.deployed.numel()
        centres = (np.array(found.edges[1:]) + found.edges[:-1]) / 2
        used = centres[np.array(found.after) > 0]
        np.testing.assert_allclose(used, np.round(used), atol=1e-9)
        used = np.round(used)
        assert used.min() >= -4
        assert used.max() <= 3
        assert found.used == len(used)
        np.testing.assert_allclose(weight.deployed, deployed_weight(one.result, name), atol=1e-7)


def test_what_lies_beyond_a_grid_is_clipped_and_counted():
    one = pair(tiny_bundle("lenet-5"), Quantize(weight_bits=8, samples=32))
    name, weight = next(iter(weights_inside(one.result).items()))
    narrow = replace(weight.grid, scale=weight.grid.scale / 4)
    found = weights_on_grid(replace(weight, grid=narrow))
    rows = weight.exact.flatten(1) / narrow.scale[:, None]
    expected = float(((rows < -128.5) | (rows > 127.5)).float().mean())
    assert 0.1 < expected < 0.9
    assert found.clipped.value == pytest.approx(expected)
    assert sum(found.before) == weight.exact.numel(), name


def test_sixteen_bits_are_drawn_in_as_many_bins_as_can_be_seen():
    one = pair(tiny_bundle("mlp"), Quantize(weight_bits=16, activation_bits=8, samples=32))
    found = weights_on_grid(next(iter(weights_inside(one.result).values())))
    assert found.bits == 16
    assert len(found.after) <= 257
    assert sum(found.after) == sum(found.before)


# --- norms, and all of it together ----------------------------------------------------------------


def test_scales_of_norms_by_hand():
    before, after = tiny_bundle("resnet"), tiny_bundle("resnet")
    with torch.no_grad():
        for bundle, scale in ((before, 1.0), (after, -0.5)):
            norm_layers(bundle.module)["bn1"].weight.fill_(scale)
        norm_layers(after.module)["bn1"].weight[0] = 0.005
    found = norm_scales(before, after)[0]
    assert found.norm == "bn1"
    assert found.before.quartiles == (1.0, 1.0, 1.0, 1.0, 1.0)
    assert found.after.quartiles[2] == 0.5
    assert (found.before.faint, found.after.faint) == (0, 1)


def test_a_graph_with_norms_has_scales_until_they_are_folded(graph):
    one, _ = graph
    (found,) = norm_scales(one.original, one.original)
    assert found.after.channels == 4
    assert norm_scales(one.original, one.result) == ()


def test_rows_have_cost_bits_zeros_and_what_was_before():
    one = pair(tiny_bundle("resnet"), PruneChannels(pruning_ratio=0.5), QUANTIZE)
    found = layers_of(one, samples=16)
    before = {cost.name: cost for cost in model_costs(one.original)}
    after = {cost.name: cost for cost in model_costs(one.result)}
    assert [row.layer for row in found.rows] == list(after)
    for row in found.rows:
        assert (row.macs, row.macs_before) == (after[row.layer].macs, before[row.layer].macs)
        assert (row.bits, row.activation_bits) == (4, 8)
    assert set(found.distributions) == {row.layer for row in found.rows}
    assert found.part == "validation"


def test_training_that_is_not_stored_is_left_out_and_named():
    one = pair(tiny_bundle("mlp"), PruneWeights(sparsity=0.5), Distill(epochs=1))
    assert one.omitted == ("distill",)
    assert one.result.sparsity == pytest.approx(0.5, abs=0.05)


def test_a_graph_of_a_file_is_opened_as_it_runs():
    """Outputs that are rounded at run time are no layer, and hurt nothing."""
    bundle = tiny_bundle("mlp")
    file = as_a_graph(kept(bundle).content.onnx)
    other = replace(bundle, content=replace(kept(bundle).content, onnx=file))
    found = layers_of(pair(other, PruneWeights(sparsity=0.5)), samples=8)
    assert found.drawing.nodes
    assert all(row.error.sqnr for row in found.rows)


def test_every_family_can_be_looked_into(bundle):
    one = pair(bundle, PruneChannels(pruning_ratio=0.5), Quantize(samples=32))
    found = layers_of(one, samples=8)
    assert len(found.rows) > 1
    assert all(row.error.missing == "" for row in found.rows), "pruned channels are known"
    assert found.rows[-1].error.sqnr is not None
    assert found.drawing.nodes
    json.dumps(found.to_json(), allow_nan=False)
