"""What every technique must do, on every family of models; a new one joins by its index line."""

import contextlib
import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from optim.errors import CalibrationError, Cancelled, ConfigError
from optim.export.deploy import onnx_bytes
from optim.fields import Choice, Method, Models, PerLayer, Range, controls
from optim.layers.channels import find_channels
from optim.layers.graph import as_program
from optim.layers.rewrite import norm_layers, weights_of
from optim.layers.sketch import sketch
from optim.measure.costs import static_costs
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.recipe import Recipe
from optim.runtime.session import InferenceSession
from optim.step import refusal
from optim.techniques import TECHNIQUES, name_of
from optim.techniques.importances import IMPORTANCES
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.share_weights import ShareWeights
from optim.whatif.sketches import weighed
from tests.helpers import (
    CLASSES,
    assert_unchanged,
    context_for,
    data_for,
    frozen,
    inputs_for,
    outputs_of,
    tiny_bundle,
)

SETTINGS = {
    "drop_blocks": {"ratio": 0.5, "criterion": "random"},
    "prune_channels": {"pruning_ratio": 0.5},
    "prune_weights": {"sparsity": 0.5},
    "prune_gradually": {"epochs": 1, "batch_size": 32, "regrow": 0.2},
    "reestimate_batchnorm": {"samples": 64},
    "finetune": {"epochs": 1, "batch_size": 32},
    "distill": {"epochs": 1, "batch_size": 32},
    "equalise": {"method": {"smooth": {"samples": 32}}},
    "quantize": {"samples": 32},
    "correct_bias": {"samples": 64},
    "finetune_quantized": {"epochs": 1, "batch_size": 32},
}
"""Settings under which a technique changes something, and quickly, where its defaults do not."""

BEFORE = {
    "reestimate_batchnorm": "prune_weights",
    "correct_bias": "quantize",
    "finetune_quantized": "quantize",
}
"""What has to come first, so that there is something to do."""


@pytest.fixture(params=TECHNIQUES)
def technique(request):
    return request.param


@pytest.fixture
def step(technique):
    return step_of(technique)


def step_of(technique):
    return TECHNIQUES[technique](**SETTINGS.get(technique, {}))


@pytest.fixture
def given(technique, bundle, family):
    """The model as the technique meets it."""
    if reason := refusal(TECHNIQUES[technique], bundle.lane, "", bundle.task.kind):
        pytest.skip(reason)
    return applied_once(BEFORE[technique], family).bundle if technique in BEFORE else bundle


@pytest.fixture
def applied(technique, given, family):
    """What the technique gives, for those who only look at it."""
    return applied_once(technique, family)


@cache
def applied_once(technique, family):
    bundle = tiny_bundle(family)
    given = applied_once(BEFORE[technique], family).bundle if technique in BEFORE else bundle
    return step_of(technique).apply(given, context_for(bundle))


def test_what_is_given_stays_as_it_was(step, given, context):
    before, reference = frozen(given), frozen(context.reference)
    state = torch.get_rng_state()
    applied = step.apply(given, context)
    assert_unchanged(given, before)
    assert_unchanged(context.reference, reference)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    assert not any(layer.training for layer in applied.bundle.module.modules())


def test_the_result_is_another_model_of_the_same_interface(step, given, applied):
    result = applied.bundle
    assert (result.hash != given.hash) == any(entry.touched for entry in applied.report.layers)
    x = inputs_for(given)
    with torch.inference_mode():
        assert result.module(x).shape == given.module(x).shape
    found = outputs_of(result, x)
    assert found.shape == (len(x), given.task.n_numbers)
    assert torch.isfinite(found).all()
    assert (result.spec, result.task, result.name) == (given.spec, given.task, given.name)


def test_an_outline_is_as_large_as_the_result(step, given, context, applied):
    """A page says so before anything is calibrated."""
    if step.cost == "training":
        return
    outline, result = step.outline(given, context), applied.bundle
    assert static_costs(outline) == static_costs(result)
    assert len(onnx_bytes(outline)) == pytest.approx(len(onnx_bytes(result)), rel=0.02)


def test_a_sketch_is_as_large_as_the_outline(step, given, context):
    """Shapes alone say so while a slider of a large model moves."""
    if not step.sketches:
        return
    hollow = given.with_module(sketch(given.module))
    drawn, outline = step.outline(hollow, context), step.outline(given, context)
    found, card = weighed(drawn), static_costs(outline)
    assert (found.params.value, found.macs.value) == tuple(q.value for q in card[:2])
    # Zero points are found out by looking: on a sketch the file has them where there may be some.
    assert found.file.value == pytest.approx(len(onnx_bytes(outline)), rel=0.01)


def test_the_report_accounts_for_every_layer(step, given, applied):
    report = applied.report
    concerned = (
        norm_layers(given.module)
        if name_of(step) == "reestimate_batchnorm"
        else weights_of(given.module)
    )
    assert sorted(entry.layer for entry in report.layers) == sorted(concerned)
    assert all(entry.detail for entry in report.layers), "touched or skipped, it says how or why"
    assert report.summary.endswith(".")
    if not any(entry.touched for entry in report.layers):
        assert report.notes
    json.dumps(report.to_json(), allow_nan=False)


def test_the_same_seed_gives_the_same_result(step, given, context, applied):
    again = step.apply(given, context)
    assert again.bundle.hash == applied.bundle.hash
    assert again.report == applied.report


def test_the_result_survives_being_saved(given, applied, tmp_path):
    result = applied.bundle
    loaded = load_checkpoint(save_checkpoint(result, tmp_path / "result.safetensors"))
    x = inputs_for(given)
    assert torch.equal(outputs_of(loaded, x), outputs_of(result, x))
    assert loaded.hash == result.hash
    assert loaded.provenance == result.provenance


def test_the_result_runs_in_the_runtime_as_simulated(given, applied):
    result = applied.bundle
    x = inputs_for(given, 64)
    simulated = outputs_of(result, x).numpy()
    deployed = InferenceSession.open(onnx_bytes(result)).run(x.numpy())
    difference = np.abs(deployed - simulated)
    if not result.table.is_quantized:
        assert difference.max() <= 1e-4 * max(1, np.abs(simulated).max())
    else:
        # Kernels may round a value that lies between two steps the other way.
        assert difference.mean() <= 0.01 * simulated.std()
        assert (deployed.argmax(1) == simulated.argmax(1)).mean() > 0.95


def test_it_can_be_applied_to_its_own_result(step, given, context, applied):
    twice = step.apply(applied.bundle, context)
    assert torch.isfinite(outputs_of(twice.bundle, inputs_for(given))).all()


def test_stopping_leaves_everything_as_it_was(step, given, context):
    before = frozen(given)

    def stop():
        raise Cancelled

    with contextlib.suppress(Cancelled):
        step.apply(given, replace(context, check=stop))
    assert_unchanged(given, before)


def test_what_needs_samples_says_so_where_there_are_none(step, given, context):
    alone = replace(context, data=None)
    if step.cost != "training" and not step.calibration_passes:
        step.apply(given, alone)
    elif name_of(step) == "reestimate_batchnorm" and not norm_layers(given.module):
        assert step.apply(given, alone).report.notes
    else:
        with pytest.raises(CalibrationError, match=r"no data set was given|no training part"):
            step.apply(given, alone)


def test_a_draft_looks_at_fewer_samples(technique, step):
    if not step.calibration_passes:
        pytest.skip("does not calibrate")
    bundle = tiny_bundle("resnet")
    asked = []

    class Watched(type(context_for(bundle))):
        def calibration(self, count):
            x, targets = super().calibration(count)
            asked.append(len(x))
            return x, targets

    plain = context_for(bundle)
    first = BEFORE.get(technique)
    given = step_of(first).apply(bundle, plain).bundle if first else bundle
    context = Watched(
        data=plain.data, reference=plain.reference, step_id=plain.step_id, sample_limit=16
    )
    step.apply(given, context)
    assert asked == [16]


# --- settings -----------------------------------------------------------------------------------


def values_of(kind):
    """Return legal values of a field: the ends and some between."""
    if isinstance(kind, Range):
        stops = kind.stops()
        return [stops[0], stops[len(stops) // 2], stops[-1]]
    if isinstance(kind, Choice):
        return list(kind.options)
    if isinstance(kind, Method):
        return list(kind.family)
    if isinstance(kind, Models):
        return ["original", "digits-mlp", ("original", "digits-mlp")]
    assert isinstance(kind, PerLayer)
    return [{"conv1": kind.skip}] if kind.skip is not None else [{}]


FIELDS = [
    (name, control.name, control.kind)
    for name, cls in TECHNIQUES.items()
    for control in controls(cls)
]


@pytest.mark.parametrize(("technique", "field", "kind"), FIELDS, ids=lambda v: str(v)[:24])
def test_every_legal_value_comes_back_from_every_written_form(technique, field, kind):
    for value in values_of(kind):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        step = TECHNIQUES[technique](**{field: value})
        before = [TECHNIQUES["quantize"]()] if "quantized" in step.requires else []
        recipe = Recipe("m", "d")
        for each in (*before, step):
            recipe = recipe.with_step(each)
        for again in (
            Recipe.from_json(json.loads(json.dumps(recipe.to_json()))),
            Recipe.from_json(yaml.safe_load(recipe.to_yaml())),
            Recipe.from_link(recipe.to_link()),
        ):
            assert again == recipe
            assert again.hash == recipe.hash


def illegal_values(kind):
    if isinstance(kind, Range):
        return [kind.low - 1, kind.high + 1, math.nan, math.inf, -math.inf, "many", None, [1]]
    if isinstance(kind, Choice):
        return ["nothing", None, math.nan, [], 1.5]
    if isinstance(kind, Method):
        return ["nothing", None, 3, {"a": {}, "b": {}}]
    if isinstance(kind, Models):
        return ["", None, 3, [], ["a", "a"], "../secret", ["a", 1], ["a", "cdefghi"] * 9]
    return [{"conv1": "nothing"}, {"conv1": math.nan}, {"conv1": 1e9}, [1], "conv1"]


@pytest.mark.parametrize(("technique", "field", "kind"), FIELDS, ids=lambda v: str(v)[:24])
def test_every_illegal_value_is_refused_at_its_field(technique, field, kind):
    for value in illegal_values(kind):
        with pytest.raises(ConfigError) as caught:
            TECHNIQUES[technique](**{field: value})
        assert caught.value.field.split(".")[0] == field, value
        named = "conv1" if isinstance(kind, PerLayer) and isinstance(value, dict) else field
        assert named in caught.value.message, value


def test_a_field_that_does_not_exist_is_refused_with_those_that_do(technique):
    with pytest.raises(ConfigError, match="has no field 'colour'") as caught:
        TECHNIQUES[technique](colour="red")
    assert caught.value.field == "colour"
    assert all(control.name in caught.value.hint for control in controls(TECHNIQUES[technique]))


def test_settings_cannot_be_changed_in_place(step):
    name = controls(type(step))[0].name
    with pytest.raises(ValueError, match="frozen"):
        setattr(step, name, getattr(step, name))


def test_every_field_explains_itself(technique):
    cls = TECHNIQUES[technique]
    assert cls.title
    assert cls.about.endswith(".")
    for control in controls(cls):
        assert control.kind.label
        assert control.kind.help.endswith(".")
        conditions = {c.name for c in controls(cls)} | {""}
        assert set(control.kind.when) <= conditions


def test_settings_that_change_nothing_are_known(technique, bundle, context):
    neutral = {
        "prune_channels": {"pruning_ratio": 0.0},
        "prune_weights": {"sparsity": 0.0},
        "prune_gradually": {"epochs": 0},
        "finetune": {"epochs": 0},
        "distill": {"epochs": 0},
        "finetune_quantized": {"epochs": 0},
        "quantize": {"weight_bits": "float", "activation_bits": "float"},
    }
    if technique not in neutral:
        assert not TECHNIQUES[technique]().is_neutral
        return
    step = TECHNIQUES[technique](**neutral[technique])
    assert step.is_neutral
    if step.cost != "training":
        x = inputs_for(bundle)
        applied = step.apply(bundle, context)
        with torch.inference_mode():
            assert torch.equal(applied.bundle.module(x), bundle.module(x))


# --- importances --------------------------------------------------------------------------------


@pytest.fixture(params=IMPORTANCES)
def importance(request):
    return IMPORTANCES[request.param]()


def test_an_importance_scores_every_channel_and_changes_nothing(importance, bundle, context):
    before = frozen(bundle)
    channels = find_channels(bundle.module, bundle.spec.shape)
    scores = importance.score(bundle, channels, context)
    assert_unchanged(bundle, before)
    sizes = {group.name: group.size for group in channels.groups}
    assert set(scores) <= set(sizes)
    assert scores or not norm_layers(bundle.module), "a method may judge none only without norms"
    for name, values in scores.items():
        assert values.shape == (sizes[name],)
        assert values.dtype == torch.float32
        assert torch.isfinite(values).all()
        assert (values >= 0).all()


def test_scores_have_mean_one_so_that_groups_can_be_compared(importance, bundle, context):
    if importance == IMPORTANCES["random"]():
        pytest.skip("random numbers have mean one only on average")
    channels = find_channels(bundle.module, bundle.spec.shape)
    for name, values in importance.score(bundle, channels, context).items():
        assert float(values.mean()) == pytest.approx(1, abs=1e-3), name


def test_an_importance_depends_on_the_seed_alone(importance, bundle, context):
    channels = find_channels(bundle.module, bundle.spec.shape)
    first = importance.score(bundle, channels, context)
    torch.rand(3)
    second = importance.score(bundle, find_channels(bundle.module, bundle.spec.shape), context)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("scope", ["local", "global", "macs"])
def test_channels_can_be_pruned_by_every_importance(importance, scope, bundle, context):
    step = TECHNIQUES["prune_channels"](pruning_ratio=0.5, importance=importance, scope=scope)
    applied = step.apply(bundle, context)
    assert torch.isfinite(outputs_of(applied.bundle, inputs_for(bundle))).all()


def test_data_of_one_sample_a_class_is_enough(technique, step):
    bundle = tiny_bundle("mlp")
    context = context_for(bundle, data=data_for(bundle, train=4))
    applied = step.apply(bundle, context)
    assert torch.isfinite(outputs_of(applied.bundle, inputs_for(bundle))).all()


class Upsampling(nn.Module):
    """A small U: a transposed convolution between two others."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.mix = nn.Conv2d(9, 8, 3, padding=1)
        self.head = nn.Linear(8, len(CLASSES))

    def forward(self, x):
        up = self.up(self.norm(self.down(x)).relu())
        return self.head(self.mix(torch.cat([x, up], 1)).relu().mean((2, 3)))


@cache
def upsampling(technique):
    """Return a model as a technique meets it."""
    torch.manual_seed(0)
    bundle = tiny_bundle("resnet").with_program(as_program(Upsampling().eval()))
    if technique not in BEFORE:
        return bundle
    return step_of(BEFORE[technique]).apply(bundle, context_for(bundle)).bundle


WEIGHTS = [n for n in TECHNIQUES if n not in ("drop_blocks", "reestimate_batchnorm")]
"""Techniques that change weights layer by layer."""


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_layer_that_cannot_be_treated_is_in_the_report(name):
    """Without it, all layers seem quantized, or as sparse as asked for."""
    given = upsampling(name)
    applied = step_of(name).apply(given, context_for(given))
    (entry,) = [entry for entry in applied.report.layers if entry.layer == "up"]
    before, after = (b.module.get_parameter("up.weight") for b in (given, applied.bundle))
    if name == "prune_channels":  # it follows the channels that it reads
        assert before.shape[1] == after.shape[1]
    else:
        assert entry.touched == (not torch.equal(before, after))
    assert entry.detail
    assert {entry.layer for entry in applied.report.layers} >= {"down", "up", "mix", "head"}


def test_how_many_layers_were_treated_counts_those_that_cannot_be():
    def said(step):
        given = upsampling(name_of(step))
        return step.apply(given, context_for(given)).report.summary

    assert said(Quantize(samples=32)).startswith("3 of 4 layers")
    assert "in 3 of 4 layers set to zero" in said(PruneWeights(sparsity=0.5))
    assert "in 3 of 4 layers set to zero" in said(step_of("prune_gradually"))
    assert said(ShareWeights()).startswith("3 of 4 layers")


@pytest.mark.parametrize("step", [Quantize, PruneWeights, ShareWeights])
def test_settings_of_a_layer_that_cannot_be_treated_are_refused_with_the_reason(step):
    given, value = upsampling(""), 0.5 if step is PruneWeights else 4
    with pytest.raises(ConfigError, match="'up' cannot be set: transposed conv") as refused:
        step(layers={"up": value}).apply(given, context_for(given))
    assert refused.value.hint == "Layers that can be set: down, mix, head."
    with pytest.raises(ConfigError, match="has no layer 'nowhere'") as refused:
        step(layers={"nowhere": value}).apply(given, context_for(given))
    assert refused.value.hint == "Layers that can be set: down, mix, head."
