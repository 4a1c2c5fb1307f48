"""A first look at data, and how a model would want them read."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from optim.data import DataOptions, open_data
from optim.data.preview import Expected, guess_options, open_as_guessed, preview
from optim.errors import DataError


@pytest.fixture
def opened(tmp_path):
    """Open arrays as data."""

    def make(x, y=None, options=None):
        np.savez(tmp_path / "data.npz", x=x, **({} if y is None else {"y": y}))
        return open_data(tmp_path / "data.npz", options=options)

    return make


def images(n=20, dtype=np.uint8):
    return (np.arange(n * 4 * 4 * 3) % 250).reshape(n, 4, 4, 3).astype(dtype)


def labels(n=20):
    return np.arange(n) % 2


def test_preview_is_plain_data(opened):
    found = preview(opened(images(), labels()), count=6)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["task"] == "classification"
    assert found["parts"] == {"all": 20}
    assert found["input_shape"] == [3, 4, 4]
    assert found["classes"] == [
        {"name": "0", "counts": {"all": 10}},
        {"name": "1", "counts": {"all": 10}},
    ]
    assert {sample["label"] for sample in found["samples"]} == {"0", "1"}
    assert "guessed from their shape" in found["notes"][0]


def test_samples_are_shown_as_they_are(opened):
    data = opened(images(), labels())
    for sample in preview(data, count=3)["samples"]:
        png = base64.b64decode(sample["image"].removeprefix("data:image/png;base64,"))
        pixels = np.asarray(Image.open(io.BytesIO(png)))
        np.testing.assert_array_equal(pixels, images()[sample["id"]])


def test_floats_are_stretched_to_be_seen_and_series_are_numbers(opened):
    float_image = preview(opened(images(dtype=np.float32) / 1e4, labels()))["samples"][0]
    png = base64.b64decode(float_image["image"].partition(",")[2])
    assert np.asarray(Image.open(io.BytesIO(png))).max() == 255
    series = preview(opened(np.ones((4, 2, 900), np.float32), labels(4)))["samples"][0]
    assert [len(row) for row in series["values"]] == [256, 256]


def test_values_are_described_by_channel(opened):
    x = np.zeros((6, 2, 3, 3), np.float32)
    x[:, 1] = np.linspace(-1, 3, 6)[:, None, None]
    found = preview(opened(x, labels(6), DataOptions(layout="NCHW")))["values"]
    assert (found["type"], found["low"], found["high"], found["n"]) == ("float32", -1.0, 3.0, 6)
    assert found["mean"] == [0.0, 1.0]


def test_data_without_labels_have_no_classes(opened):
    found = preview(opened(images()))
    assert found["task"] == "unlabelled"
    assert found["classes"] == []
    assert found["samples"][0]["label"] is None


SHAPES = {
    "another size": ((20, 3, 4, 4), (3, 8, 6), {"resize": (8, 6)}),
    "channels last, read as first": ((20, 3, 5, 7), (7, 3, 5), {"layout": "NHWC"}),
    "a series that is an image": ((20, 5, 7), (1, 5, 7), {"layout": "NHW"}),
    "channels of a series last": ((20, 5, 7), (7, 5), {"layout": "NLC"}),
    "another length": ((20, 5, 7), (5, 9), {"resize": (9,)}),
    "the same": ((20, 3, 4, 4), (3, 4, 4), {}),
    "nothing that helps": ((20, 5), (3, 4, 4), {}),
}


@pytest.mark.parametrize(("own", "wanted", "expected"), SHAPES.values(), ids=SHAPES)
def test_axes_and_size_are_guessed_from_the_model(opened, own, wanted, expected):
    x = np.full(own, 0.5, np.float32)
    guess = guess_options(opened(x, labels()), Expected(wanted))
    assert guess.options == DataOptions(**expected)
    assert set(guess.reasons) == set(expected)
    if expected:
        assert opened(x, labels(), guess.options).input_shape == wanted


MODEL = Expected((3, 4, 4), 255.0, (0.5,) * 3, (0.25,) * 3)
VALUES = {
    "bytes for a model of bytes": (images(), MODEL, {}),
    "0 to 1 for a model of bytes": (images(dtype=np.float32) / 250, MODEL, {"scale": 1.0}),
    "bytes for a model of 0 to 1": (
        images(),
        Expected((3, 4, 4), 1.0, (0.5,) * 3, (0.25,) * 3),
        {"scale": 255.0},
    ),
    "normalised already": (
        images(dtype=np.float32) / 50 - 2,
        MODEL,
        {"scale": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3},
    ),
}


@pytest.mark.parametrize(("x", "model", "expected"), VALUES.values(), ids=VALUES)
def test_scale_is_guessed_from_the_range_of_values(opened, x, model, expected):
    guess = guess_options(opened(x, labels()), model)
    assert guess.options == DataOptions(**expected)
    for reason in guess.reasons.values():
        assert reason.startswith("values lie in")


def test_classes_are_named_and_ordered_as_the_model_has_them(opened):
    named = Expected((3, 4, 4), class_names=("cat", "dog"))
    numbered = guess_options(opened(images(), labels()), named)
    assert numbered.options.class_names == ("cat", "dog")
    texts = opened(images(), np.array(["dog", "cat"])[labels()])
    assert guess_options(texts, named).options.class_names == ()
    turned = guess_options(texts, Expected((3, 4, 4), class_names=("dog", "cat")))
    assert turned.options.class_names == ("dog", "cat")
    assert "another order" in turned.reasons["class_names"]
    others = guess_options(texts, Expected((3, 4, 4), class_names=("ant", "bee")))
    assert others.options.class_names == ()
    more = guess_options(texts, Expected((3, 4, 4), class_names=("ant", "dog", "cat")))
    assert more.options.class_names == ("ant", "dog", "cat")
    assert "2 of the model's 3 classes, numbered otherwise" in more.reasons["class_names"]
    as_it_is = guess_options(texts, Expected((3, 4, 4), class_names=("cat", "dog", "ant")))
    assert as_it_is.options.class_names == ()


def test_what_somebody_said_is_not_guessed_anew(opened):
    said = DataOptions(scale=17.0, mean=(0.1,), std=(0.2,))
    guess = guess_options(opened(images(dtype=np.float32) / 50 - 2, labels(), said), MODEL, said)
    assert guess.options == said
    assert guess.reasons == {}


def test_guesses_come_with_the_preview(opened):
    data = opened(images(dtype=np.float32) / 250, labels())
    found = preview(data, guess=guess_options(data, MODEL))
    assert found["options"] == {"scale": 1.0}
    assert "the model would divide them by 255" in found["reasons"]["scale"]


# --- as a model sees them ------------------------------------------------------------------------


def pixels_of(sample):
    picture = sample["image"].removeprefix("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [
        (Expected((3, 4, 4), 255.0), 0, 249),
        (Expected((3, 4, 4)), 0, 255),  # bytes that are not divided: all but the darkest are white
        (Expected((3, 4, 4), 255.0, (0.5,) * 3, (0.25,) * 3), 25, 224),
    ],
    ids=["divided", "not divided", "normalised"],
)
def test_pictures_are_drawn_as_the_model_sees_them(opened, model, low, high):
    found = preview(opened(images(), labels()), model=model, count=20)
    drawn = [pixels_of(sample) for sample in found["samples"]]
    assert {picture.shape for picture in drawn} == {(96, 96, 3)}
    assert min(int(p.min()) for p in drawn) == low
    assert max(int(p.max()) for p in drawn) == high


def test_the_numbers_that_reach_the_model_are_said(opened):
    data = opened(images(), labels(), DataOptions(scale=100.0, mean=(1.0,), std=(2.0,)))
    seen = preview(data, model=MODEL)["seen"]
    assert (seen["low"], seen["high"]) == (-0.5, 0.745)
    assert seen["window"] == [-2.5, 2.5]


def test_rows_of_a_table_come_with_the_names_of_their_columns(tmp_path):
    rows = "\n".join(f"{i},{i % 3}.5,{'no' if i % 2 else 'yes'}" for i in range(40))
    (tmp_path / "t.csv").write_text(f"height,weight,class\n{rows}\n")
    found = preview(open_data(tmp_path / "t.csv"), model=Expected((2,)))
    assert found["columns"] == ["height", "weight"]
    assert np.shape(found["samples"][0]["values"]) == (1, 2)


# --- opened as guessed ---------------------------------------------------------------------------


def test_one_guess_makes_room_for_the_next(opened):
    x = np.full((20, 3, 5, 7), 9.0, np.float32)  # read as three channels of 5 by 7
    data, guess = open_as_guessed(lambda how: opened(x, labels(), how), Expected((7, 6, 10)))
    assert guess.options == DataOptions(layout="NHWC", resize=(6, 10))
    assert set(guess.reasons) == {"layout", "resize"}
    assert data.input_shape == (7, 6, 10)


def test_pictures_of_several_sizes_are_read_at_the_models(tmp_path):
    for i, size in enumerate([(4, 4), (6, 5), (4, 4), (9, 3)]):
        path = tmp_path / "pets" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(path)
    data, guess = open_as_guessed(
        lambda how: open_data(tmp_path / "pets", options=how), Expected((3, 0, 0), size=(8, 8))
    )
    assert data.input_shape == (3, 8, 8)
    why = "the samples have several sizes, the model was opened with 8x8"
    assert guess.reasons["resize"] == why
    with pytest.raises(DataError, match="one size"):
        open_as_guessed(lambda how: open_data(tmp_path / "pets", options=how), Expected((3, 0, 0)))


@pytest.mark.parametrize(
    ("wanted", "own", "taken"),
    [
        ((3, 4, 4), (3, 4, 4), True),
        ((3, 4, 4), (3, 4, 5), False),
        ((3, 0, 0), (3, 4, 5), True),
        ((3, 0, 0), (1, 4, 5), False),
        ((3, 0, 0), (3, 4), False),
    ],
)
def test_where_a_model_leaves_sizes_free_any_will_do(opened, wanted, own, taken):
    model = Expected(wanted)
    assert model.takes(own) is taken
    assert Expected.from_json(json.loads(json.dumps(model.to_json()))) == model
    if taken:
        data = opened(np.full((20, *own), 0.5, np.float32), labels(), DataOptions(layout="NCHW"))
        assert guess_options(data, model).options == DataOptions()


def test_scenes_are_named_by_the_objects_in_them():
    scenes = open_data("digit-scenes?digits=2")
    shown = preview(scenes)["samples"]
    assert all(set(each["label"]) <= set("0123456789, ") for each in shown)
    assert {len(each["label"].split(", ")) for each in shown} == {1, 2}
