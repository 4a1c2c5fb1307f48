"""Use my model: from the files to the Lab, and every refusal in one sentence."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from optim.errors import DataError, UnsupportedModelError
from optim.models.cards import model_cards
from optim.models.guessing import TASKS
from optim.models.zoo import ZOO
from optim.pairs import confirmed_check, needs_confirmation
from pages.components.bring import brought
from pages.components.bring.model import _ASKED
from pages.components.runs.words import plain
from tests.pages.helpers import click, open_app, panel_data, recipe_of, small_recipe, texts
from tests.pages.looks import BAD, DATA, GOOD, MODEL

PAGE = "pages/lab/use_my_model.py"


class Desk:
    """Answers in place of the process that opens files, and notes what it was asked."""

    def __init__(self):
        self.asked = []
        self.model, self.data, self.pair = MODEL, DATA, GOOD

    def answer(self, name, found, *args, **options):
        self.asked.append((name, *args, options))
        if callable(found):
            found = found(**options)
        if isinstance(found, Exception):
            raise found
        return found

    def of(self, name):
        return [call[-1] for call in self.asked if call[0] == name]


@pytest.fixture
def desk(monkeypatch):
    desk = Desk()

    def read(data, expected, options):
        return desk.answer("data", desk.data, expected=expected, options=options)

    def read_as_said(**asked):
        return {**DATA, "options": {**DATA["options"], **asked["options"]}}

    desk.data = read_as_said
    monkeypatch.setattr(
        brought, "look_at_model", lambda model, **o: desk.answer("model", desk.model, **o)
    )
    monkeypatch.setattr(brought, "look_at_data", read)

    def take(model, data, *, anyway, owner, **about):
        asked = {**about, "titles": [b if isinstance(b, str) else b.title for b in (model, data)]}
        check = desk.answer("pair", desk.pair, **asked) if not anyway else None
        if check and (check["is_near_chance"] or check["suggestions"]):
            return {"check": check, "model": "", "data": ""}
        desk.asked.append(("take pair", asked))
        here = data if isinstance(data, str) else "digits"
        return {"check": check, "model": "small-resnet", "data": here}

    monkeypatch.setattr(brought, "take_pair", take)
    return desk


@pytest.fixture
def page():
    return open_app(small_recipe()).switch_page(PAGE).run()


def bring(at, model="mine.onnx", data="pets.zip", content=(b"model", b"data")):
    at.file_uploader(key="bring_model_file").set_value((model, content[0], "")).run()
    if data:
        at.file_uploader(key="bring_data_file").set_value((data, content[1], "")).run()
    return at


def confirm_button(at):
    return at.button(key="bring_confirm")


# --- the steps ------------------------------------------------------------------------------------


def test_at_first_only_the_model_is_asked_for(page):
    assert not page.exception
    assert len(page.file_uploader) == 1
    assert "Bring the model first" in texts(page)
    assert confirm_button(page).disabled


def test_files_of_other_kinds_are_not_even_offered(page):
    kinds = [".safetensors", ".onnx", ".pt", ".pth", ".th", ".ckpt"]
    assert page.file_uploader(key="bring_model_file").allowed_type == kinds


def test_a_model_says_at_once_what_it_is(page, desk):
    bring(page, data=None)
    shown = texts(page)
    for fact in (
        *("Classification, 2 classes", "3 x 8 x 8", "1.2 k", "3.4 k MACs"),
        *("opset 17, pytorch 2.13", "Converted from ONNX.", "it stores 16-bit floats"),
        "One number a class.",
    ):
        assert fact in shown
    assert confirm_button(page).disabled, "data are missing"


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"kind": "regression", "names": ["price"]}, "Regression"),
        ({"kind": "outputs", "guess": "detection"}, "Boxes"),
    ],
)
def test_models_that_tell_no_classes_say_what_they_give(page, desk, outputs, words):
    card = {**MODEL["card"], "task": outputs["kind"], "outputs": outputs, "n_classes": 0}
    desk.model = {**MODEL, "card": {**card, "lane": "graph", "file": None}}
    bring(page, data=None)
    assert words in texts(page)
    assert ":gray-badge[kept as ONNX]" in texts(page)


def test_a_look_is_taken_once_and_not_at_every_run(page, desk):
    bring(page)
    page.run().run()
    assert [call[0] for call in desk.asked] == ["model", "data"]
    bring(page, data=None)
    assert [call[0] for call in desk.asked].count("model") == 2, "the same file sent again"


def test_data_are_read_for_what_the_model_expects_and_every_guess_says_why(page, desk):
    bring(page)
    assert desk.of("data") == [{"expected": MODEL["expected"], "options": {}}]
    assert page.text_input(key="read_resize").value == "8, 8"
    assert page.text_input(key="read_class_names").value == "cat, dog"
    shown = texts(page)
    assert "guessed: the model takes 8x8" in shown
    assert "usual: the model does not say" in shown
    assert "12 samples. 2 classes. What reaches the model lies in 0 to 1" in shown
    assert "Made by a test." in shown
    assert not confirm_button(page).disabled


def test_what_is_changed_is_read_anew_and_marked(page, desk):
    bring(page)
    page.selectbox(key="read_channel_order").set_value("BGR").run()
    page.text_input(key="read_target").set_value(" species ").run()
    assert desk.of("data")[-1]["options"] == {"channel_order": "BGR", "target": "species"}
    assert texts(page).count("said by you") == 2
    page.text_input(key="read_target").set_value("").run()
    assert page.session_state["said"] == {"channel_order": "BGR"}
    assert texts(page).count("said by you") == 1


def test_usual_values_are_chosen_by_name_and_shown_in_numbers(page, desk):
    bring(page)
    page.selectbox(key="read_values").set_value("ImageNet").run()
    assert page.text_input(key="read_scale").value == "255"
    assert page.text_input(key="read_mean").value == "0.485, 0.456, 0.406"
    assert page.selectbox(key="read_values").value == "ImageNet"
    page.text_input(key="read_mean").set_value("0.1, 0.2, 0.3").run()
    assert page.selectbox(key="read_values").value == "Other"
    said = desk.of("data")[-1]["options"]
    assert (said["mean"], said["std"]) == ("0.1, 0.2, 0.3", "0.229, 0.224, 0.225")
    page.selectbox(key="read_values").set_value("As guessed").run()
    assert page.session_state["said"] == {}


def test_a_mean_alone_gets_a_deviation_of_one(page, desk):
    bring(page)
    page.text_input(key="read_mean").set_value("1, 2, 3").run()
    said = desk.of("data")[-1]["options"]
    assert (said["mean"], said["std"]) == ("1, 2, 3", "1, 1, 1")


def test_what_was_said_about_one_file_is_not_held_for_the_next(page, desk):
    bring(page)
    page.selectbox(key="read_channel_order").set_value("BGR").run()
    page.file_uploader(key="bring_data_file").set_value(("other.zip", b"other", "")).run()
    assert desk.of("data")[-1]["options"] == {}
    assert page.selectbox(key="read_channel_order").value == "RGB"


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_refused_model_is_one_sentence_and_the_next_one_can_be_brought(page, desk):
    desk.model = UnsupportedModelError("It holds text.", hint="Export it again.")
    bring(page, data=None)
    assert page.error[0].value == "It holds text.\n\nExport it again."
    assert len(page.file_uploader) == 1
    desk.model = MODEL
    bring(page, data=None)
    assert not page.error


def test_refused_data_leave_the_model_and_the_form(page, desk):
    desk.data = DataError("No column says the classes.", hint="Name one.")
    bring(page)
    assert "No column says the classes." in page.error[0].value
    assert confirm_button(page).disabled
    desk.data = DATA
    page.text_input(key="read_target").set_value("kind").run()
    assert not page.error
    assert not confirm_button(page).disabled


def test_an_option_that_cannot_be_is_said_and_stays_in_its_field(page, desk):
    bring(page)

    def only_as_it_was(options, **_):
        return DataError("resize must be height and width.") if "resize" in options else DATA

    desk.data = only_as_it_was
    page.text_input(key="read_resize").set_value("big").run()
    assert page.error[0].value == "resize must be height and width."
    assert page.text_input(key="read_resize").value == "big"
    assert confirm_button(page).disabled


def test_data_that_do_not_fit_say_both_shapes(page, desk):
    desk.data = {**DATA, "fits": False, "input_shape": [1, 28, 28]}
    bring(page)
    (error,) = page.error
    assert error.value == "The samples have the shape 1 x 28 x 28, and the model takes 3 x 8 x 8."
    assert confirm_button(page).disabled


def differing(name, missing=(), unexpected=(), fitting=5):
    return {
        "name": name,
        "fitting": fitting,
        "differing": len(missing) + len(unexpected),
        "missing": {"count": len(missing), "names": list(missing)},
        "unexpected": {"count": len(unexpected), "names": list(unexpected)},
        "misshapen": {"count": 0, "names": []},
    }


def test_weights_that_fit_nothing_show_what_differs_and_take_an_architecture(page, desk):
    near = differing("resnet8", missing=["conv1.weight"], unexpected=["stem.weight"])

    def ask(architecture, task):
        if architecture == "mlp":
            return MODEL
        return {"card": None, "expected": None, "architectures": [near]}

    desk.model = ask
    bring(page, "mine.pt", data=None)
    assert "fit no architecture" in page.warning[0].value
    shown = texts(page)
    assert "**resnet8** · 5 tensors fit, 2 do not" in shown
    assert "Missing in the file: `conv1.weight`" in shown
    assert "Not part of it: `stem.weight`" in shown
    page.selectbox(key="bring_architecture").set_value("resnet8").run()
    assert "Missing in the file" in texts(page)
    assert len(page.file_uploader) == 1
    page.selectbox(key="bring_architecture").set_value("mlp").run()
    assert "Classification, 2 classes" in texts(page)
    page.file_uploader(key="bring_data_file").set_value(("a.csv", b"data", "")).run()
    click(page, "Confirm and check")
    assert desk.of("take pair")[0]["architecture"] == "mlp"


def test_what_the_outputs_mean_can_be_said_in_place_of_the_guess(page, desk):
    bring(page)
    chooser = page.selectbox(key="bring_task")
    assert chooser.options[0] == "As guessed: Classification, 2 classes"
    assert list(_ASKED) == list(TASKS)
    chooser.set_value("outputs").run()
    assert desk.of("model")[-1]["task"] == "outputs"
    click(page, "Confirm and check")
    assert desk.of("take pair")[0]["task"] == "outputs"


def test_weights_that_fit_several_are_asked_which_and_only_those_are_offered(page, desk):
    both = [differing("resnet20"), differing("resnet32")]
    desk.model = {"card": None, "expected": None, "architectures": both}
    bring(page, "mine.pt", data=None)
    assert "they fit resnet20 and resnet32: choose which" in page.info[0].value
    assert page.selectbox(key="bring_architecture").options == ["resnet20", "resnet32"]


# --- the check ------------------------------------------------------------------------------------


def test_a_pair_that_passes_is_shown_in_the_lab_and_remembered(page, desk):
    bring(page)
    click(page, "Confirm and check")
    assert not page.exception
    about = {"architecture": "", "task": "", "options": {"resize": [8, 8]}}
    assert desk.of("take pair") == [{**about, "titles": ["mine.onnx", "pets.zip"]}]
    assert (recipe_of(page).model, recipe_of(page).data) == ("small-resnet", "digits")
    assert panel_data(page)["head"]["model"] == "small-resnet"
    assert confirmed_check("small-resnet", "digits")["accuracy"]["value"] == 0.9


def test_no_accuracy_is_measured_before_somebody_confirms(page, desk):
    bring(page)
    assert desk.of("pair") == []
    assert "ccuracy" not in texts(page).replace("accuracy is shown", "")


def test_near_chance_says_what_would_do_better_and_nothing_is_added(page, desk):
    desk.pair = BAD
    bring(page)
    click(page, "Confirm and check")
    shown = texts(page)
    assert "**Accuracy 50 %**, measured on 12 validation samples: hardly better" in shown
    assert plain(BAD["suggestions"][0]["sentence"]) in shown
    assert "Values are divided by 255." in shown
    assert [b.label for b in page.button].count("Use this") == 1, "one cannot be applied"
    assert desk.of("take pair") == []


def test_one_click_reads_the_data_as_suggested_measures_again_and_goes_on(page, desk):
    desk.pair = lambda options, **_: GOOD if "mean" in options else BAD
    bring(page)
    click(page, "Confirm and check")
    click(page, "Use this")
    assert not page.exception
    followed = {"resize": [8, 8], **BAD["suggestions"][0]["options"]}
    assert desk.of("pair")[-1]["options"] == followed
    assert [asked["options"] for asked in desk.of("take pair")] == [followed]
    assert recipe_of(page).model == "small-resnet"


def test_a_doubtful_pair_can_be_kept_and_the_lab_says_so_with_a_way_back(page, desk):
    desk.pair = BAD
    bring(page)
    click(page, "Confirm and check")
    click(page, "Keep as it is and open the Lab")
    assert panel_data(page)["head"]["model"] == "small-resnet"
    assert "hardly better than guessing" in texts(page)
    assert "Look at the data" in [b.label for b in page.button]


def test_another_reading_has_to_be_confirmed_anew(page, desk):
    desk.pair = BAD
    bring(page)
    click(page, "Confirm and check")
    page.selectbox(key="read_channel_order").set_value("BGR").run()
    assert "hardly better" not in texts(page)


def test_without_labels_there_is_nothing_to_doubt(page, desk):
    desk.pair = {**GOOD, "accuracy": None}
    bring(page)
    click(page, "Confirm and check")
    assert panel_data(page)["head"]["model"] == "small-resnet"


def test_without_data_inputs_are_made_for_the_model_and_nothing_is_measured_first(page, desk):
    bring(page, data=None)
    page.segmented_control(key="bring_where").set_value("No data").run()
    assert not page.error
    assert "inputs made for the model" in texts(page)
    click(page, "Confirm and check")
    assert not page.exception
    assert desk.of("data") == []
    assert desk.of("take pair")[0]["titles"] == ["mine.onnx", "generated"]
    assert recipe_of(page).data == "generated"


def test_inputs_that_are_made_are_not_among_data_that_are_here(page, desk):
    bring(page, data=None)
    page.segmented_control(key="bring_where").set_value("Data that are here").run()
    offered = page.selectbox(key="bring_data_here").options
    assert any("Wine" in title for title in offered)
    assert not any("Generated" in title for title in offered)


# --- with real files ------------------------------------------------------------------------------


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_hostile_file_is_refused_in_one_sentence_and_nothing_is_lost(page, tmp_path):
    shown, known = recipe_of(page), set(model_cards())
    bring(page, "evil.pth", None, (pickle.dumps(Payload(tmp_path / "it-ran")), b""))
    assert not page.exception
    assert "not a plain state dict" in page.error[0].value
    assert "/" not in page.error[0].value
    assert not (tmp_path / "it-ran").exists()
    assert recipe_of(page) == shown
    assert set(model_cards()) == known


@pytest.mark.slow
def test_own_images_and_weights_come_through_their_processes(page):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for label, name in enumerate(("cat", "dog")):
            for i, image in enumerate(pixels[label]):
                png = io.BytesIO()
                Image.fromarray(image).save(png, "PNG")
                archive.writestr(f"{name}/{i}.png", png.getvalue())
    weights = saved(ZOO["resnet8"].build((3, 8, 8), 2, seed=2).state_dict())
    bring(page, "pets.pt", "pets.zip", (weights, buffer.getvalue()))
    assert page.text_input(key="read_mean").value == "0.485, 0.456, 0.406"
    click(page, "Confirm and check")
    assert not page.error, page.error[0].value
    click(page, "Keep as it is and open the Lab")
    assert not page.exception
    recipe = recipe_of(page)
    assert recipe.model.startswith("my-")
    assert recipe.data.startswith("my-")
    assert not needs_confirmation(recipe.model, recipe.data)
    assert "12 samples" in texts(page)
    assert "may include training samples" in texts(page)
    assert panel_data(page)["samples"] == "samples"
    other = open_app(small_recipe())
    assert not any("pets.pt" in o for o in other.sidebar.selectbox(key="model_picker").options)
