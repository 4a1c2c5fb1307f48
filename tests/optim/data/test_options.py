"""Options of somebody's own data: as text and as values, and what they change."""

import numpy as np
import pytest

from optim.data import (
    Classification,
    DataOptions,
    Unlabelled,
    cut_parts,
    open_data,
    overlap,
    trained_on,
    with_validation,
)
from optim.data.options import Normalisation, joined_names
from optim.errors import ConfigError, DataError


@pytest.fixture
def npz(tmp_path):
    """Write arrays to an npz."""

    def write(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


def images(n=20):
    return np.arange(n * 3 * 4 * 4, dtype=np.uint8).reshape(n, 3, 4, 4)


def labels(n=20):
    return np.arange(n) % 2


def test_text_and_values_are_the_same_options():
    text = DataOptions(mean="0.5, 0.4,0.3", std="1,1,1", resize="8,6", class_names="a,b", seed="3")
    assert text == DataOptions(
        mean=(0.5, 0.4, 0.3), std=[1, 1, 1], resize=(8, 6), class_names=["a", "b"], seed=3
    )


def test_what_a_card_keeps_gives_the_same_options_again():
    options = DataOptions(layout="NHWC", resize="8,6", scale=255, mean="0.5", std="0.2")
    assert DataOptions(**options.changed()) == options
    assert DataOptions().changed() == {}


ILLEGAL = {
    "layout": ({"layout": "CHW"}, "layout"),
    "channel_order": ({"channel_order": "RBG"}, "channel_order"),
    "mean without std": ({"mean": "0.5"}, "mean"),
    "mean of words": ({"mean": "a", "std": "1"}, "mean"),
    "mean not finite": ({"mean": "nan", "std": "1"}, "mean"),
    "std of 0": ({"mean": "0", "std": "0"}, "std"),
    "scale below 0": ({"scale": -1}, "scale"),
    "scale not finite": ({"scale": "inf"}, "scale"),
    "three sides": ({"resize": "1,2,3"}, "resize"),
    "no side": ({"resize": "0,5"}, "resize"),
    "huge side": ({"resize": "5000,5"}, "resize"),
    "words for sides": ({"resize": "big"}, "resize"),
    "names twice": ({"class_names": "a,a"}, "class_names"),
    "name that cannot be shown": ({"class_names": "a,\x1b[31m"}, "class_names"),
    "seed": ({"seed": -1}, "seed"),
    "split": ({"split": "half"}, "split"),
    "unknown": ({"colour": "red"}, "colour"),
}


@pytest.mark.parametrize(("fields", "field"), ILLEGAL.values(), ids=ILLEGAL)
def test_illegal_option_is_refused_at_its_field(fields, field):
    with pytest.raises(ConfigError) as caught:
        DataOptions(**fields)
    assert caught.value.field == field


def test_options_may_follow_a_name_or_be_given(npz):
    path = npz(x=images(), y=labels())
    asked = open_data(f"{path}?resize=8,8&channel_order=BGR")
    given = open_data(path, options=DataOptions(resize=(8, 8), channel_order="BGR"))
    assert asked.hash == given.hash
    np.testing.assert_array_equal(asked.part("all").inputs, given.part("all").inputs)


def test_unknown_option_behind_a_name_is_refused_without_its_folder(npz):
    path = npz(x=images(), y=labels())
    for query in ("colour=red", "resize", "seed=1&seed=2"):
        with pytest.raises(ConfigError) as caught:
            open_data(f"{path}?{query}")
        assert str(path.parent) not in str(caught.value)


def test_file_whose_name_has_a_question_mark_is_that_file(npz, tmp_path):
    npz(x=images(), y=labels()).rename(tmp_path / "a?seed=1.npz")
    assert open_data(tmp_path / "a?seed=1.npz").parts == {"all": 20}


def test_blue_first_is_turned_round(npz):
    path = npz(x=images(), y=labels())
    plain, turned = open_data(path), open_data(f"{path}?channel_order=BGR")
    np.testing.assert_array_equal(turned.part("all").inputs, plain.part("all").inputs[:, ::-1])
    with pytest.raises(DataError, match="BGR needs images of 3 channels"):
        open_data(f"{npz(x=images()[:, :1], y=labels())}?channel_order=BGR")


def test_resize_averages_what_falls_together(npz):
    x = np.zeros((2, 1, 4, 4), np.float32)
    x[:, :, :, 2:] = 8
    data = open_data(f"{npz(x=x, y=labels(2))}?resize=2,2&layout=NCHW")
    assert data.input_shape == (1, 2, 2)
    found = data.part("all").inputs
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, 0], [[1, 7], [1, 7]], atol=0.2)
    assert "scaled (bilinear) from 4x4 to 2x2" in data.notes[-1]


def test_series_are_cut_or_padded(npz):
    x = np.ones((4, 2, 5), np.float32)
    path = npz(x=x, y=labels(4))
    short, long = open_data(f"{path}?resize=3"), open_data(f"{path}?resize=7")
    assert short.part("all").inputs.tolist() == x[:, :, :3].tolist()
    assert long.part("all").inputs[0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0]


def test_resize_of_another_kind_is_refused(npz):
    path = npz(x=images(), y=labels())
    with pytest.raises(DataError, match="resize=5 does not fit") as caught:
        open_data(f"{path}?resize=5")
    assert caught.value.hint == "Give height and width."


def test_images_of_different_sizes_open_once_a_size_is_given(pack, two_classes, image):
    path = pack(two_classes | {"dog/1.png": image((9, 9, 9), size=(7, 5))})
    with pytest.raises(DataError, match="must have one size") as caught:
        open_data(path).part("all")
    assert caught.value.hint == "Scale them, as in resize=32,32."
    samples = open_data(f"{path}?resize=6,8").part("all")
    assert samples.inputs.shape == (3, 3, 6, 8)
    assert samples.inputs[2].max() == 9


def test_other_names_rename_the_classes(npz):
    path = npz(x=images(), y=labels())
    data = open_data(f"{path}?class_names=cat,dog,fox")
    assert data.task == Classification(("cat", "dog", "fox"))
    assert data.targets("all").tolist() == labels().tolist()
    with pytest.raises(DataError, match="class_names has 1 names: data has 2 classes"):
        open_data(f"{path}?class_names=cat")


def test_classes_that_are_some_of_the_models_are_numbered_by_name(pack, two_classes):
    path = pack(two_classes)
    data = open_data(f"{path}?class_names=bird,dog,cow,cat")
    assert data.task.class_names == ("bird", "dog", "cow", "cat")
    assert data.targets("all").tolist() == data.part("all").targets.tolist() == [3, 3, 1]


def test_names_of_which_the_data_have_only_some_are_refused(pack, two_classes):
    with pytest.raises(DataError, match=r"class_names has some classes of .* and lacks 'cat'"):
        open_data(f"{pack(two_classes)}?class_names=bird,dog,cow")


def test_own_names_in_another_order_number_the_classes_anew(pack, two_classes):
    path = pack(two_classes)
    data = open_data(f"{path}?class_names=dog,cat")
    assert data.task.class_names == ("dog", "cat")
    assert data.targets("all").tolist() == [1, 1, 0]
    assert data.part("all").targets.tolist() == [1, 1, 0]
    assert data.hash != open_data(path).hash


def test_parts_are_made_by_class_and_seed(npz):
    path = npz(x=images(), y=labels())
    data, other = open_data(f"{path}?split=made"), open_data(f"{path}?split=made&seed=1")
    assert list(data.parts.items()) == [("train", 12), ("validation", 4), ("test", 4)]
    for part in data.parts:
        assert np.bincount(data.part(part).targets).tolist() == [data.parts[part] // 2] * 2
    assert sorted(np.concatenate([data.part(p).ids for p in data.parts]).tolist()) == [*range(20)]
    assert data.part("test").ids.tolist() != other.part("test").ids.tolist()
    assert data.notes[-1].endswith("drawn by class with seed 0.")


def test_made_parts_know_what_a_model_has_seen(dataset):
    whole = dataset(all=40)
    zero, one = cut_parts(whole, 0), cut_parts(whole, 1)
    assert overlap(zero, "test", trained_on(zero)) == "unseen"
    assert overlap(one, "test", trained_on(zero)) == "seen"
    assert overlap(zero, "validation", trained_on(whole, "all")) == "seen"
    assert with_validation(zero, seen=None).hash == zero.hash


def test_data_with_parts_are_left_as_they_are(dataset):
    data = dataset(train=20, test=10)
    assert cut_parts(data, 0) is data


def test_changed_samples_are_still_those_a_model_has_seen(npz):
    path = npz(x=images(), y=labels())
    seen = trained_on(open_data(path), "all")
    for change in ("channel_order=BGR", "resize=8,8", "target=none"):
        assert overlap(open_data(f"{path}?{change}"), "all", seen) == "seen"


def test_normalisation_travels_with_the_data_and_changes_no_sample(npz):
    path = npz(x=images(), y=labels())
    data = open_data(f"{path}?scale=255&mean=0.5&std=0.25")
    assert data.normalisation == Normalisation(255.0, (0.5,), (0.25,))
    assert open_data(path).normalisation is None
    assert data.hash == open_data(path).hash


def test_labels_that_are_left_out_leave_the_samples(pack, two_classes):
    path = pack(two_classes)
    data = open_data(f"{path}?target=none")
    assert data.task == Unlabelled()
    assert data.part("all").targets.tolist() == [-1, -1, -1]
    np.testing.assert_array_equal(data.part("all").inputs, open_data(path).part("all").inputs)


def test_no_labels_are_chosen_where_folders_are_the_classes(pack, two_classes):
    with pytest.raises(DataError, match=r"no labels of several kinds .* got target='zzz'"):
        open_data(f"{pack(two_classes)}?target=zzz")


@pytest.mark.parametrize("resize", ["0,0", "5000,5", "1,2,3"])
def test_a_size_that_cannot_be_is_refused_with_value_and_range(resize):
    with pytest.raises(ConfigError, match=f"from 1 to 4096, .*: got {resize}"):
        DataOptions(resize=resize)


@pytest.mark.parametrize("write", ["pack", "unpack"])
def test_images_without_folders_are_unlabelled(request, image, write):
    files = {f"{i}.png": image((i, 0, 0)) for i in range(3)}
    data = open_data(request.getfixturevalue(write)(files))
    assert data.task == Unlabelled()
    assert data.part("all").inputs[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert data.part("all").targets.tolist() == [-1] * 3


def test_one_folder_of_images_says_how_to_open_it_without_labels(pack, image):
    path = pack({f"photos/{i}.png": image() for i in range(3)})
    with pytest.raises(DataError, match="at least two class folders") as caught:
        open_data(path)
    assert "target=none" in caught.value.hint
    assert open_data(f"{path}?target=none").parts == {"all": 3}


def test_classes_cannot_be_named_where_there_are_none(npz):
    with pytest.raises(DataError, match="has no labels, and class_names names 2"):
        open_data(f"{npz(x=images())}?class_names=a,b")


@pytest.mark.parametrize(
    "names", [("Paris, France", "Rome"), ('the "big" one', "b"), ('a",b', "c, d"), ("a", "b")]
)
def test_names_that_are_shown_as_one_line_are_read_as_the_same(names):
    assert DataOptions(class_names=joined_names(names)).class_names == names
