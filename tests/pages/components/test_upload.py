"""Bring a model: from the form to the recipe, and every refusal in one sentence."""

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
from optim.models.zoo import ZOO
from pages.components import upload
from tests.pages.helpers import click, open_app, panel_data, recipe_of, small_recipe, texts


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def mlp_for_wine():
    return saved(ZOO["mlp"].build((13,), 3, seed=2).state_dict())


def send(at, name, content, *, data="wine", architecture="mlp"):
    at.file_uploader(key="upload_weights").set_value((name, content, "application/octet-stream"))
    at.selectbox(key="upload_architecture").set_value(architecture)
    at.selectbox(key="upload_data").set_value(data)
    at.run()
    return click(at, "Open")


@pytest.fixture
def taken(monkeypatch):
    """Take files in without a process, and note what came."""
    calls = []

    def take_model(content, filename, *, owner, **options):
        calls.append(("model", content, filename, options))
        return "small-resnet"

    def take_data(content, filename, *, owner, **options):
        calls.append(("data", content, filename, options))
        return "digits"

    monkeypatch.setattr(upload, "take_model", take_model)
    monkeypatch.setattr(upload, "take_data", take_data)
    return calls


def test_nothing_can_be_opened_before_a_file_is_chosen(lab):
    (button,) = [b for b in lab.button if b.label == "Open"]
    assert button.disabled


def test_own_weights_are_registered_and_shown_at_once_with_a_warning(lab):
    at = send(lab, "mine.pt", mlp_for_wine())
    assert not at.exception
    assert not at.error
    recipe = recipe_of(at)
    assert recipe.data == "wine"
    assert recipe.model.startswith("my-")
    assert panel_data(at)["head"]["model"] == recipe.model
    assert [e.id for e in recipe.entries] == [e.id for e in small_recipe().entries]
    assert "mine.pt · Wine" in at.sidebar.selectbox(key="model_picker").options
    assert "may include training samples" in texts(at)
    assert not model_cards()[recipe.model].listed
    other = open_app(small_recipe())
    assert "mine.pt · Wine" not in other.sidebar.selectbox(key="model_picker").options


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_hostile_file_is_refused_in_one_sentence_and_nothing_is_lost(lab, tmp_path):
    shown, known = recipe_of(lab), set(model_cards())
    at = send(lab, "evil.pth", pickle.dumps(Payload(tmp_path / "it-ran")))
    assert not at.exception
    assert "not a plain state dict" in at.error[0].value
    assert "/" not in at.error[0].value
    assert not (tmp_path / "it-ran").exists()
    assert recipe_of(at) == shown
    assert set(model_cards()) == known
    at.run()
    assert panel_data(at)["revision"] == shown.hash


def test_the_architecture_is_guessed_unless_it_is_named(lab, taken):
    send(lab, "mine.pt", b"weights", architecture=upload._GUESS)
    ((_, content, filename, options),) = taken
    assert (content, filename) == (b"weights", "mine.pt")
    assert options == {"data": "wine", "architecture": "", "title": "mine.pt"}


def test_own_images_are_taken_in_before_the_weights_that_belong_to_them(lab, taken):
    lab.file_uploader(key="upload_weights").set_value(("mine.pt", b"weights", ""))
    lab.selectbox(key="upload_data").set_value(upload._NEW)
    lab.run()
    assert [b.disabled for b in lab.button if b.label == "Open"] == [True]
    lab.file_uploader(key="upload_images").set_value(("pets.zip", b"images", "application/zip"))
    lab.run()
    click(lab, "Open")
    assert [(kind, content) for kind, content, *_ in taken] == [
        ("data", b"images"),
        ("model", b"weights"),
    ]
    assert taken[0][3] == {"title": "pets.zip", "options": {}}
    assert taken[1][3]["data"] == "digits"
    assert not lab.error
    assert recipe_of(lab).model == "small-resnet"


def test_what_is_said_about_the_data_goes_with_them(lab, taken):
    lab.file_uploader(key="upload_weights").set_value(("mine.pt", b"weights", ""))
    lab.selectbox(key="upload_data").set_value(upload._NEW)
    lab.run()
    lab.file_uploader(key="upload_images").set_value(("iris.csv", b"table", "text/csv"))
    lab.text_input(key="upload_target").set_value(" species ")
    lab.checkbox(key="upload_split").check()
    lab.run()
    click(lab, "Open")
    assert taken[0][3] == {
        "title": "iris.csv",
        "options": {"target": "species", "split": "made"},
    }


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("take_model", UnsupportedModelError("It fits no architecture.", hint="Name one.")),
        ("take_data", DataError("The zip holds no images.")),
    ],
)
def test_a_refusal_is_shown_in_the_form_and_nothing_is_lost(lab, taken, monkeypatch, kind, error):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(upload, kind, refuse)
    shown = recipe_of(lab)
    lab.file_uploader(key="upload_weights").set_value(("mine.pt", b"weights", ""))
    lab.selectbox(key="upload_data").set_value(upload._NEW)
    lab.run()
    lab.file_uploader(key="upload_images").set_value(("pets.zip", b"images", "application/zip"))
    lab.run()
    click(lab, "Open")
    assert not lab.exception
    assert error.message in lab.error[0].value
    assert recipe_of(lab) == shown


def test_files_of_other_kinds_are_not_even_offered(lab):
    assert lab.file_uploader(key="upload_weights").allowed_type == [
        ".onnx",
        ".safetensors",
        ".pt",
        ".pth",
        ".th",
        ".ckpt",
    ]


def test_own_images_and_weights_come_through_their_processes(lab):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for label, name in enumerate(("cat", "dog")):
            for i, image in enumerate(pixels[label]):
                png = io.BytesIO()
                Image.fromarray(image).save(png, "PNG")
                archive.writestr(f"{name}/{i}.png", png.getvalue())
    weights = saved(ZOO["resnet8"].build((3, 8, 8), 2, seed=2).state_dict())
    lab.file_uploader(key="upload_weights").set_value(("pets.pt", weights, ""))
    lab.selectbox(key="upload_data").set_value(upload._NEW)
    lab.run()
    lab.file_uploader(key="upload_images").set_value(("pets.zip", buffer.getvalue(), ""))
    lab.run()
    click(lab, "Open")
    assert not lab.exception
    assert not lab.error, lab.error[0].value
    assert recipe_of(lab).data.startswith("my-")
    assert "12 samples" in texts(lab)
    assert panel_data(lab)["samples"] == "samples"
