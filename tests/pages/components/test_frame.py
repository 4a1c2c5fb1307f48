"""The frame: navigation, and one choice of model and data for every page."""

import numpy as np
from PIL import Image

from optim.data.added import add_data
from optim.models.cards import model_cards
from tests.pages.helpers import (
    MODEL,
    OTHER,
    open_app,
    panel_data,
    recipe_of,
    small_recipe,
    tell,
    texts,
)


def picker(at, name="model"):
    return at.sidebar.selectbox(key=f"{name}_picker")


def test_every_model_on_this_server_can_be_chosen(lab):
    listed = {card.title for card in model_cards().values() if card.listed}
    shown = " ".join(picker(lab).options)
    assert all(title in shown for title in listed)
    assert picker(lab).value == MODEL


def test_a_chosen_model_brings_the_data_it_belongs_to(lab):
    picker(lab).set_value(OTHER).run()
    assert not lab.exception
    assert (recipe_of(lab).model, recipe_of(lab).data) == (OTHER, "wine")
    assert panel_data(lab)["head"]["data"] == "wine"


def test_the_picker_follows_undo(lab):
    picker(lab).set_value(OTHER).run()
    tell(lab, "command", name="undo", value=None)
    assert picker(lab).value == MODEL
    assert recipe_of(lab) == small_recipe()


def test_inputs_made_for_the_model_can_always_be_chosen(lab):
    assert picker(lab, "data").options == ["Digits", "Generated inputs"]
    picker(lab, "data").set_value("generated").run()
    assert not lab.error
    assert recipe_of(lab).data == "generated"
    assert "256 generated inputs" in texts(lab)
    assert panel_data(lab)["metric"]["short"] == "Agreement"


def test_data_of_the_same_input_can_be_chosen(page_home, tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "grey" / label).mkdir(parents=True)
        for i in range(3):
            image = Image.fromarray(np.full((8, 8), 40 * i, np.uint8))
            image.save(tmp_path / "grey" / label / f"{i}.png")
    card = add_data(tmp_path / "grey", title="Grey", listed=False)
    at = open_app(small_recipe(data=card.name))
    assert not at.exception
    picker(at, "data").set_value("digits").run()
    assert not at.error
    assert recipe_of(at).data == "digits"


def test_the_choice_is_kept_from_page_to_page(lab):
    lab.switch_page("pages/reference/techniques.py").run()
    assert not lab.exception
    assert picker(lab).value == MODEL
    picker(lab).set_value(OTHER).run()
    lab.switch_page("pages/lab/lab.py").run()
    assert recipe_of(lab).model == OTHER


def test_data_with_fields_of_their_own_are_kept_although_no_list_has_them():
    at = open_app(small_recipe(data="digits?seed=3"))
    assert not at.exception
    assert not at.error
    assert recipe_of(at).data == "digits?seed=3"
    assert panel_data(at)["head"]["data"] == "digits?seed=3"
