"""Results of training steps: kept once, found by key, never trained twice."""

from dataclasses import replace

import pytest

from optim.errors import CalibrationError
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.step import Context
from optim.stored import Kept, kept_of, load_stored, store_result, stored_file
from optim.subject import Subject
from optim.techniques.distill import Distill
from optim.techniques.finetune import FineTune
from optim.techniques.finetune_quantized import FineTuneQuantized
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm
from tests.helpers import data_for, tiny_bundle


@pytest.fixture
def subject():
    bundle = tiny_bundle("resnet")
    return Subject(bundle, data_for(bundle), "validation", "unseen", 0)


@pytest.fixture
def recipe():
    return (
        Recipe("tiny", "tiny")
        .with_step(PruneChannels(pruning_ratio=0.5))
        .with_step(Distill(epochs=1, batch_size=32))
    )


def test_nothing_is_found_under_an_unknown_key(own_home, tiny_cnn):
    assert stored_file("0" * 32) is None
    assert load_stored("0" * 32, tiny_cnn) is None


def test_a_stored_result_comes_back_with_the_name_of_what_it_came_from(own_home, tiny_cnn):
    store_result("a" * 32, replace(tiny_cnn, name="another"))
    found = load_stored("a" * 32, tiny_cnn)
    assert found.hash == tiny_cnn.hash
    assert found.name == tiny_cnn.name


def test_what_was_trained_is_taken_from_the_store_the_second_time(own_home, subject, recipe):
    trained, _ = apply_recipe(recipe, subject, stored=True)

    def watch(entry):
        raise AssertionError(f"{entry.id} is trained again")

    found, reports = apply_recipe(recipe, subject, stored=True, tracker=watch)
    assert found.hash == trained.hash
    assert "trained before" in reports["distill"].summary


def test_what_was_trained_later_does_without_what_it_started_from(own_home, subject, recipe):
    twice = (
        recipe.with_step(ReestimateBatchNorm())
        .with_step(FineTune(epochs=1, batch_size=32))
        .with_step(Quantize())
        .with_step(FineTuneQuantized(epochs=1, batch_size=32))
    )
    trained, _ = apply_recipe(twice, subject, stored=True)
    keys = twice.chain(subject.bundle.hash, subject.data.hash)
    ids = [entry.id for entry in twice.active]
    at = {name: ids.index(name) for name in ids}
    assert kept_of(twice, keys) == Kept()
    stored_file(keys[at["distill"] + 1]).unlink()
    stored_file(keys[at["finetune"] + 1]).unlink()
    kept = kept_of(twice, keys)
    assert kept.missing == ()
    assert kept.passed_over == set(range(at["distill"], at["finetune_quantized"]))

    def watch(entry):
        raise AssertionError(f"{entry.id} is trained again")

    found, reports = apply_recipe(twice, subject, stored=True, tracker=watch)
    assert found.hash == trained.hash
    assert list(reports) == ids
    assert "part of what was trained later" in reports["quantize"].summary
    stored_file(keys[at["finetune_quantized"] + 1]).unlink()
    assert kept_of(twice, keys).missing == ("distill", "finetune", "finetune_quantized")


def test_only_trainings_after_what_is_stored_are_missing(own_home, subject, recipe):
    apply_recipe(recipe, subject, stored=True)
    longer = recipe.with_step(FineTune(epochs=1))
    keys = longer.chain(subject.bundle.hash, subject.data.hash)
    assert kept_of(longer, keys) == Kept(missing=("finetune",))


def test_without_asking_nothing_is_kept(own_home, subject, recipe):
    apply_recipe(recipe, subject)
    assert not (own_home / "store" / "students").exists()


def test_validation_samples_are_refused_where_there_are_none(tiny_cnn):
    with pytest.raises(CalibrationError, match="no"):
        Context(data=None, reference=tiny_cnn).validation()


def test_validation_samples_are_those_of_the_part(subject):
    context = Context(data=subject.data, reference=subject.bundle)
    x, targets = context.validation()
    assert len(x) == len(targets) == subject.data.parts["validation"]
