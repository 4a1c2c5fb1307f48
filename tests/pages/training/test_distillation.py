"""The Distillation page: opens on what is there, follows its controls, writes settings back."""

import pytest

from optim.techniques.distill import Distill
from tests.pages.helpers import OTHER, click, open_app, recipe_of, small_recipe, texts


def open_page(recipe):
    at = open_app(recipe)
    return at.switch_page("pages/training/distillation.py").run()


@pytest.fixture
def distilling():
    recipe = small_recipe()
    return recipe.with_step(Distill(epochs=5), position=2)


def test_it_opens_and_says_how_far_the_student_follows(lab):
    at = lab.switch_page("pages/training/distillation.py").run()
    assert not at.exception
    assert not at.error
    assert "choose the same class" in texts(at)
    assert "does not train" in texts(at)


def test_a_student_that_was_not_trained_is_said_to_be_so(distilling):
    at = open_page(distilling)
    assert "not distilled yet" in texts(at)


def test_a_temperature_can_be_tried_and_then_used(distilling):
    at = open_page(distilling)
    at.slider(key="temperature").set_value(8.0).run()
    assert "temperature 8" in texts(at)
    click(at, "Use in the recipe")
    assert recipe_of(at).entry("distill").step.temperature == 8.0


def test_samples_without_a_picture_are_drawn_as_numbers():
    recipe = small_recipe(model=OTHER, data="wine", steps=[])
    at = open_page(recipe)
    assert not at.exception
    assert not at.error


def test_an_outcome_that_is_chosen_shows_samples_of_it(lab):
    at = lab.switch_page("pages/training/distillation.py").run()
    at.radio(key="imitation_outcome").set_value("both_right").run()
    assert not at.exception
    assert "The true class is" in texts(at)


def test_a_model_that_is_not_here_is_answered_with_a_sentence():
    at = open_page(small_recipe(model="nowhere"))
    assert not at.exception
    assert at.error
