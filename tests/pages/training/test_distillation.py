"""The Distillation page: opens on what is there, follows its controls, writes settings back."""

import pytest

from optim.library import add_model
from optim.models.cards import model_cards
from optim.models.checkpoint import save_checkpoint
from optim.models.open import open_registered_model
from optim.techniques.distill import Distill
from pages.components.distillation.lesson import teachers_for
from tests.pages.helpers import MODEL, OTHER, click, open_app, recipe_of, small_recipe, texts


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


def press(at):
    (button,) = [b for b in at.button if b.label.startswith("Train")]
    return button.click().run()


def test_before_anything_is_trained_it_says_what_to_do(lab):
    at = lab.switch_page("pages/training/distillation.py").run()
    assert "No student in training" in texts(at)


def test_the_compressed_model_is_trained_as_a_run_of_the_recipe_then_shown(worked, woken):
    at = open_page(small_recipe())
    at.slider(key="temperature").set_value(2.0).run()
    at.selectbox(key="lesson_transfer").set_value("decoupled").run()
    at.select_slider(key="lesson_decoupled_other_weight").set_value(4.0).run()
    at.select_slider(key="lesson_epochs").set_value(3).run()
    at = press(at)
    assert not at.exception
    assert not at.error
    found = recipe_of(at)
    assert [e.name for e in found.active][-2:] == ["distill", "quantize"]
    step = found.entry("distill").step
    assert (step.temperature, step.epochs, step.teacher) == (2.0, 3, ("original",))
    assert step.transfer.other_weight == 4.0
    (run,) = worked.store.runs()
    assert run.spec == {"recipe": found.to_json()}
    assert woken
    assert run.title in texts(at)


def test_settings_of_the_recipe_that_are_not_offered_are_kept(worked, woken):
    recipe = small_recipe().with_step(Distill(epochs=2, learning_rate=0.05, shift=1), position=2)
    at = press(open_page(recipe))
    step = recipe_of(at).entry("distill").step
    assert (step.epochs, step.learning_rate, step.shift) == (2, 0.05, 1)


def test_without_an_epoch_there_is_nothing_to_train(distilling):
    at = open_page(distilling)
    at.select_slider(key="lesson_epochs").set_value(0).run()
    (button,) = [b for b in at.button if b.label.startswith("Train")]
    assert button.disabled


def test_a_method_without_a_teacher_asks_for_none(lab):
    at = lab.switch_page("pages/training/distillation.py").run()
    assert [m.label for m in at.multiselect] == ["Teacher"]
    at.selectbox(key="lesson_transfer").set_value("self_distillation").run()
    assert not at.multiselect


def test_a_fresh_network_is_trained_with_and_without_its_teacher(worked, woken):
    at = open_page(small_recipe())
    at.segmented_control(key="lesson_student").set_value("fresh").run()
    at.selectbox(key="lesson_network_3").set_value("resnet8").run()
    at.select_slider(key="lesson_resnet8_width").set_value(4).run()
    at.select_slider(key="lesson_epochs").set_value(2).run()
    at = press(at)
    assert not at.exception
    assert not at.error
    (run,) = worked.store.runs()
    assert run.kind == "alternatives"
    assert (run.spec["topic"], run.spec["model"]) == ("distillation", MODEL)
    alone, taught = run.spec["alternatives"]
    assert alone["architecture"] == taught["architecture"] == {"resnet": {"depth": 8, "width": 4}}
    assert alone["training"] == {"finetune": {"epochs": 2}}
    assert taught["training"]["distill"] == {"epochs": 2, "teacher": MODEL}
    assert recipe_of(at) == small_recipe()


def test_only_models_of_the_same_inputs_and_classes_can_teach(lab):
    cards = model_cards()
    names = [card.name for card in teachers_for(cards[MODEL])]
    assert names[0] == MODEL
    assert "digits-mlp" in names
    assert OTHER not in names
    assert "clutter-resnet8" not in names


def test_a_model_that_somebody_else_added_unlisted_is_not_offered(lab, tmp_path):
    weights = save_checkpoint(open_registered_model(MODEL), tmp_path / "own.safetensors")
    add_model(weights, data="digits", title="Private", name="private-one", listed=False)
    try:
        at = lab.switch_page("pages/training/distillation.py").run()
        (teachers,) = at.multiselect
        assert "Private" not in teachers.options
        assert len(teachers.options) > 1
    finally:
        for path in model_cards()["private-one"].weights.parent.glob("private-one.*"):
            path.unlink()
