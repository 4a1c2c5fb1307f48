"""The Lab page: opens, follows its recipe, says what is wrong and loses nothing."""

import pytest
from streamlit.testing.v1 import AppTest

from optim.recipe import Recipe
from pages.components.server import evaluator
from tests.pages.helpers import (
    MODEL,
    ROOT,
    click,
    open_app,
    panel_data,
    presets_marked,
    recipe_of,
    small_recipe,
    tell,
    texts,
)


def steps_with(recipe, entry, **fields):
    return recipe.with_fields(entry, **fields).to_json()["steps"]


# --- opens --------------------------------------------------------------------------------------


def test_the_first_visit_shows_a_trained_model_with_a_preset_applied():
    at = open_app().switch_page("pages/lab/lab.py").run()
    assert not at.exception
    assert not at.error
    data = panel_data(at)
    assert data["head"]["model"] == "clutter-resnet8"
    assert presets_marked(at) == ["balanced"]
    assert "Cluttered digits" in at.subheader[0].value
    shared = ["Save snapshot", "Present", "Make offline page"]
    buttons = ["Data", *shared, "Recover accuracy", "Download verified file"]
    assert [b.label for b in at.button] == buttons


def test_the_page_runs_without_the_frame_around_it():
    at = AppTest.from_file(str(ROOT / "pages" / "lab" / "lab.py"), default_timeout=60)
    at.query_params["r"] = small_recipe().to_link()
    at.run()
    assert not at.exception
    assert panel_data(at)["head"]["model"] == MODEL


def test_the_panel_is_given_the_recipe_and_everything_to_draw_its_controls(lab):
    data = panel_data(lab)
    recipe = small_recipe()
    assert data["revision"] == recipe.hash
    assert [entry["id"] for entry in data["entries"]] == [e.id for e in recipe.entries]
    for entry in data["entries"]:
        names = {control["name"] for control in data["schema"][entry["technique"]]["controls"]}
        assert set(entry["fields"]) == names
    assert not data["can_undo"]
    assert not data["can_redo"]
    assert not data["wants_settled"]


def test_the_page_says_what_is_measured_and_on_which_samples(lab):
    assert lab.subheader[0].value == "Small ResNet · Digits"
    assert panel_data(lab)["samples"] == "validation samples"
    assert "training samples" not in texts(lab)


# --- follows its recipe -------------------------------------------------------------------------


def test_a_preset_replaces_the_steps_and_keeps_model_and_data(lab):
    tell(lab, "command", name="preset", value="tiny")
    data = panel_data(lab)
    assert presets_marked(lab) == ["tiny"]
    assert (recipe_of(lab).model, recipe_of(lab).data) == (MODEL, "digits")
    assert data["can_undo"]


def test_undo_and_redo_walk_through_what_was_committed(lab):
    first = recipe_of(lab)
    second = first.with_fields("quantize", weight_bits=4)
    tell(lab, "commit", steps=second.to_json()["steps"])
    assert recipe_of(lab) == second
    tell(lab, "command", name="undo", value=None)
    assert recipe_of(lab) == first
    assert panel_data(lab)["can_redo"]
    tell(lab, "command", name="redo", value=None)
    assert recipe_of(lab) == second
    assert not panel_data(lab)["can_redo"]


def test_reset_returns_to_the_preset_of_the_model(lab):
    tell(lab, "command", name="reset", value=None)
    assert presets_marked(lab) == ["gentle"]
    assert recipe_of(lab).model == MODEL


def test_the_panel_hears_which_of_its_messages_was_answered(lab):
    tell(lab, "commit", id="17:4", steps=steps_with(recipe_of(lab), "quantize", weight_bits=5))
    assert panel_data(lab)["heard"] == "17:4"


def test_a_released_slider_stays_where_it_is_when_the_page_runs_again(lab):
    tell(lab, "commit", steps=steps_with(recipe_of(lab), "quantize", weight_bits=5))
    shown = recipe_of(lab)
    lab.run()
    assert recipe_of(lab) == shown


# --- the link -----------------------------------------------------------------------------------


def test_the_address_holds_the_recipe_shown(lab):
    tell(lab, "commit", steps=steps_with(recipe_of(lab), "quantize", weight_bits=3))
    assert Recipe.from_link(lab.query_params["r"]) == recipe_of(lab)


def test_the_shared_link_opens_the_same_recipe_elsewhere(lab):
    tell(lab, "commit", steps=steps_with(recipe_of(lab), "prune_channels", pruning_ratio=0.6))
    shared, _ = [c.value for c in lab.code if "?r=" in c.value]
    other = open_app(link=shared.partition("?r=")[2])
    assert recipe_of(other) == recipe_of(lab)
    assert panel_data(other)["revision"] == panel_data(lab)["revision"]
    assert not other.error


@pytest.mark.parametrize("link", ["not-a-recipe", "eNo", "AAAA", "%00", "e" * 5000])
def test_a_broken_link_is_explained_and_the_default_is_shown(link):
    at = open_app(link=link)
    assert not at.exception
    assert "The link holds no recipe this program can read." in at.error[0].value
    assert panel_data(at)["head"]["model"] == "clutter-resnet8"
    at.run()
    assert not at.error, "said once"


def test_a_link_to_a_model_that_is_not_here_says_so_and_offers_those_that_are():
    at = open_app(small_recipe(model="somebody-elses"))
    assert not at.exception
    assert "There is no registered model 'somebody-elses'" in at.error[0].value
    picker = at.sidebar.selectbox(key="model_picker")
    assert picker.value is None
    assert not at.warning
    picker.set_value(MODEL).run()
    assert not at.error
    assert recipe_of(at).model == MODEL


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"model": "../../../etc/passwd"}, id="path as model"),
        pytest.param({"model": "resnet20:/etc/passwd"}, id="weights file"),
        pytest.param({"data": "/etc"}, id="folder as data"),
    ],
)
def test_a_link_cannot_make_the_server_open_a_file(fields):
    at = open_app(small_recipe(**fields))
    assert not at.exception
    assert "There is no registered" in at.error[0].value


def test_data_that_do_not_fit_the_model_are_explained():
    at = open_app(small_recipe(data="wine"))
    assert not at.exception
    assert len(at.error) == 1
    assert "Wine" in at.error[0].value
    picker = at.sidebar.selectbox(key="data_picker")
    assert picker.value is None
    assert not at.warning
    picker.set_value("digits").run()
    assert not at.error


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_step_that_is_added_where_it_cannot_stand_goes_where_it_can(lab):
    shown = recipe_of(lab)
    steps = [*shown.to_json()["steps"], {"prune_weights": {}}]
    tell(lab, "commit", steps=steps)
    assert "The steps were put in order" in lab.error[0].value
    names = [entry.name for entry in recipe_of(lab).entries]
    assert names.index("prune_weights") < names.index("quantize")


def test_undone_work_is_told_and_put_in_order_by_a_button(lab):
    prune, norms, quantize = recipe_of(lab).to_json()["steps"]
    tell(lab, "commit", steps=[norms, prune, quantize])
    assert not lab.error
    assert "statistics should be taken behind it" in panel_data(lab)["advice"][norms_id(lab)]
    tell(lab, "command", name="order", value=None)
    assert panel_data(lab)["advice"] == {}
    names = [entry.name for entry in recipe_of(lab).entries]
    assert names == ["prune_channels", "reestimate_batchnorm", "quantize"]


def norms_id(at):
    return next(e.id for e in recipe_of(at).entries if e.name == "reestimate_batchnorm")


def test_an_illegal_order_is_refused_with_the_reason_and_nothing_is_lost(lab):
    shown = recipe_of(lab)
    steps = shown.to_json()["steps"]
    tell(lab, "commit", steps=[steps[2], steps[0], steps[1]])
    assert not lab.exception
    assert "must come before 'Quantize'" in lab.error[0].value
    assert recipe_of(lab) == shown
    assert panel_data(lab)["revision"] == shown.hash


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        pytest.param([{"quantize": {"weight_bits": 99}}], "weight_bits", id="illegal value"),
        pytest.param([{"explode": {}}], "must name one technique", id="unknown technique"),
        pytest.param("all of them", "steps must be a list", id="no list"),
        pytest.param([{"distill": {}}] * 41, "at most 40 steps", id="too many"),
    ],
)
def test_steps_that_are_no_recipe_are_refused_and_nothing_is_lost(lab, steps, reason):
    shown = recipe_of(lab)
    tell(lab, "commit", steps=steps)
    assert not lab.exception
    assert reason in lab.error[0].value
    assert recipe_of(lab) == shown


def test_a_preset_that_does_not_exist_is_refused_and_nothing_is_lost(lab):
    shown = recipe_of(lab)
    tell(lab, "command", name="preset", value="enormous")
    assert not lab.exception
    assert "enormous" in lab.error[0].value
    assert recipe_of(lab) == shown


def test_an_error_is_shown_once(lab):
    tell(lab, "commit", steps=[{"explode": {}}])
    assert lab.error
    lab.run()
    assert not lab.error


def test_without_any_model_the_page_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path))
    monkeypatch.setattr("optim.models.cards.ASSETS", tmp_path)
    at = open_app().switch_page("pages/lab/lab.py").run()
    assert not at.exception
    assert "python -m optim pretrain" in at.error[0].value


def test_a_dead_evaluator_is_started_again_and_the_page_goes_on(lab):
    evaluator().stop()
    lab.run()
    assert not lab.exception
    assert not lab.error
    assert evaluator().is_running


# --- the file -----------------------------------------------------------------------------------


def test_the_download_is_verified_and_the_card_says_what_was_measured(lab):
    click(lab, "Download verified file")
    assert not lab.exception
    assert not lab.error
    shown = texts(lab)
    assert "verified" in shown
    assert "In ONNX Runtime" in shown
    assert "of the validation samples" in shown
    assert "same class as simulated for" in shown
    assert [b.label for b in lab.get("download_button")] == ["Save again"]
