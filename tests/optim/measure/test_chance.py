"""A model near chance on data that were brought along: what is tried, and what it says."""

from dataclasses import replace
from itertools import chain, repeat

import numpy as np
import pytest
import torch

from optim.data import Classification, Dataset, Samples
from optim.measure.chance import expected_by, is_near_chance, quick_check, what_to_check
from optim.measure.evaluate import predict
from optim.measure.predictions import Predictions
from optim.models.bundle import ModelBundle, Provenance, TorchModel
from optim.models.input_spec import InputSpec

NAMES = ("red", "green", "blue")


@pytest.fixture
def by_colour():
    """Tell the strongest channel of images of bytes; dull values are all red to it."""
    linear = torch.nn.Linear(12, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(3).repeat_interleave(4, 1))
        linear.bias.copy_(torch.tensor([1.5, 0.0, 0.0]))
    module = torch.nn.Sequential(torch.nn.Flatten(), linear).eval()
    spec = InputSpec((3, 2, 2), scale=255.0)
    return ModelBundle(
        "by colour", TorchModel(module), spec, Classification(NAMES), Provenance("test")
    )


def coloured(n=300, names=NAMES):
    """Images whose strongest channel is their class, as ``(data, samples)``."""
    targets = np.arange(n) % 3
    inputs = np.random.default_rng(0).integers(0, 60, (n, 3, 2, 2)).astype(np.uint8)
    inputs[np.arange(n), targets] += 190
    samples = Samples(inputs, targets, np.arange(n))
    data = Dataset(
        "made", "Colours", Classification(names), "5eed", {"all": n}, (3, 2, 2), lambda _: samples
    )
    return data, samples


def checks(bundle, data, samples, **options):
    return {check.name: check for check in what_to_check(bundle, data, samples, **options)}


def test_a_good_model_is_not_near_chance(by_colour):
    _, samples = coloured()
    assert not is_near_chance(predict(by_colour, samples))


@pytest.mark.parametrize(
    ("hits", "near"), [(0, True), (100, True), (110, True), (119, True), (121, False), (300, False)]
)
def test_near_chance_is_a_tenth_of_the_way_from_guessing(hits, near):
    targets = np.arange(300) % 3
    answers = np.where(np.arange(300) < hits, targets, (targets + 1) % 3)
    found = Predictions(np.arange(300), np.eye(3)[answers], targets)
    assert is_near_chance(found) is near


def test_naming_the_most_common_class_is_near_chance():
    targets = np.array([0] * 270 + [1] * 30)
    found = Predictions(np.arange(300), np.eye(2)[np.zeros(300, int)], targets)
    assert found.accuracy().value == pytest.approx(0.9)
    assert is_near_chance(found)


def test_without_labels_nobody_knows_what_chance_is():
    found = Predictions(np.arange(5), np.ones((5, 2)), np.full(5, -1))
    assert not is_near_chance(found)


def test_values_of_another_scale_are_found(by_colour):
    data, samples = coloured()
    samples = replace(samples, inputs=(samples.inputs / 255).astype(np.float32))
    assert is_near_chance(predict(by_colour, samples))
    found = checks(by_colour, data, samples)
    assert found["values"].options["scale"] == 1.0
    assert found["values"].accuracy.value == 1.0
    assert "The model answers 'red' for 100% of the samples" in found["answers"].sentence
    again = replace(by_colour, spec=replace(by_colour.spec, scale=1.0))
    assert predict(again, samples).accuracy().value == 1.0


def test_swapped_channels_are_found(by_colour):
    data, samples = coloured()
    rows = samples.targets != 1  # green is in the middle either way
    samples = samples.take(np.flatnonzero(rows))
    samples = replace(samples, inputs=np.ascontiguousarray(samples.inputs[:, ::-1]))
    found = checks(by_colour, data, samples)
    assert found["channel order"].options == {"channel_order": "BGR"}
    assert found["channel order"].accuracy.value == 1.0


def test_classes_in_another_order_are_found_on_samples_that_did_not_suggest_it(by_colour):
    data, samples = coloured()
    order = np.array([2, 0, 1])  # their class 0 is the model's output 2
    data = replace(data, task=Classification(("blue", "red", "green")))
    samples = replace(samples, targets=np.argsort(order)[samples.targets])
    found = checks(by_colour, data, samples)["label order"]
    assert found.accuracy.value == 1.0
    assert found.accuracy.n == 150
    assert found.options == {"class_names": ["red", "green", "blue"]}
    assert "'blue' is output 2" in found.sentence


def test_some_of_the_models_classes_in_another_order_come_with_the_option(by_colour):
    data, samples = coloured()
    data = replace(data, task=Classification(("green", "blue")))
    rows = np.flatnonzero(samples.targets > 0)
    samples = samples.take(np.random.default_rng(0).permutation(rows))
    samples = replace(samples, targets=samples.targets - 1)
    found = checks(by_colour, data, samples)["label order"]
    assert found.accuracy.value == 1.0
    assert found.options == {"class_names": ["red", "green", "blue"]}
    others = replace(data, task=Classification(("red", "sky")))  # names in another sense
    found = checks(by_colour, others, samples)["label order"]
    assert found.options == {"class_names": ["output 0", "red", "sky"]}


def test_noise_is_no_hint(by_colour):
    data, samples = coloured()
    shuffled = np.random.default_rng(1).permutation(samples.targets)
    found = checks(by_colour, data, replace(samples, targets=shuffled))
    assert set(found) == {"input"}
    assert "Values are divided by 255" in found["input"].sentence


def test_another_number_of_classes_is_said(by_colour):
    data, samples = coloured()
    samples = samples.take(np.flatnonzero(samples.targets < 2))
    data = replace(data, task=Classification(("a", "b")))
    samples = replace(samples, targets=1 - samples.targets)
    sentence = checks(by_colour, data, samples)["classes"].sentence
    assert sentence == "The model tells 3 classes apart, and the data have 2."


def test_the_best_trial_comes_first_and_everything_is_plain_data(by_colour):
    data, samples = coloured()
    samples = replace(samples, inputs=(samples.inputs / 255).astype(np.float32))
    found = [check.to_json() for check in what_to_check(by_colour, data, samples)]
    assert found[0]["name"] == "values"
    assert found[0]["accuracy"]["n"] == 300
    assert found[-1] == {
        "name": "input",
        "sentence": "Values are divided by 255: hold that against how the model was trained.",
        "accuracy": None,
        "options": {},
    }


def test_a_slow_model_is_tried_on_fewer_samples(by_colour):
    data, samples = coloured()
    samples = replace(samples, inputs=(samples.inputs / 255).astype(np.float32))
    times = chain([0.0, 0.0, 1_000.0], repeat(0.0))
    found = checks(by_colour, data, samples, clock=lambda: next(times))
    assert found["values"].accuracy.n == 16
    times = chain([0.0, 0.0, 1_000.0], repeat(0.0))
    assert quick_check(by_colour, data, samples, clock=lambda: next(times)).accuracy.n == 64


def test_no_trial_is_begun_once_twice_the_time_has_passed(by_colour):
    data, samples = coloured()
    samples = replace(samples, inputs=(samples.inputs / 255).astype(np.float32))
    times = chain([0.0, 0.0, 0.1], repeat(61.0))
    assert "values" not in checks(by_colour, data, samples, clock=lambda: next(times))


def test_what_a_model_expects_is_said_for_guesses(by_colour):
    expected = expected_by(by_colour)
    assert (expected.shape, expected.scale, expected.class_names) == ((3, 2, 2), 255.0, NAMES)


# --- the quick check -----------------------------------------------------------------------------


def test_a_quick_check_of_a_good_model_suggests_nothing(by_colour):
    data, samples = coloured()
    found = quick_check(by_colour, data, samples)
    assert found.accuracy.value == 1.0
    assert not found.is_near_chance
    assert found.suggestions == ()
    assert found.remarks == ()


def test_what_does_better_is_suggested_also_where_accuracy_is_not_near_chance(by_colour):
    """Two thirds right is no chance level, and still far from what the model can do."""
    data, samples = coloured()
    samples = samples.take(np.flatnonzero(samples.targets != 2))
    dull = replace(samples, inputs=np.where(samples.inputs > 180, samples.inputs, 0) // 5)
    half = np.arange(len(dull)) % 4 == 1
    dull.inputs[half] = samples.inputs[half]
    found = quick_check(by_colour, data, dull)
    assert not found.is_near_chance
    best = found.suggestions[0]
    assert best.name == "values"
    assert best.accuracy.low > found.accuracy.high
    assert found.remarks == ()


def test_channels_and_values_that_only_help_together_are_tried_together(by_colour):
    data, samples = coloured()
    samples = samples.take(np.flatnonzero(samples.targets != 1))
    inputs = np.ascontiguousarray(samples.inputs[:, ::-1] / 255).astype(np.float32)
    found = quick_check(by_colour, data, replace(samples, inputs=inputs))
    best = found.suggestions[0]
    assert best.name == "channel order"
    assert best.accuracy.value == 1.0
    assert best.options["channel_order"] == "BGR"
    assert best.options["scale"] == 1.0
