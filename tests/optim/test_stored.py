"""Results of training steps: kept once, found by key, never trained twice."""

from dataclasses import replace

import pytest

from optim.errors import CalibrationError
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.step import Context
from optim.stored import load_stored, store_result, stored_file
from optim.subject import Subject
from optim.techniques.distill import Distill
from optim.techniques.prune_channels import PruneChannels
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
