"""Criteria by hand, each better than the simpler one it claims to beat, and refitted weights."""

import pytest
import torch

from optim.errors import CalibrationError, UnsupportedModelError
from optim.layers.masks import erk_shares, global_masks, lowest_mask, over_units
from optim.layers.removal import removal_shares
from optim.layers.rewrite import weights_of
from optim.layers.rounding import Moments
from optim.layers.surgeon import energy_shares, refitted_weight
from optim.measure.evaluate import predict, runner_of
from optim.techniques.criteria import CRITERIA
from optim.techniques.criteria.lamp import LAMP
from optim.techniques.prune_weights import PruneWeights
from tests.helpers import context_for, data_for, inputs_for, tiny_bundle
from tests.optim.graph.graphs import bundle_of, kept, recurrent


def moments(inner):
    inner = torch.as_tensor(inner, dtype=torch.float32)[None]
    return Moments(inner, inner)


def squared_error(weight, other, inner):
    off = (weight - other).flatten(1)
    return float(((off @ inner) * off).sum())


def correlated(size=12, samples=200):
    x = torch.randn(samples, size // 2) @ torch.randn(size // 2, size)
    x = x + 0.3 * torch.randn(samples, size)
    return x.T @ x / samples


# --- scores -------------------------------------------------------------------------------------


def test_lamp_by_hand():
    weight = torch.tensor([[3.0, -1.0, 2.0]])
    found = LAMP().scores(None, {"a": weight}, None, 0)["a"]
    torch.testing.assert_close(found, torch.tensor([[1.0, 1 / 14, 4 / 13]], dtype=torch.float64))


def test_lamp_never_empties_a_layer(bundle, context):
    step = PruneWeights(sparsity=0.95, criterion="lamp")
    pruned = weights_of(step.apply(bundle, context).bundle.module)
    assert all(w.any() for w in pruned.values())


def test_a_small_weight_on_a_loud_input_brings_more_than_a_large_one_on_a_quiet():
    found = energy_shares(torch.tensor([[1.0, 3.0]]), moments([[100.0, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([[100 / 109, 9 / 109]]))


def test_of_two_weights_with_one_input_the_first_is_missed_least_and_the_second_most():
    twins = moments([[1.0, 0.999, 0.0], [0.999, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weight = torch.tensor([[2.0, 2.1, 1.0]])
    scores = removal_shares(weight, twins, refit=True).flatten()
    assert scores.argsort().tolist() == [0, 2, 1]


def test_what_is_lost_together_by_hand():
    """One input, read twice: without the first weight 1 of 4 is missing, without both all."""
    scores = removal_shares(torch.tensor([[1.0, 1.0]]), moments(torch.ones(2, 2)), refit=False)
    torch.testing.assert_close(scores.sort().values, torch.tensor([[0.25, 0.75]]).double())


@pytest.mark.parametrize("refit", [True, False])
def test_losses_are_those_of_the_outputs_as_weights_go_one_by_one(refit):
    torch.manual_seed(0)
    inner, weight = correlated(), torch.randn(3, 12)
    damped = (inner + refit * 0.01 * inner.diagonal().mean() * torch.eye(12)).double()
    whole = float(((weight @ inner) * weight).sum())
    every = removal_shares(weight, moments(inner), refit=refit)
    for row, scores in zip(weight.double(), every, strict=True):
        here, before, most = torch.ones(12, dtype=torch.bool), 0.0, 0.0
        for at in scores.argsort():
            here[at] = False
            kept = row * here
            if refit:
                kept[here] = torch.linalg.solve(damped[here][:, here], (damped @ row)[here])
            lost = squared_error(row[None], kept[None], damped)
            most = max(most, lost - before)
            before = lost
            assert float(scores[at]) == pytest.approx(most / whole, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("refit", [True, False])
def test_a_layer_that_reads_one_thing_often_keeps_a_weight_of_each_row(refit):
    """Each of its weights alone is free, and all of them are the layer."""
    torch.manual_seed(0)
    x = torch.randn(200, 1) + 0.05 * torch.randn(200, 48)
    weight = 1 + 0.1 * torch.randn(10, 48)
    often = removal_shares(weight, moments(x.T @ x / 200), refit=refit)
    plain = removal_shares(torch.randn(10, 48), moments(torch.eye(48)), refit=refit)
    masks = global_masks({"often": often, "plain": plain}, 480)
    assert masks["often"].any(1).all()


@pytest.mark.parametrize("refit", [True, False])
def test_the_surgeon_is_magnitude_where_inputs_are_independent_and_equal(refit):
    weight = torch.randn(3, 5)
    scores = removal_shares(weight, moments(torch.eye(5)), refit=refit)
    assert torch.equal(scores.flatten().argsort(), weight.abs().flatten().argsort())


def test_a_large_layer_is_judged_as_it_stands_in_few_rounds(monkeypatch):
    torch.manual_seed(0)
    inner, weight = moments(correlated(16)), torch.randn(4, 16)
    monkeypatch.setattr("optim.layers.removal._WORK", 4 * 16**3 - 1)
    few = removal_shares(weight, inner, refit=True)
    assert torch.equal(few, removal_shares(weight, inner, refit=False))
    assert few.unique().numel() == weight.numel()


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("scope", ["global", "local"])
def test_the_surgeon_is_no_worse_than_magnitude(scope, refit, several_trained):
    right = {"magnitude": 0.0, "obs": 0.0}
    for bundle, data in several_trained:
        context, samples = context_for(bundle, data=data), data.part("validation")
        for name in right:
            step = PruneWeights(sparsity=0.7, criterion=name, scope=scope, reconstruct=refit)
            made = step.apply(bundle, context).bundle
            right[name] += predict(made, samples).accuracy().value / len(several_trained)
    assert right["obs"] >= right["magnitude"] - 0.005


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_every_criterion_scores_every_weight(name, bundle, context):
    weights = weights_of(bundle.module)
    scores = CRITERIA[name]().scores(bundle, weights, context, 32)
    assert scores.keys() == weights.keys()
    for layer, weight in weights.items():
        assert scores[layer].shape == weight.shape
        assert torch.isfinite(scores[layer]).all()
        assert (scores[layer] >= 0).all()


@pytest.mark.parametrize("name", ["wanda", "obs"])
def test_graphs_are_scored_as_their_modules_are(name):
    module = tiny_bundle("lenet-5")
    step = PruneWeights(sparsity=0.5, criterion=name, scope="local", calibration_samples=64)
    data = data_for(module)
    both = [
        step.apply(model, context_for(model, data=data)).bundle for model in (module, kept(module))
    ]
    x = inputs_for(module)
    torch.testing.assert_close(*(torch.as_tensor(runner_of(m)(x)) for m in both), atol=1e-3, rtol=0)


def test_layers_whose_inputs_nobody_knows_are_scored_by_magnitude():
    graph = bundle_of(recurrent(), (6, 5))
    step = PruneWeights(sparsity=0.5, criterion="wanda", scope="local")
    report = step.apply(graph, context_for(graph)).report
    assert any(layer.touched for layer in report.layers)


def test_snip_needs_layers_that_can_be_trained():
    graph = kept(tiny_bundle("lenet-5"))
    context = context_for(graph)
    with pytest.raises(UnsupportedModelError, match="needs layers that torch can train"):
        PruneWeights(criterion="snip").apply(graph, context)


def test_snip_refuses_samples_without_labels(tiny_mlp):
    from optim.data.applied import without_labels

    context = context_for(tiny_mlp, data=without_labels(data_for(tiny_mlp)))
    with pytest.raises(CalibrationError, match="SNIP needs labels"):
        PruneWeights(criterion="snip").apply(tiny_mlp, context)


# --- refitting ----------------------------------------------------------------------------------


def test_refitted_weights_are_the_least_squares_under_the_mask():
    torch.manual_seed(1)
    inner, weight = correlated(), torch.randn(4, 12)
    mask = lowest_mask(weight.abs(), 24)
    found = refitted_weight(weight, mask, moments(inner))
    assert not found[~mask].any()
    damped = inner + 0.01 * inner.diagonal().mean() * torch.eye(12)
    for row, live, target in zip(found, mask, weight, strict=True):
        best = torch.linalg.solve(damped[live][:, live], (damped @ target)[live])
        torch.testing.assert_close(row[live], best, atol=1e-3, rtol=1e-3)


def test_the_surgeons_choice_refitted_beats_magnitude_refitted_and_both_beat_masking():
    torch.manual_seed(2)
    inner, weight = correlated(16), torch.randn(32, 16)
    by_size = lowest_mask(weight.abs(), 256)
    by_loss = lowest_mask(removal_shares(weight, moments(inner), refit=True), 256)
    errors = [
        squared_error(weight, refitted_weight(weight, by_loss, moments(inner)), inner),
        squared_error(weight, refitted_weight(weight, by_size, moments(inner)), inner),
        squared_error(weight, weight * by_size, inner),
    ]
    assert errors == sorted(errors)
    assert errors[1] < 0.5 * errors[2]


def output_error(bundle, step):
    samples = data_for(bundle).part("validation")
    after = predict(step.apply(bundle, context_for(bundle)).bundle, samples).outputs
    return float(((after - predict(bundle, samples).outputs) ** 2).sum())


@pytest.mark.parametrize("family", ["resnet", "mobilenet", "lenet-5", "mlp"])
def test_refitting_brings_outputs_back(family):
    bundle = tiny_bundle(family)
    step = PruneWeights(sparsity=0.6, scope="local")
    assert output_error(bundle, step.replace(reconstruct=True)) < output_error(bundle, step)


def test_masks_hold_after_refitting(tiny_cnn):
    step = PruneWeights(pattern="2:4", reconstruct=True, criterion="obs")
    applied = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle
    for name, weight in weights_of(applied.module).items():
        if name in applied.table.masks:
            assert not weight[~applied.table.masks[name].bool()].any()


# --- patterns and layer budgets -----------------------------------------------------------------


def test_kernels_and_blocks_go_together(tiny_cnn):
    for pattern in ("kernel", "block"):
        step = PruneWeights(pattern=pattern, sparsity=0.5, scope="local")
        applied = step.apply(tiny_cnn, context_for(tiny_cnn))
        weight = weights_of(applied.bundle.module)["layer2.0.conv1"] != 0
        units = weight.flatten(2) if pattern == "kernel" else weight.unflatten(0, (-1, 4)).mT
        if pattern == "block":
            units = weight.unflatten(0, (-1, 4)).movedim(1, -1)
        assert ((units.all(-1)) | (~units).all(-1)).all()
        assert 0.4 < 1 - float(weight.float().mean()) < 0.6


def test_units_that_do_not_divide_are_refused():
    assert over_units(torch.ones(6, 3), "block") is None
    assert over_units(torch.ones(6, 3), "kernel") is None


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9, 0.98])
def test_layers_by_size_have_the_sparsity_that_was_asked_for(sparsity):
    shapes = {"a": (16, 3, 3, 3), "b": (64, 64, 3, 3), "c": (10, 64)}
    shares = erk_shares(shapes, sparsity)
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    gone = sum(shares[name] * sizes[name] for name in shapes)
    assert gone == pytest.approx(sparsity * sum(sizes.values()))
    assert all(0 <= share <= 1 for share in shares.values())
    assert shares["b"] == max(shares.values())


def test_every_output_loses_the_same_share(tiny_cnn):
    step = PruneWeights(sparsity=0.5, scope="output", criterion="wanda")
    applied = step.apply(tiny_cnn, context_for(tiny_cnn))
    for weight in weights_of(applied.bundle.module).values():
        kept_ = (weight != 0).flatten(1).sum(1)
        assert (kept_ == weight[0].numel() - round(0.5 * weight[0].numel())).all()
