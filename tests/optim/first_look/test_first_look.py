"""What a form learns about files: plain data, whatever they are, and what would do better."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from optim.errors import DataError, UnsupportedModelError
from optim.first_look import pair
from optim.first_look.data import look_at_data
from optim.first_look.model import look_at_model
from optim.models.zoo import ZOO


@pytest.fixture(autouse=True)
def _own(own_home):
    return own_home


def check_pair(model, data, **about):
    return pair.check_pair(pair.open_pair(model, data, **about))


@pytest.fixture
def weights(tmp_path):
    """A file of weights of an architecture."""

    def make(name="resnet8", shape=(3, 8, 8), classes=2, change=lambda state: state):
        state = change(dict(ZOO[name].build(shape, classes, seed=2).state_dict()))
        torch.save(state, tmp_path / "mine.pt")
        return tmp_path / "mine.pt"

    return make


def by_colour(path, *, sides=(4, 4)):
    """Write an ONNX file that tells the strongest colour in 0..1, and calls what is dark red."""
    weight = np.eye(3, dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("Gemm", ["f", "w", "b"], ["y"]),
        ],
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, *sides])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.array([0.5, 0, 0], np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def colours(path, *, n=120, dtype=np.uint8, turned=False):
    """Write images whose strongest colour is their class; green stays out where they are turned."""
    labels = np.arange(n) % 3 if not turned else np.arange(n) % 2 * 2
    x = np.random.default_rng(0).integers(0, 60, (n, 4, 4, 3))
    x[np.arange(n), :, :, labels] += 190
    x = x[..., ::-1] if turned else x
    np.savez(path, x=(x / 255).astype(dtype) if dtype == np.float32 else x.astype(dtype), y=labels)
    return path


def test_all_answers_are_plain_data(weights, tmp_path):
    model = look_at_model(weights())
    data = colours(tmp_path / "c.npz")
    look = look_at_data(data, expected=model["expected"], options={})
    onnx_file = by_colour(tmp_path / "m.onnx")
    for answer in (model, look, check_pair(onnx_file, data, options={})):
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer


# --- models ---------------------------------------------------------------------------------------


def test_weights_that_fit_one_architecture_have_a_card(weights):
    found = look_at_model(weights())
    assert found["architectures"] == []
    assert found["card"]["lane"] == "trainable"
    assert found["card"]["n_classes"] == 2
    assert found["expected"]["shape"] == [3, 0, 0], "any size will do"


def test_weights_that_fit_none_are_held_against_the_nearest(weights):
    def renamed(state):
        return {name.replace("conv1", "stem", 1): value for name, value in state.items()}

    found = look_at_model(weights(change=renamed))
    assert found["card"] is None
    nearest = found["architectures"][0]
    assert nearest["name"] == "resnet8"
    assert nearest["missing"]["names"][0] == "conv1.weight"
    assert nearest["unexpected"]["names"][0] == "stem.weight"
    assert nearest["differing"] == nearest["missing"]["count"] + nearest["unexpected"]["count"]


def test_a_named_architecture_that_does_not_fit_says_where(weights):
    found = look_at_model(weights(), architecture="resnet20")
    assert found["card"] is None
    (differs,) = found["architectures"]
    assert differs["name"] == "resnet20"
    assert differs["missing"]["count"] == differs["differing"] > len(differs["missing"]["names"])


def test_what_is_no_weights_file_at_all_is_refused(tmp_path):
    (tmp_path / "evil.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UnsupportedModelError, match="not a plain state dict"):
        look_at_model(tmp_path / "evil.pt")


def test_an_onnx_file_says_its_input(tmp_path):
    found = look_at_model(by_colour(tmp_path / "m.onnx"))
    assert found["expected"]["shape"] == [3, 4, 4]
    assert found["card"]["task"] == "classification"


# --- data -----------------------------------------------------------------------------------------


def test_what_somebody_said_is_kept_and_the_rest_is_guessed(tmp_path):
    data = colours(tmp_path / "c.npz")
    expected = {
        "shape": [3, 6, 6],
        "scale": 1.0,
        "mean": [0.5],
        "std": [0.5],
        "class_names": [],
        "size": [],
    }
    found = look_at_data(data, expected=expected, options={"channel_order": "BGR"})
    assert found["options"] == {"channel_order": "BGR", "resize": [6, 6], "scale": 255.0}
    assert set(found["reasons"]) == {"resize", "scale"}
    assert found["fits"]
    assert found["input"]["scale"] == 255.0
    assert found["can_be_varied"]


def test_data_that_no_guess_makes_fit_say_so(tmp_path):
    expected = {"shape": [13], "scale": 1.0, "mean": [], "std": [], "class_names": [], "size": []}
    found = look_at_data(colours(tmp_path / "c.npz"), expected=expected, options={})
    assert not found["fits"]


def test_built_in_data_are_shown_and_not_varied():
    found = look_at_data("wine", expected=None, options={})
    assert found["title"] == "Wine"
    assert not found["can_be_varied"]


# --- both -----------------------------------------------------------------------------------------


def test_a_model_that_understands_its_data_gets_no_suggestion(tmp_path):
    found = check_pair(by_colour(tmp_path / "m.onnx"), colours(tmp_path / "c.npz"), options={})
    assert found["accuracy"]["value"] == 1.0
    assert not found["is_near_chance"]
    assert found["suggestions"] == []


def test_a_suggestion_does_what_it_says_when_it_is_followed(tmp_path):
    model = by_colour(tmp_path / "m.onnx")
    data = colours(tmp_path / "c.npz", dtype=np.float32)  # in 0..1, where bytes are expected
    found = check_pair(model, data, options={})
    assert found["is_near_chance"]
    assert found["remarks"]
    best = found["suggestions"][0]
    assert best["accuracy"]["value"] > 0.9
    again = check_pair(model, data, options=best["options"])
    assert again["accuracy"]["value"] == best["accuracy"]["value"]
    assert not again["is_near_chance"]


def test_channels_that_were_turned_round_by_mistake_are_turned_back(tmp_path):
    model, data = by_colour(tmp_path / "m.onnx"), colours(tmp_path / "c.npz", turned=True)
    found = {s["name"]: s["options"] for s in check_pair(model, data, options={})["suggestions"]}
    assert found["channel order"] == {"channel_order": "BGR"}
    straight = colours(tmp_path / "d.npz")
    rows = np.load(straight)
    keep = rows["y"] != 1
    np.savez(straight, x=rows["x"][keep], y=rows["y"][keep])
    found = check_pair(model, straight, options={"channel_order": "BGR"})
    options = {s["name"]: s["options"] for s in found["suggestions"]}
    assert options["channel order"] == {"channel_order": "RGB"}


def test_without_labels_there_is_no_accuracy_and_nothing_to_suggest(tmp_path):
    data = colours(tmp_path / "c.npz")
    found = check_pair(by_colour(tmp_path / "m.onnx"), data, options={"target": "none"})
    assert found["accuracy"] is None
    assert found["suggestions"] == []


def test_data_of_another_shape_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"takes inputs of shape \(3, 5, 5\)"):
        check_pair(
            by_colour(tmp_path / "m.onnx", sides=(5, 5)), colours(tmp_path / "c.npz"), options={}
        )
