"""Sparsity within one weight, patterns exactly, the smallest first."""

import pytest
import torch

from optim.errors import ConfigError
from optim.layers.rewrite import weights_of
from optim.techniques.prune_weights import PruneWeights
from tests.helpers import context_for


def zeros(bundle):
    return {name: int((w == 0).sum()) for name, w in weights_of(bundle.module).items()}


def sizes(bundle):
    return {name: w.numel() for name, w in weights_of(bundle.module).items()}


@pytest.mark.parametrize("sparsity", [0.01, 0.33, 0.5, 0.9, 0.99])
def test_global_sparsity_is_met_within_one_weight(sparsity, bundle, context):
    applied = PruneWeights(sparsity=sparsity).apply(bundle, context)
    total = sum(sizes(bundle).values())
    assert sum(zeros(applied.bundle).values()) == round(sparsity * total)
    smallest_kept = min(
        float(w[w != 0].abs().min()) for w in weights_of(applied.bundle.module).values() if w.any()
    )
    gone = torch.cat(
        [
            w[weights_of(applied.bundle.module)[name] == 0].abs()
            for name, w in weights_of(bundle.module).items()
        ]
    )
    assert gone.max() <= smallest_kept


@pytest.mark.parametrize("sparsity", [0.01, 0.5, 0.87])
def test_local_sparsity_is_met_in_every_layer(sparsity, bundle, context):
    applied = PruneWeights(sparsity=sparsity, scope="local").apply(bundle, context)
    for name, count in zeros(applied.bundle).items():
        assert count == round(sparsity * sizes(bundle)[name])


@pytest.mark.parametrize(("pattern", "n", "m"), [("2:4", 2, 4), ("1:4", 1, 4), ("4:8", 4, 8)])
def test_patterns_hold_exactly_or_the_layer_is_skipped(pattern, n, m, bundle, context):
    applied = PruneWeights(pattern=pattern).apply(bundle, context)
    report = {entry.layer: entry for entry in applied.report.layers}
    for name, weight in weights_of(applied.bundle.module).items():
        if weight.shape[1] % m:
            assert not report[name].touched
            assert report[name].detail == f"{weight.shape[1]} inputs are not a multiple of {m}"
            assert torch.equal(weight, weights_of(bundle.module)[name])
        else:
            runs = (weight != 0).movedim(1, -1).reshape(-1, m).sum(dim=1)
            assert (runs == n).all()
            assert report[name].amount == pytest.approx(1 - n / m)
    assert any(entry.touched for entry in applied.report.layers)


def test_a_pattern_leaves_layers_alone_and_says_which_sparsity_it_ignores(tiny_cnn):
    step = PruneWeights(pattern="2:4", layers={"linear": 0.0, "layer1.0.conv1": 0.9})
    applied = step.apply(tiny_cnn, context_for(tiny_cnn))
    found, size = zeros(applied.bundle), sizes(tiny_cnn)
    assert found["linear"] == 0
    assert found["layer1.0.conv1"] == size["layer1.0.conv1"] // 2
    (note,) = applied.report.notes
    assert "2:4 decides the sparsity of layer1.0.conv1" in note


def test_the_mask_marks_exactly_the_zeros(bundle, context):
    applied = PruneWeights(sparsity=0.6).apply(bundle, context)
    for name, weight in weights_of(applied.bundle.module).items():
        assert torch.equal(applied.bundle.table.masks[name], weight != 0)


def test_weights_that_stay_are_untouched(bundle, context):
    applied = PruneWeights(sparsity=0.6).apply(bundle, context)
    before, after = weights_of(bundle.module), weights_of(applied.bundle.module)
    for name, weight in after.items():
        assert torch.equal(weight[weight != 0], before[name][weight != 0])


def test_a_second_pruning_keeps_the_first(tiny_cnn):
    context = context_for(tiny_cnn)
    once = PruneWeights(pattern="2:4").apply(tiny_cnn, context).bundle
    twice = PruneWeights(sparsity=0.1).apply(once, context).bundle
    for name, mask in once.table.masks.items():
        assert not (twice.table.masks[name] & ~mask).any()


def test_single_layers_get_their_own_sparsity(tiny_cnn):
    step = PruneWeights(sparsity=0.5, layers={"conv1": 0.0, "linear": 0.9})
    applied = step.apply(tiny_cnn, context_for(tiny_cnn))
    found, size = zeros(applied.bundle), sizes(tiny_cnn)
    assert found["conv1"] == 0
    assert found["linear"] == round(0.9 * size["linear"])
    rest = set(size) - {"conv1", "linear"}
    assert sum(found[n] for n in rest) == round(0.5 * sum(size[n] for n in rest))
    report = {entry.layer: entry.detail for entry in applied.report.layers}
    assert report["conv1"] == "left alone by choice"


def test_a_layer_without_any_weight_left_is_named(tiny_cnn):
    with torch.no_grad():
        tiny_cnn.module.linear.weight.mul_(1e-6)
    context = context_for(tiny_cnn)
    (note,) = PruneWeights(sparsity=0.9).apply(tiny_cnn, context).report.notes
    assert note.startswith("No weight is left in linear:")
    assert not PruneWeights(sparsity=0.9, scope="local").apply(tiny_cnn, context).report.notes


def test_an_unknown_layer_is_refused_with_the_nearest(tiny_cnn):
    with pytest.raises(ConfigError, match=r"no layer 'layer1.0.conv3'") as caught:
        PruneWeights(layers={"layer1.0.conv3": 0.5}).apply(tiny_cnn, context_for(tiny_cnn))
    assert "layer1.0.conv1" in caught.value.hint
    assert caught.value.field == "layers"


def test_global_pruning_removes_no_more_magnitude_than_local(bundle, context):
    def left(scope):
        applied = PruneWeights(sparsity=0.7, scope=scope).apply(bundle, context)
        return sum(float(w.abs().sum()) for w in weights_of(applied.bundle.module).values())

    assert left("global") >= left("local")


def test_any_pattern_keeps_no_more_magnitude_than_free_choice(tiny_cnn):
    context = context_for(tiny_cnn)
    layers = [n for n, w in weights_of(tiny_cnn.module).items() if w.shape[1] % 8 == 0]

    def left(**settings):
        weights = weights_of(PruneWeights(**settings).apply(tiny_cnn, context).bundle.module)
        return {name: float(weights[name].abs().sum()) for name in layers}

    free, wide, narrow = left(scope="local"), left(pattern="4:8"), left(pattern="2:4")
    for name in layers:
        assert free[name] >= wide[name] >= narrow[name]
