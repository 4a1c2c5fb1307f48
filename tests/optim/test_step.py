"""What a step may use: samples, seeds, and never the test part."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from optim.data import Outputs, Regression, Unlabelled, trained_on
from optim.errors import CalibrationError
from optim.step import LayerReport, StepReport
from optim.techniques.distill import Distill
from optim.techniques.factorize import Factorize
from optim.techniques.finetune import FineTune
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, data_for, tiny_bundle


@pytest.fixture
def mlp_context():
    return context_for(tiny_bundle("mlp"))


def test_calibration_takes_training_samples_only(mlp_context):
    mlp_context.calibration(64)
    mlp_context.training()
    assert set(mlp_context.data._loaded) == {"train"}


def test_unsplit_data_calibrate_on_all_of_it():
    bundle = tiny_bundle("mlp")
    data = data_for(bundle)
    unsplit = replace(data, parts={"all": 96}, load=lambda part: data.part("train"))
    x, targets = context_for(bundle, data=unsplit).calibration(500)
    assert len(x) == len(targets) == 96


def test_more_samples_include_fewer(mlp_context):
    few, _ = mlp_context.calibration(20)
    many, _ = mlp_context.calibration(60)
    assert torch.equal(many[:20], few)


def test_samples_are_drawn_by_class(mlp_context):
    _, targets = mlp_context.calibration(40)
    assert np.bincount(targets).tolist() == [10, 10, 10, 10]


def test_a_draft_takes_no_more_than_its_limit(mlp_context):
    x, _ = replace(mlp_context, sample_limit=8).calibration(64)
    assert len(x) == 8
    x, _ = replace(mlp_context, sample_limit=80).calibration(16)
    assert len(x) == 16


def test_samples_are_normalised_as_the_model_wants():
    bundle = tiny_bundle("resnet")
    context = context_for(bundle)
    x, _ = context.calibration(96)
    raw = context.data.part("train").inputs
    assert x.dtype == torch.float32
    assert float(x.max()) == pytest.approx((raw.max() / 255 - 0.5) / 0.25)


def test_generators_depend_on_seed_and_step_alone(mlp_context):
    def draw(context):
        return torch.rand(3, generator=context.generator())

    assert torch.equal(draw(mlp_context), draw(mlp_context))
    assert not torch.equal(draw(mlp_context), draw(replace(mlp_context, seed=1)))
    assert not torch.equal(draw(mlp_context), draw(replace(mlp_context, step_id="other")))
    other_data = replace(mlp_context, data=data_for(mlp_context.reference, seed=9))
    assert torch.equal(draw(mlp_context), draw(other_data))


def test_without_data_the_reason_is_given(mlp_context):
    alone = replace(mlp_context, data=None)
    with pytest.raises(CalibrationError, match="no data set was given") as caught:
        alone.calibration(3)
    assert "cluttered-digits" in caught.value.hint
    with pytest.raises(CalibrationError, match="no training part"):
        alone.training()


def test_what_was_seen_is_the_training_part(mlp_context):
    assert mlp_context.seen() == trained_on(mlp_context.data)


def test_the_memo_is_asked_for_what_settings_share(mlp_context):
    asked = []

    def memo(key, compute):
        asked.append(key.split(":")[0])
        return compute()

    replace(mlp_context, memo=memo).calibration(16)
    assert asked == ["order", "calibration"]


def with_training_part(context, change):
    """Return a context whose training samples are changed."""
    data = context.data

    def load(part):
        return change(data.part(part)) if part == "train" else data.part(part)

    return replace(context, data=replace(data, load=load))


def all_the_same(samples):
    return replace(samples, inputs=np.repeat(samples.inputs[:1], len(samples), axis=0))


def of_one_class(samples):
    return samples.take(np.flatnonzero(samples.targets == 2))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (all_the_same, r"All 96 samples .* in Tiny are the same"),
        (of_one_class, r"All 24 samples .* in Tiny are of one class, 'cedar'"),
        (lambda s: of_one_class(s).take(np.arange(1)), "The only sample .* of one class"),
    ],
    ids=["constant", "one class", "one sample"],
)
def test_samples_in_which_nothing_varies_are_refused(mlp_context, change, reason):
    with pytest.raises(CalibrationError, match=reason) as refused:
        with_training_part(mlp_context, change).calibration(8)
    assert refused.value.hint.startswith("Bring")


def test_a_single_class_is_no_reason_where_there_are_no_classes(unlabelled_context, mlp_context):
    """Of quantities, and of samples that nobody names, nothing is said about classes."""
    unlabelled_context.calibration(8)
    one = replace(mlp_context.data, task=Regression(("a", "b", "c", "d")))
    with_training_part(replace(mlp_context, data=one), of_one_class).calibration(8)


def test_fewer_samples_than_asked_for_are_said(mlp_context):
    assert mlp_context.shortage(96) == ""
    assert mlp_context.shortage(256).startswith("Calibrated on 96 samples: 256 were asked for")
    assert replace(mlp_context, sample_limit=8).shortage(256) == "", "a draft says so itself"


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Quantize(samples=256), True),
        (Quantize(samples=64), False),
        (Quantize(samples=256, activation_bits="float", rounding="gptq"), True),
        (Quantize(samples=256, activation_bits="float"), False),
        (Factorize(samples=256, rank="ratio", ratio=0.2), True),
        (Factorize(samples=256, rank="ratio", ratio=0.2, inputs=False), False),
    ],
)
def test_a_report_says_that_samples_were_fewer_if_they_were_used(mlp_context, step, says):
    applied = step.apply(mlp_context.reference, mlp_context)
    assert any("were asked for" in note for note in applied.report.notes) is says


def test_a_report_is_plain_data():
    report = StepReport("Done.", (LayerReport("fc1", True, "half", 0.5),), ("careful",))
    assert report.to_json() == {
        "summary": "Done.",
        "layers": ({"layer": "fc1", "touched": True, "detail": "half", "amount": 0.5},),
        "notes": ("careful",),
    }


@pytest.fixture
def unlabelled_context():
    bundle = tiny_bundle("resnet")
    data = data_for(bundle)

    def load(part):
        samples = data.part(part)
        return replace(samples, targets=np.full(len(samples), -1))

    return context_for(bundle, data=replace(data, task=Unlabelled(), load=load))


def test_samples_without_labels_calibrate_and_do_not_train(unlabelled_context):
    x, targets = unlabelled_context.calibration(32)
    assert x.shape[0] == 32
    assert set(targets.tolist()) == {-1}
    with pytest.raises(CalibrationError, match="trains on labels, and Tiny has none"):
        unlabelled_context.training()


@pytest.mark.parametrize("step", [FineTune(), Distill()], ids=["finetune", "distill"])
def test_a_model_without_classes_is_not_trained(step):
    bundle = tiny_bundle("mlp")
    data = data_for(bundle)
    bundle = replace(bundle, task=Outputs())
    with pytest.raises(CalibrationError, match="tiny mlp tells no classes"):
        step.apply(bundle, context_for(bundle, data=data))


def test_an_importance_that_needs_labels_says_so(unlabelled_context):
    bundle = unlabelled_context.reference
    with pytest.raises(CalibrationError, match="Taylor needs labels") as caught:
        PruneChannels(pruning_ratio=0.3, importance="taylor").apply(bundle, unlabelled_context)
    assert "magnitude" in caught.value.hint
    done = PruneChannels(pruning_ratio=0.3).apply(bundle, unlabelled_context)
    assert done.bundle.hash != bundle.hash
