"""Model and data of a recipe, split so that selection is honest."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from optim.data import Dataset, Regression, Unlabelled, part_hash
from optim.data.options import Normalisation
from optim.data.task import Classification
from optim.errors import DataError, UnsupportedModelError
from optim.measure.evaluate import predict
from optim.models.bundle import Provenance
from optim.models.checkpoint import save_checkpoint
from optim.models.input_spec import InputSpec
from optim.models.open import fresh_model
from optim.models.zoo import ZOO
from optim.recipe import Recipe
from optim.subject import check_fit, fitting_data, open_subject, order_note, refusals
from optim.techniques import TECHNIQUES
from tests.helpers import data_for, tiny_bundle


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Open a tiny model that declares what it has seen, with train-and-test data."""

    def open_(seen, *, split="auto", seed=0):
        bundle = tiny_bundle("mlp")
        whole = data_for(bundle, train=200, test=80)
        data = Dataset(
            "pair", "Pair", whole.task, "5eed", {"train": 200, "test": 80}, (12,), whole.load
        )
        declared = seen(data) if callable(seen) else seen
        bundle = replace(bundle, provenance=Provenance("x", declared))
        save_checkpoint(bundle, tmp_path / "model.safetensors")
        monkeypatch.setattr("optim.subject.open_any_data", lambda ref, base: data)
        return open_subject(
            Recipe("model.safetensors", "pair", seed=seed, split=split), base=tmp_path
        ), data

    return open_


def test_validation_is_carved_from_train_where_the_model_never_saw_it(opened):
    subject, data = opened(())
    assert subject.data.parts == {"train": 180, "validation": 20, "test": 80}
    assert (subject.part, subject.overlap) == ("validation", "unseen")
    assert set(subject.samples().ids) < set(data.part("train").ids)


def test_a_model_trained_on_all_of_train_is_judged_on_half_of_test(opened):
    subject, data = opened(lambda d: (part_hash(d.hash, "train"),))
    assert subject.data.parts == {"train": 200, "validation": 40, "test": 40}
    assert subject.overlap == "unseen"
    ids = set(subject.samples().ids)
    assert ids < set(data.part("test").ids)
    assert ids.isdisjoint(subject.data.part("test").ids)


def test_where_nobody_knows_test_is_halved_and_the_page_says_so(opened):
    subject, _ = opened(None)
    assert subject.data.parts["validation"] == 40
    assert subject.overlap == "unknown"


def test_a_split_that_was_asked_for_is_kept_and_said_to_be_seen(opened):
    subject, _ = opened(lambda d: (part_hash(d.hash, "train"),), split="train")
    assert subject.data.parts["validation"] == 20
    assert subject.overlap == "seen"


def test_a_model_trained_here_keeps_its_validation_part(opened):
    """It saw train without exactly the samples this seed carves, and no others."""
    own, _ = opened(lambda d: (part_hash(d.hash, "train", 3),), seed=3)
    assert (own.data.parts["validation"], own.overlap) == (20, "unseen")
    other, _ = opened(lambda d: (part_hash(d.hash, "train", 3),), seed=4)
    assert other.data.parts["validation"] == 40
    assert other.overlap == "unseen"


def test_samples_come_in_an_order_whose_every_beginning_is_fair(opened):
    subject, _ = opened(None)
    targets = subject.samples().targets
    assert np.ptp(np.bincount(targets[:12], minlength=4)) <= 2
    assert len(subject.samples("train")) == 200


def test_the_identity_holds_everything_that_decides_an_answer(opened):
    base = opened(None)[0].hash
    assert opened(None)[0].hash == base
    assert opened(None, seed=1)[0].hash != base
    assert opened(None, split="train")[0].hash != base


def test_unsplit_data_are_measured_as_a_whole():
    bundle = tiny_bundle("mlp")
    data = replace(data_for(bundle), parts={"all": 96})
    check_fit(bundle, data)
    assert not data.is_split


def test_an_input_normalisation_replaces_that_of_the_model(opened, tmp_path):
    opened(None)
    recipe = Recipe("model.safetensors", "pair")
    spec = InputSpec((12,), (1.0,), (2.0,))
    subject = open_subject(recipe, base=tmp_path, spec=spec)
    assert subject.bundle.spec == spec
    plain = open_subject(recipe, base=tmp_path)
    assert plain.bundle.hash != subject.bundle.hash


def test_what_does_not_fit_is_refused():
    bundle = tiny_bundle("mlp")
    with pytest.raises(DataError, match=r"takes inputs of shape \(12,\); Tiny has \(1, 128\)"):
        check_fit(bundle, data_for(tiny_bundle("cnn-1d")))
    narrow = replace(bundle, task=replace(bundle.task, class_names=("a", "b")))
    with pytest.raises(DataError, match="has 4 classes; tiny mlp knows 2"):
        check_fit(narrow, data_for(bundle))


def test_labels_that_mean_something_else_are_refused():
    bundle = tiny_bundle("mlp")
    classes = data_for(bundle)
    quantities = replace(classes, task=Regression(("a", "b", "c", "d")))
    with pytest.raises(DataError, match="has classes of whole samples; tiny mlp tells none apart"):
        check_fit(replace(bundle, task=Regression(("a",))), classes)
    with pytest.raises(DataError, match="tiny mlp predicts none"):
        check_fit(bundle, quantities)
    with pytest.raises(DataError, match="has 4 quantities to be predicted; tiny mlp predicts 1"):
        check_fit(replace(bundle, task=Regression(("a",))), quantities)
    check_fit(replace(bundle, task=quantities.task), quantities)


def test_a_link_may_not_name_files():
    with pytest.raises(UnsupportedModelError, match="no registered model"):
        open_subject(Recipe("mlp", "wine"), registered_only=True)
    assert open_subject(Recipe("mlp", "wine")).part == "validation"


def test_fresh_weights_have_seen_nothing():
    subject = open_subject(Recipe("mlp", "wine"))
    assert subject.overlap == "unseen"
    assert "not been trained" in subject.bundle.provenance.note


def test_resnet20_reaches_its_published_accuracy(shared):
    """A tenth of the test images: the whole part is measured in the bench."""
    weights, data = shared("weights/resnet20.th"), shared("cifar10/test.zip")
    subject = open_subject(Recipe(f"resnet20:{weights}", str(data)))
    assert subject.part == "all"
    assert subject.overlap == "unknown"
    samples = subject.samples()
    assert len(samples) == 10_000
    assert subject.bundle.task.class_names[:2] == ("airplane", "automobile")
    few = samples.take(np.arange(500))
    accuracy = predict(subject.bundle, few).accuracy()
    assert accuracy.low <= 0.8103 <= accuracy.high
    assert torch.get_num_threads() >= 1


def test_weights_trained_on_all_of_train_are_judged_on_test_images(shared):
    folder, weights = shared("cifar10"), shared("weights/resnet20_cifar10_jpeg.safetensors")
    subject = open_subject(Recipe(f"resnet20:{weights}", str(folder)))
    assert subject.overlap == "unknown"
    assert subject.data.parts == {"train": 50_000, "validation": 5_000, "test": 5_000}


def test_data_without_labels_fit_by_their_shape_alone():
    bundle = tiny_bundle("mlp")
    data = replace(data_for(bundle), task=Unlabelled())
    check_fit(bundle, data)
    with pytest.raises(DataError, match="takes inputs of shape"):
        check_fit(bundle, replace(data, input_shape=(5,)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, (1.0, (0.5,), (0.25,))),
        (Normalisation(scale=255.0), (255.0, (0.5,), (0.25,))),
        (Normalisation(mean=(0.1,), std=(0.2,)), (1.0, (0.1,), (0.2,))),
    ],
)
def test_options_of_the_data_replace_what_they_name_of_the_models_input(
    monkeypatch, tmp_path, asked, expected
):
    bundle = tiny_bundle("mlp")
    bundle = replace(bundle, spec=replace(bundle.spec, mean=(0.5,), std=(0.25,)))
    save_checkpoint(bundle, tmp_path / "model.safetensors")
    data = replace(data_for(bundle), normalisation=asked)
    monkeypatch.setattr("optim.subject.open_any_data", lambda ref, base: data)
    spec = open_subject(Recipe("model.safetensors", "own"), base=tmp_path).bundle.spec
    assert (spec.scale, spec.mean, spec.std) == expected


def test_data_that_number_the_models_classes_otherwise_say_so():
    bundle = tiny_bundle("mlp")
    names = bundle.task.class_names
    data = data_for(bundle)
    assert fitting_data(bundle, data).notes == ()
    assert order_note(bundle, replace(data, task=Classification(names[:2]))) == ""
    assert order_note(bundle, replace(data, task=Classification(("another", names[0])))) == ""
    some = fitting_data(bundle, replace(data, task=Classification(names[2:])))
    (note,) = some.notes
    assert f"2 of the model's 4 classes and number them otherwise: {names[2]!r}" in note
    assert f"is taken for {names[0]!r}" in note
    assert f"class_names={', '.join(names)}." in note


def test_fresh_weights_for_data_without_labels_have_the_usual_ten_outputs():
    data = replace(data_for(tiny_bundle("mlp")), task=Unlabelled())
    assert fresh_model(ZOO["mlp"], data).task.n_classes == 10


def test_a_detector_takes_the_objects_it_was_made_for_and_a_classifier_takes_none_of_them():
    detector, classifier = tiny_bundle("detector"), tiny_bundle("resnet")
    scenes = data_for(detector)
    assert fitting_data(detector, scenes) is scenes
    assert fitting_data(classifier, scenes).task == Unlabelled()
    with pytest.raises(DataError, match="of other classes or on other places"):
        fitting_data(detector, replace(scenes, task=replace(scenes.task, class_names=("a",))))
    with pytest.raises(DataError, match=r"tells none apart|of whole samples"):
        check_fit(detector, data_for(classifier))


def test_what_a_technique_is_not_for_is_refused_with_the_reason():
    reasons = refusals(replace(tiny_bundle("mlp"), task=Regression()))
    assert reasons["distill"] == "'Distil' is for classification and detection, not for regression."
    assert all(TECHNIQUES[name].tasks for name in reasons)
    assert refusals(tiny_bundle("resnet")) == refusals(tiny_bundle("detector")) == {}
