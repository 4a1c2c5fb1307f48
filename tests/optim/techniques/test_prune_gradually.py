"""Exact sparsity in the end, zeros that stay zero, and better than one cut at high sparsity."""

from collections import Counter
from dataclasses import replace

import onnx
import pytest
import torch
from onnx import numpy_helper

from optim.data import trained_on
from optim.errors import Cancelled, ConfigError, UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.layers.rewrite import weights_of
from optim.measure.evaluate import predict
from optim.models.bundle import GraphModel
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.recipe import Recipe
from optim.step import NoResume
from optim.subject import open_subject
from optim.techniques.finetune import FineTune
from optim.techniques.prune_gradually import PruneGradually
from optim.techniques.prune_weights import PruneWeights
from tests.helpers import context_for, data_for

QUICK = {"epochs": 2, "batch_size": 16}


def zeros(bundle):
    return {name: int((w == 0).sum()) for name, w in weights_of(bundle.module).items()}


def sizes(bundle):
    return {name: w.numel() for name, w in weights_of(bundle.module).items()}


def pruned(bundle, context=None, **fields):
    return PruneGradually(**{**QUICK, **fields}).apply(bundle, context or context_for(bundle))


# --- how many -------------------------------------------------------------------------------------


@pytest.mark.parametrize("removal", ["one_shot", "linear", "cubic"])
def test_global_sparsity_is_met_within_one_weight(removal, bundle, context):
    result = pruned(bundle, context, sparsity=0.83, removal=removal).bundle
    assert sum(zeros(result).values()) == round(0.83 * sum(sizes(bundle).values()))


@pytest.mark.parametrize("removal", ["one_shot", "cubic"])
@pytest.mark.parametrize("scope", ["local", "global"])
def test_with_regrowth_as_many_weights_may_differ_from_zero(removal, scope, bundle, context):
    fields = {"sparsity": 0.83, "removal": removal, "scope": scope, "regrow": 0.3}
    result = pruned(bundle, context, **fields).bundle
    masks = result.table.masks
    size = sizes(bundle)
    if scope == "global":
        gone = sum(int((~mask).sum()) for mask in masks.values())
        assert gone == round(0.83 * sum(size.values()))
    else:
        assert {name: int((~mask).sum()) for name, mask in masks.items()} == {
            name: round(0.83 * count) for name, count in size.items()
        }
    for name, weight in weights_of(result.module).items():
        assert not weight[~masks[name]].any()


@pytest.mark.parametrize("sparsity", [0.01, 0.5, 0.99])
def test_local_sparsity_is_met_in_every_layer(sparsity, tiny_cnn):
    result = pruned(tiny_cnn, sparsity=sparsity, scope="local").bundle
    for name, count in zeros(result).items():
        assert count == round(sparsity * sizes(tiny_cnn)[name])


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.25, 0.25), (0.25, 1.0), (0.0, 1.0)])
def test_it_is_met_wherever_removal_starts_and_ends(tiny_mlp, start, end):
    result = pruned(tiny_mlp, sparsity=0.7, start=start, end=end).bundle
    assert sum(zeros(result).values()) == round(0.7 * sum(sizes(tiny_mlp).values()))


@pytest.mark.parametrize("fields", [{"keep": "best"}, {"patience": 1}, {"average": 1.0}], ids=str)
def test_it_is_met_by_whichever_model_is_kept(tiny_mlp, fields):
    step = {"sparsity": 0.7, "epochs": 6, "end": 0.5, **fields}
    result = pruned(tiny_mlp, **step).bundle
    assert sum(zeros(result).values()) == round(0.7 * sum(sizes(tiny_mlp).values()))


def test_single_layers_get_their_own_sparsity(tiny_cnn):
    layers = {"conv1": 0.0, "linear": 0.6}
    applied = pruned(tiny_cnn, sparsity=0.8, layers=layers)
    found, size = zeros(applied.bundle), sizes(tiny_cnn)
    assert found["conv1"] == 0
    assert found["linear"] == round(0.6 * size["linear"])
    rest = set(size) - set(layers)
    assert sum(found[n] for n in rest) == round(0.8 * sum(size[n] for n in rest))


def test_earlier_zeros_count_and_stay(tiny_cnn):
    context = context_for(tiny_cnn)
    once = PruneWeights(pattern="2:4").apply(tiny_cnn, context).bundle
    twice = pruned(once, context, sparsity=0.8, regrow=0.4).bundle
    assert sum(zeros(twice).values()) == round(0.8 * sum(sizes(tiny_cnn).values()))
    for name, mask in once.table.masks.items():
        assert not (twice.table.masks[name] & ~mask).any()


def test_weights_go_little_by_little(tiny_mlp):
    kept = []

    class Kept(NoResume):
        def save(self, state):
            kept.append(int((state["module"]["fc1.weight"] == 0).sum()))

        def due(self):
            return True

    context = replace(context_for(tiny_mlp), resume=Kept())
    fields = {"sparsity": 0.8, "scope": "local", "removal": "linear", "end": 1.0}
    pruned(tiny_mlp, context, epochs=4, **fields)
    size = sizes(tiny_mlp)["fc1"]
    assert len(kept) == 24, "after every step"
    assert kept == sorted(kept)
    assert kept[-1] == round(0.8 * size)
    assert kept[11] == round(9 / 20 * 0.8 * size), "the tenth of 20 removals over 24 steps"


# --- zeros stay zeros -----------------------------------------------------------------------------


def test_the_mask_marks_exactly_the_zeros(bundle, context):
    result = pruned(bundle, context, sparsity=0.6).bundle
    assert result.table.masks.keys() == weights_of(bundle.module).keys()
    for name, weight in weights_of(result.module).items():
        assert torch.equal(result.table.masks[name], weight != 0)


def test_the_table_is_that_of_pruning_at_once(tiny_cnn):
    layers = {"conv1": 0.0}
    gradually = pruned(tiny_cnn, sparsity=0.6, layers=layers).bundle.table.masks
    at_once = PruneWeights(sparsity=0.6, layers=layers)
    masks = at_once.apply(tiny_cnn, context_for(tiny_cnn)).bundle.table.masks
    assert gradually.keys() == masks.keys()
    for name, mask in masks.items():
        assert (gradually[name].shape, gradually[name].dtype) == (mask.shape, mask.dtype)


def test_zeros_are_in_the_saved_and_in_the_exported_file(tiny_cnn, tmp_path):
    result = pruned(tiny_cnn, sparsity=0.7, scope="local").bundle
    again = load_checkpoint(save_checkpoint(result, tmp_path / "m.safetensors"))
    assert zeros(again) == zeros(result)
    assert again.table.masks.keys() == result.table.masks.keys()
    graph = onnx.load_from_string(onnx_bytes(result)).graph
    found = [numpy_helper.to_array(value) for value in graph.initializer]
    exported = Counter(int((w == 0).sum()) for w in found)
    assert Counter(zeros(result).values()) <= exported


def test_they_stay_while_it_is_trained_on(tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = pruned(tiny_cnn, context, sparsity=0.7).bundle
    tuned = FineTune(**QUICK).apply(sparse, context).bundle
    assert zeros(tuned) == zeros(sparse)


# --- what is left alone ---------------------------------------------------------------------------


def test_layers_left_alone_stay_dense_and_are_trained(tiny_cnn):
    applied = pruned(tiny_cnn, sparsity=0.8, layers={"conv1": 0.0})
    before, after = weights_of(tiny_cnn.module), weights_of(applied.bundle.module)
    assert after["conv1"].all()
    assert (after["conv1"] != before["conv1"]).any()
    assert "conv1" not in applied.bundle.table.masks
    report = {entry.layer: entry for entry in applied.report.layers}
    assert report["conv1"].detail == "trained, and left dense by choice"


def test_masks_of_layers_left_alone_are_kept(tiny_cnn):
    context = context_for(tiny_cnn)
    once = PruneWeights(sparsity=0.5, scope="local").apply(tiny_cnn, context).bundle
    twice = pruned(once, context, sparsity=0.8, layers={"linear": 0.0}).bundle
    assert torch.equal(twice.table.masks["linear"], once.table.masks["linear"])
    assert zeros(twice)["linear"] == zeros(once)["linear"]


def test_frozen_layers_are_neither_trained_nor_pruned(tiny_cnn):
    step = PruneGradually(sparsity=0.8, freeze=0.5, **QUICK)
    applied = step.apply(tiny_cnn, context_for(tiny_cnn))
    frozen = set(step.frozen_layers(tiny_cnn.module)) & weights_of(tiny_cnn.module).keys()
    assert frozen
    for name in frozen:
        assert torch.equal(
            weights_of(applied.bundle.module)[name], weights_of(tiny_cnn.module)[name]
        )
    details = {entry.layer: entry.detail for entry in applied.report.layers if not entry.touched}
    assert details == dict.fromkeys(frozen, "frozen by choice")
    left = {n: s for n, s in sizes(tiny_cnn).items() if n not in frozen}
    assert sum(zeros(applied.bundle).values()) == round(0.8 * sum(left.values()))


def test_an_unknown_layer_is_refused_with_the_nearest(tiny_cnn):
    with pytest.raises(ConfigError, match=r"no layer 'layer1.0.conv3'") as caught:
        pruned(tiny_cnn, layers={"layer1.0.conv3": 0.5})
    assert "layer1.0.conv1" in caught.value.hint


# --- report, teacher, resumption ------------------------------------------------------------------


def test_the_report_counts_zeros_and_tells_of_the_training(tiny_cnn):
    applied = pruned(tiny_cnn, sparsity=0.75)
    found, size = zeros(applied.bundle), sizes(tiny_cnn)
    total = sum(size.values())
    assert applied.report.summary.startswith(
        f"{sum(found.values()):,} of {total:,} weights set to zero (75.0%) in 2 epochs on 96 "
    )
    for entry in applied.report.layers:
        assert entry.amount == pytest.approx(found[entry.layer] / size[entry.layer])
        if found[entry.layer]:
            assert entry.detail == (
                f"trained; {found[entry.layer]:,} of {size[entry.layer]:,} weights zero"
            )


def test_a_layer_without_any_weight_left_is_named(tiny_cnn):
    with torch.no_grad():
        tiny_cnn.module.linear.weight.mul_(1e-6)
    notes = pruned(tiny_cnn, removal="one_shot", learning_rate=0.0001).report.notes
    assert notes == (
        "No weight is left in linear: give single layers a sparsity of their own, or all the same "
        "with the scope per layer.",
    )
    assert pruned(tiny_cnn, scope="local").report.notes == ()


def test_without_a_soft_weight_the_original_is_not_asked(tiny_mlp):
    alone = replace(context_for(tiny_mlp), reference=replace(tiny_mlp, content=GraphModel(b"")))
    pruned(tiny_mlp, alone, alpha=0)
    with pytest.raises(UnsupportedModelError):
        pruned(tiny_mlp, alone, alpha=0.5)


def test_what_it_has_seen_is_declared_and_test_samples_are_never_read(tiny_mlp):
    data = data_for(tiny_mlp)
    result = pruned(tiny_mlp, context_for(tiny_mlp, data=data)).bundle
    assert result.provenance.seen == trained_on(data)
    assert "test" not in data._loaded


@pytest.mark.parametrize(("stop_at", "criterion"), [(4, "movement"), (9, "magnitude")])
def test_a_stopped_step_ends_as_if_it_had_not_been(tiny_cnn, stop_at, criterion):
    class Kept:
        state = None

        def load(self):
            return self.state

        def save(self, state):
            self.state = state

        def due(self):
            return True

    fields = {"sparsity": 0.8, "regrow": 0.3, "average": 0.5, "mixup": 0.3}
    fields["criterion"] = criterion
    unbroken = pruned(tiny_cnn, **fields)
    kept, steps = Kept(), []

    def check():
        steps.append(1)
        if len(steps) == stop_at:
            raise Cancelled

    with pytest.raises(Cancelled):
        pruned(tiny_cnn, replace(context_for(tiny_cnn), resume=kept, check=check), **fields)
    resumed = pruned(tiny_cnn, replace(context_for(tiny_cnn), resume=kept), **fields)
    assert resumed.bundle.hash == unbroken.bundle.hash
    assert resumed.report == unbroken.report


def test_regrowth_brings_weights_back_that_were_gone(tiny_cnn):
    fields = {"sparsity": 0.8, "removal": "one_shot", "scope": "local", "alpha": 0, "epochs": 4}
    plain, regrown = (pruned(tiny_cnn, regrow=r, **fields).bundle for r in (0.0, 0.5))
    assert zeros(plain) == zeros(regrown)
    first = PruneWeights(sparsity=0.8, scope="local")
    at_once = first.apply(tiny_cnn, context_for(tiny_cnn)).bundle.table.masks
    for name, mask in at_once.items():
        assert torch.equal(plain.table.masks[name], mask), "nothing comes back"
    assert any((regrown.table.masks[name] & ~mask).any() for name, mask in at_once.items())


# --- better than one cut --------------------------------------------------------------------------

SETTINGS = {"epochs": 8, "batch_size": 64, "shift": 0}


@pytest.fixture(scope="module")
def digits():
    """The perceptron that ships, its data, and how often it is right for a seed and a step."""
    subject = open_subject(Recipe("digits-mlp", "digits"))
    samples = subject.samples()

    def predictions(seed, *steps):
        bundle, context = subject.bundle, context_for(subject.bundle, data=subject.data, seed=seed)
        for step in steps:
            bundle = step.apply(bundle, context).bundle
        return predict(bundle, samples)

    return predictions


@pytest.mark.parametrize(("sparsity", "points"), [(0.95, 0.5), (0.97, 4.0)])
def test_it_beats_one_cut_and_the_same_training(digits, sparsity, points):
    gains = []
    for seed in range(3):
        cut = digits(seed, PruneWeights(sparsity=sparsity), FineTune(**SETTINGS))
        gradual = digits(seed, PruneGradually(sparsity=sparsity, alpha=0, **SETTINGS))
        gains.append(gradual.against(cut).difference.value)
    assert min(gains) > 0
    assert sum(gains) / 3 > points


def test_by_movement_it_beats_a_cut_at_random(digits):
    """That it beats the smallest weights does not hold for a small network."""
    cut = digits(0, PruneWeights(sparsity=0.97, criterion={"random": {}}), FineTune(**SETTINGS))
    step = PruneGradually(sparsity=0.97, criterion="movement", scope="local", alpha=0, **SETTINGS)
    assert digits(0, step).against(cut).direction == "better"


def test_the_gain_is_more_than_chance(digits):
    cut = digits(0, PruneWeights(sparsity=0.97), FineTune(**SETTINGS))
    gradual = digits(0, PruneGradually(sparsity=0.97, alpha=0, **SETTINGS))
    assert gradual.against(cut).direction == "better"
