"""Ratios that are really reached, rounding, single layers, and importance that matters."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from optim.data import Classification
from optim.errors import CalibrationError, ConfigError, UnsupportedModelError
from optim.layers.channels import find_channels
from optim.layers.rewrite import weights_of
from optim.layers.slicing import keep_channels
from optim.measure.evaluate import predict
from optim.measure.macs import layer_costs
from optim.models.bundle import TorchModel
from optim.models.input_spec import InputSpec
from optim.step import Context
from optim.techniques import TECHNIQUES
from optim.techniques.prune_channels import PruneChannels, channel_macs
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm
from tests.helpers import context_for, tiny_bundle


def widths(bundle):
    return {name: len(weight) for name, weight in weights_of(bundle.module).items()}


def test_the_ratio_is_realised_in_every_group(bundle, context):
    before = widths(bundle)
    applied = PruneChannels(pruning_ratio=0.5, round_to=1).apply(bundle, context)
    after = widths(applied.bundle)
    for entry in applied.report.layers:
        removed = before[entry.layer] - after[entry.layer]
        assert entry.amount == pytest.approx(removed / before[entry.layer])
        assert removed == (before[entry.layer] // 2 if entry.touched else 0)
    assert any(entry.touched for entry in applied.report.layers)


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.6, 0.9])
def test_the_global_ratio_is_realised_in_all(ratio, bundle, context):
    step = PruneChannels(pruning_ratio=ratio, scope="global", round_to=1)
    applied = step.apply(bundle, context)
    removed, total = (int(n) for n in applied.report.summary.split()[:3:2])
    # Each group keeps at least one channel, or one attention head, and rounds.
    groups = find_channels(bundle.module, bundle.spec.shape).groups
    most = 1 - sum(group.together for group in groups) / total
    assert removed / total == pytest.approx(min(ratio, most), abs=0.12)


@pytest.mark.parametrize("round_to", [1, 4, 8, 16])
@pytest.mark.parametrize("scope", ["local", "global", "macs"])
def test_widths_are_rounded(round_to, scope, bundle, context):
    before = widths(bundle)
    step = PruneChannels(pruning_ratio=0.4, round_to=round_to, scope=scope)
    after = widths(step.apply(bundle, context).bundle)
    for name, width in after.items():
        assert width == before[name] or width % round_to == 0


@pytest.mark.parametrize("family", ["resnet", "mobilenet", "ds-cnn", "mlp", "cnn-1d", "vit"])
def test_so_many_macs_leave_with_one_channel(family):
    bundle = tiny_bundle(family)
    channels = find_channels(bundle.module, bundle.spec.shape)
    told = channel_macs(bundle, channels)
    before = sum(c.macs for c in layer_costs(bundle.module, bundle.spec.shape))
    singles = [g for g in channels.groups if g.together == g.blocks == 1 and g.size > 1]
    assert singles
    for group in singles:
        keep = {group.name: torch.arange(group.size - 1)}
        smaller = keep_channels(bundle.module, channels.groups, keep)
        left = sum(c.macs for c in layer_costs(smaller, bundle.spec.shape))
        assert before - left == pytest.approx(told[group.name], rel=0.05)


def test_by_macs_what_multiplies_much_goes_first(tiny_cnn):
    """Two groups that matter alike: of the one whose channels cost more, more leave."""
    left = {}
    for scope in ("global", "macs"):
        step = PruneChannels(pruning_ratio=0.4, scope=scope, round_to=1)
        smaller = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle
        left[scope] = sum(c.macs for c in layer_costs(smaller.module, smaller.spec.shape))
    assert left["macs"] < left["global"]


def test_half_the_channels_leave_about_a_quarter_of_the_macs(tiny_cnn):
    applied = PruneChannels(pruning_ratio=0.5).apply(tiny_cnn, context_for(tiny_cnn))
    shape = tiny_cnn.spec.shape
    before = sum(c.macs for c in layer_costs(tiny_cnn.module, shape))
    after = sum(c.macs for c in layer_costs(applied.bundle.module, shape))
    assert 0.22 < after / before < 0.32  # a little more: image and classes keep their sizes


def test_the_smallest_channel_by_hand_goes():
    """Magnitude over both sides of a channel: what makes it and what reads it."""
    first, second = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        # Squares of what makes the channels: 4, 1, 2; of what reads them: 1, 2, 4.
        first.weight.copy_(torch.tensor([[2.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
        second.weight.copy_(torch.tensor([[1.0, 1.0, 2.0], [0.0, 1.0, 0.0]]))
    module = nn.Sequential(first, nn.ReLU(), second).eval()
    small = tiny_bundle("mlp")
    bundle = replace(
        small, content=TorchModel(module), spec=InputSpec((2,)), task=Classification(("a", "b"))
    )
    applied = PruneChannels(pruning_ratio=1 / 3).apply(bundle, context_for(small))
    assert applied.bundle.module.get_parameter("0.weight").tolist() == [[2.0, 0.0], [1.0, 1.0]]
    assert applied.bundle.module.get_parameter("2.weight").tolist() == [[1.0, 2.0], [0.0, 0.0]]


def test_single_layers_get_their_own_ratio(tiny_cnn):
    context = context_for(tiny_cnn)
    step = PruneChannels(pruning_ratio=0.0, layers={"layer2.0.conv1": 0.75})
    after, before = widths(step.apply(tiny_cnn, context).bundle), widths(tiny_cnn)
    assert after["layer2.0.conv1"] == before["layer2.0.conv1"] // 4
    assert {n for n in after if after[n] != before[n]} == {"layer2.0.conv1"}
    step = PruneChannels(pruning_ratio=0.5, layers={"layer2.0.conv1": 0})
    after = widths(step.apply(tiny_cnn, context).bundle)
    assert after["layer2.0.conv1"] == before["layer2.0.conv1"]


def test_any_maker_names_its_group(tiny_cnn):
    step = PruneChannels(pruning_ratio=0.0, layers={"layer1.0.conv2": 0.5})
    after = widths(step.apply(tiny_cnn, context_for(tiny_cnn)).bundle)
    assert after["conv1"] == after["layer1.0.conv2"] == widths(tiny_cnn)["conv1"] // 2


def test_a_protected_layer_is_refused_with_the_reason(tiny_cnn):
    step = PruneChannels(layers={"linear": 0.5})
    with pytest.raises(ConfigError, match="linear cannot lose channels: its outputs are") as caught:
        step.apply(tiny_cnn, context_for(tiny_cnn))
    assert caught.value.field == "layers"


def test_an_unknown_layer_is_refused_with_those_there_are(tiny_cnn):
    with pytest.raises(ConfigError, match="no prunable layer 'conv9'") as caught:
        PruneChannels(layers={"conv9": 0.5}).apply(tiny_cnn, context_for(tiny_cnn))
    assert "layer1.0.conv1" in caught.value.hint


def test_masks_shrink_with_their_layers_and_stay_true(bundle, context):
    sparse = PruneWeights(sparsity=0.5).apply(bundle, context).bundle
    pruned = PruneChannels(pruning_ratio=0.5).apply(sparse, context).bundle
    for name, weight in weights_of(pruned.module).items():
        mask = pruned.table.masks[name]
        assert mask.shape == weight.shape
        assert not weight[~mask].any()


def test_a_model_whose_channels_cannot_be_followed_is_refused():
    class Odd(nn.Module):
        def forward(self, x):
            return x @ torch.ones(4, 2)

    with pytest.raises(UnsupportedModelError, match="channels of Odd cannot be followed") as caught:
        find_channels(Odd(), (3,))
    assert "single weights" in caught.value.hint


def test_batch_norm_scale_judges_only_groups_with_a_norm():
    bundle = tiny_bundle("lenet-5")
    applied = PruneChannels(importance="bn_scale", pruning_ratio=0.5).apply(
        bundle, context_for(bundle)
    )
    assert applied.report.summary.startswith("0 of ")
    conv = next(e for e in applied.report.layers if e.layer == "conv1")
    assert conv.detail == "Batch norm scale cannot judge it"


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "hessian", "fpgm", "bn_scale"])
def test_an_importance_beats_chance(importance, trained):
    """Accuracy after pruning and batch norm re-estimation, against the mean of random orders."""
    bundle, data = trained
    samples = data.part("validation")
    ratio = 0.5

    def accuracy(method, seed=0):
        context = Context(data=data, reference=bundle, seed=seed, step_id="s")
        step = PruneChannels(pruning_ratio=ratio, importance=method)
        pruned = step.apply(bundle, context).bundle
        settled = TECHNIQUES["reestimate_batchnorm"](samples=256).apply(pruned, context).bundle
        return predict(settled, samples).accuracy().value

    chance = sum(accuracy("random", seed) for seed in range(4)) / 4
    assert accuracy(importance) >= chance - 0.02


# --- refitted weights ---------------------------------------------------------------------------


def test_refitted_weights_win_back_more_than_batch_norm_alone(trained):
    bundle, data = trained
    context = Context(data, bundle)
    part = data.part("validation")
    sliced = PruneChannels(pruning_ratio=0.5).apply(bundle, context).bundle
    normed = ReestimateBatchNorm().apply(sliced, context).bundle
    applied = PruneChannels(pruning_ratio=0.5, reconstruct=True).apply(bundle, context)
    again = ReestimateBatchNorm().apply(applied.bundle, context).bundle
    reached = [predict(b, part).accuracy().value for b in (sliced, normed, applied.bundle, again)]
    assert reached[0] < reached[1] + 0.05 < reached[2]
    assert reached[3] == pytest.approx(reached[2], abs=0.02)
    assert applied.report.notes[0].endswith("layers were refitted on 256 samples.")


def test_refitting_removes_the_same_channels_and_keeps_every_family_whole(bundle, context):
    plain = PruneChannels(pruning_ratio=0.5).apply(bundle, context)
    applied = PruneChannels(pruning_ratio=0.5, reconstruct=True).apply(bundle, context)
    assert widths(applied.bundle) == widths(plain.bundle)
    assert applied.report.layers == plain.report.layers
    outputs = predict(applied.bundle, context.data.part("validation")).outputs
    assert outputs.shape[1] == bundle.task.n_numbers


def test_refitting_keeps_pruned_weights_at_zero(tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.5).apply(tiny_cnn, context).bundle
    applied = PruneChannels(pruning_ratio=0.5, reconstruct=True).apply(sparse, context)
    for name, mask in applied.bundle.table.masks.items():
        assert not weights_of(applied.bundle.module)[name][~mask].any()


def test_refitting_without_data_is_refused(tiny_cnn):
    with pytest.raises(CalibrationError, match="calibrates on samples"):
        PruneChannels(reconstruct=True).apply(tiny_cnn, Context(None, tiny_cnn))
