"""Data and preprocessing: the pair of the Lab, opened again and read otherwise."""

import numpy as np
import pytest

from optim.data.added import add_data, data_cards
from optim.library import add_model
from optim.models.checkpoint import save_checkpoint
from optim.pairs import confirm_pair
from tests.helpers import train_on_digits
from tests.pages.helpers import click, open_app, panel_data, recipe_of, small_recipe, texts
from tests.pages.looks import GOOD

PAGE = "pages/lab/data.py"


@pytest.fixture(scope="module")
def brought(served, tmp_path_factory):
    """Digits as somebody uploads them, and a model for them: unlisted, and not yet confirmed."""
    folder = tmp_path_factory.mktemp("brought")
    bundle, data = train_on_digits()
    samples = data.part("validation")
    np.savez(folder / "mine.npz", x=samples.inputs[:, 0], y=samples.targets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTIM_HOME", str(served))
        name = add_data(folder / "mine.npz", title="Mine", copy=True, listed=False).name
        weights = save_checkpoint(bundle, folder / "mine.safetensors")
        model = add_model(weights, data=name, title="My model", listed=False)
    return model, name


@pytest.fixture
def recipe(brought):
    model, data = brought
    return small_recipe(model=model, data=data)


def open_data_page(recipe):
    return open_app(recipe).switch_page(PAGE).run()


def test_a_pair_that_nobody_confirmed_shows_no_accuracy_and_leads_to_its_data(recipe):
    at = open_app(recipe)
    assert not at.exception
    assert "Nobody confirmed yet" in texts(at)
    assert not {"Recover accuracy", "Download verified file"} & {b.label for b in at.button}
    assert not [e for e in at.main if getattr(e, "key", None) == "live_panel"]
    click(at, "Look at the data")
    assert at.subheader[0].value == "Data and preprocessing"


def test_confirming_the_reading_opens_the_lab_with_the_same_data(recipe):
    at = open_data_page(recipe)
    assert not at.exception
    assert "My model" in texts(at)
    click(at, "Confirm and check")
    assert not at.error, at.error[0].value
    assert panel_data(at)["head"]["data"] == recipe.data
    assert recipe_of(at) == recipe


def test_another_reading_is_other_data_and_can_be_undone(recipe):
    confirm_pair(recipe.model, recipe.data, GOOD)
    before = data_cards()[recipe.data]
    at = open_data_page(recipe)
    at.selectbox(key="read_split").set_value("made").run()
    click(at, "Confirm and check")
    assert not at.error, at.error[0].value
    changed = recipe_of(at)
    assert changed.data != recipe.data
    assert data_cards()[changed.data].options == {"split": "made"}
    assert data_cards()[changed.data].listed is False
    assert data_cards()[recipe.data] == before
    assert panel_data(at)["samples"] == "validation samples"
    assert panel_data(at)["can_undo"]


def test_data_that_ship_are_shown_and_read_in_one_way(lab):
    at = lab.switch_page(PAGE).run()
    assert not at.exception
    assert not at.error
    assert "Built-in data are read in one way." in texts(at)
    assert not at.text_input


def test_the_header_leads_there(lab):
    click(lab, "Data")
    assert lab.subheader[0].value == "Data and preprocessing"
