"""Layouts of class folders: what is accepted, what it becomes, what is refused."""

import numpy as np
import pytest

from optim.data import folder as folder_module
from optim.data import open_data, overlap, trained_on, with_validation
from optim.errors import DataError

LAYOUTS = {
    "bare": "",
    "wrapped": "animals/",
}


def split_of(two_classes, *names):
    return {f"{name}/{file}": data for name in names for file, data in two_classes.items()}


@pytest.mark.parametrize("prefix", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("write", ["pack", "unpack"])
def test_class_folders_become_one_part(request, two_classes, write, prefix):
    files = {prefix + name: data for name, data in two_classes.items()}
    data = open_data(request.getfixturevalue(write)(files))
    assert data.parts == {"all": 3}
    assert data.task.class_names == ("cat", "dog")
    assert data.input_shape == (3, 3, 4)


def test_images_are_ordered_by_class_and_name(pack, two_classes):
    samples = open_data(pack(two_classes)).part("all")
    assert samples.inputs[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert samples.targets.tolist() == [0, 0, 1]
    assert samples.ids.tolist() == [0, 1, 2]


def test_zip_and_folder_give_the_same_samples(pack, unpack, two_classes):
    one, other = (open_data(write(two_classes)).part("all") for write in (pack, unpack))
    np.testing.assert_array_equal(one.inputs, other.inputs)


def test_opening_decodes_one_image_and_targets_need_none(monkeypatch, own_cache, pack, two_classes):
    decoded = []
    decode = folder_module.decode_image

    def count(data, name):
        decoded.append(name)
        return decode(data, name)

    monkeypatch.setattr(folder_module, "decode_image", count)
    data = open_data(pack(two_classes))
    assert data.targets("all").tolist() == [0, 0, 1]
    assert decoded == ["cat/1.png"]


def test_decoded_images_come_from_the_cache_the_next_time(
    monkeypatch, own_cache, pack, two_classes
):
    path = pack(two_classes)
    first = open_data(path).part("all")
    again = open_data(path)
    monkeypatch.setattr(folder_module, "decode_image", None)
    np.testing.assert_array_equal(again.part("all").inputs, first.inputs)


@pytest.mark.parametrize("write", ["pack", "unpack"])
def test_hash_follows_the_content_and_not_the_name(request, image, two_classes, write):
    write = request.getfixturevalue(write)
    one, same = open_data(write(two_classes, "one.zip")), open_data(write(two_classes, "two.zip"))
    changed = open_data(write(two_classes | {"dog/1.png": image((31, 0, 0))}, "three.zip"))
    assert one.hash == same.hash != changed.hash


def test_hash_of_a_folder_follows_the_file_names(unpack, two_classes):
    renamed = dict(two_classes)
    renamed["dog/2.png"] = renamed.pop("dog/1.png")
    assert open_data(unpack(two_classes, "one")).hash != open_data(unpack(renamed, "two")).hash


@pytest.mark.parametrize("prefix", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("write", ["pack", "unpack"])
@pytest.mark.parametrize("validation", ["validation", "val", "Valid", "dev"])
def test_part_folders_become_parts(request, two_classes, write, prefix, validation):
    files = split_of(two_classes, "test", "train", validation)
    files = {prefix + name: data for name, data in files.items()}
    data = open_data(request.getfixturevalue(write)(files))
    assert list(data.parts.items()) == [("train", 3), ("validation", 3), ("test", 3)]


@pytest.mark.parametrize("validation", ["validation.zip", "val.zip", "valid.ZIP"])
def test_part_zips_become_parts(tmp_path, pack, two_classes, validation):
    for name in ("test.zip", validation, "train.zip"):
        pack(two_classes, f"animals/{name}")
    data = open_data(tmp_path / "animals")
    assert list(data.parts) == ["train", "validation", "test"]
    assert data.title == "animals"


def test_parts_may_be_called_as_those_of_arrays_and_tables(pack, two_classes):
    data = open_data(pack(split_of(two_classes, "Training", "TESTING")))
    assert data.parts == {"train": 3, "test": 3}


def test_ids_go_on_from_part_to_part(unpack, two_classes):
    data = open_data(unpack(split_of(two_classes, "train", "test")))
    assert data.part("train").ids.tolist() == [0, 1, 2]
    assert data.part("test").ids.tolist() == [3, 4, 5]


def test_class_that_is_called_train_is_a_class(pack, image):
    data = open_data(pack({"train/1.png": image(), "test/1.png": image()}))
    assert data.task.class_names == ("test", "train")
    assert data.parts == {"all": 2}


@pytest.mark.parametrize("form", ["zips", "folders"])
def test_train_part_opened_alone_is_recognised_as_seen(
    tmp_path, pack, unpack, two_classes, image, form
):
    other = two_classes | {"dog/1.png": image((31, 0, 0))}
    if form == "zips":
        alone = pack(two_classes, "animals/train.zip")
        pack(other, "animals/test.zip")
    else:
        alone = unpack(two_classes, "animals/train")
        unpack(other, "animals/test")
    seen = trained_on(open_data(alone), "all")
    split = open_data(tmp_path / "animals")
    assert overlap(split, "train", seen) == "seen"
    assert overlap(split, "test", seen) == "unseen"


@pytest.mark.parametrize(
    "extra",
    [
        "README.txt",
        "labels.csv",
        ".DS_Store",
        "cat/.DS_Store",
        "cat/Thumbs.db",
        "__MACOSX/cat/._1.png",
        ".git/a/b/c/d/e/f",
    ],
)
@pytest.mark.parametrize("write", ["pack", "unpack"])
def test_what_systems_and_authors_leave_behind_is_ignored(request, two_classes, write, extra):
    data = open_data(request.getfixturevalue(write)(two_classes | {extra: b"text"}))
    assert data.parts == {"all": 3}


REFUSED = {
    "empty": ({}, "found none"),
    "no class folder": ({"README.txt": b""}, "found none"),
    "one class": ({"cat/1.png": None}, "at least two class folders: found one .'cat'."),
    "one class, wrapped": ({"all/cat/1.png": None}, "found one .'cat'."),
    "a long name": (
        {"cat/1.png": None, f"{'dog' * 50}/1.png": None},
        "A folder of .* holds no name of a class that can be shown: .* has 150 characters",
    ),
    "empty class": ({"cat/1.png": None, "dog/": b""}, "class folder 'dog' .* holds no image"),
    "image at the top": ({"1.png": None, "cat/1.png": None}, "'1.png' lies in no class folder"),
    "text in a class": (
        {"cat/1.png": None, "cat/notes.txt": b"", "dog/1.png": None},
        "'cat/notes.txt' is in a class folder and is not an image",
    ),
    "folder in a class": (
        {"cat/1.png": None, "dog/small/1.png": None},
        "'dog/small/(1.png)?' lies deeper than a class folder",
    ),
    "too deep": ({"a/b/c/d/1.png": None}, "lies too deep"),
    "no test": (
        {"train/cat/1.png": None, "val/cat/1.png": None},
        "There is train, validation without test",
    ),
    "two validations": (
        {f"{part}/cat/1.png": None for part in ("train", "test", "val", "validation")},
        "both 'val' and 'validation'",
    ),
    "folder beside parts": (
        {f"{part}/cat/1.png": None for part in ("train", "test", "extra")},
        "'extra' lies beside test, train in .*, and is the name of no part.* training, tr,",
    ),
}


@pytest.mark.parametrize(("files", "reason"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("write", ["pack", "unpack"])
def test_other_layouts_are_refused_with_the_reason(request, tmp_path, image, write, files, reason):
    (tmp_path / "data").mkdir()
    files = {name: image() if data is None else data for name, data in files.items()}
    with pytest.raises(DataError, match=reason) as caught:
        open_data(request.getfixturevalue(write)(files))
    assert str(tmp_path) not in str(caught.value)


def test_too_many_classes_are_refused(monkeypatch, pack, two_classes, image):
    monkeypatch.setattr(folder_module, "MAX_CLASSES", 2)
    with pytest.raises(DataError, match="has 3 class folders: at most 2"):
        open_data(pack(two_classes | {"fox/1.png": image()}))


def test_too_many_pixels_in_all_are_refused(monkeypatch, pack, two_classes):
    monkeypatch.setattr(folder_module, "MAX_DECODED_BYTES", 3 * 36 - 1)
    with pytest.raises(DataError, match="GiB of samples"):
        open_data(pack(two_classes))


@pytest.mark.parametrize(
    ("odd", "found"),
    [
        ({"size": (5, 6)}, "'cat/1.png' is 4x3 colour, 'dog/1.png' is 5x6 colour"),
        ({"mode": "L"}, "'cat/1.png' is 4x3 colour, 'dog/1.png' is 4x3 grey"),
    ],
    ids=["size", "colour"],
)
def test_images_of_different_shapes_are_refused_by_name(pack, two_classes, image, odd, found):
    data = open_data(pack(two_classes | {"dog/1.png": image(**odd)}))
    with pytest.raises(DataError, match=found):
        data.part("all")


def test_parts_of_different_shapes_are_refused(unpack, two_classes, image):
    files = split_of(two_classes, "train", "test") | {"test/cat/1.png": image(size=(5, 6))}
    with pytest.raises(DataError, match=r"'train: train/cat/1\.png' is 4x3 .* is 5x6"):
        open_data(unpack(files))


def test_parts_of_different_classes_are_refused(unpack, two_classes, image):
    files = split_of(two_classes, "train", "test") | {"train/fox/1.png": image()}
    with pytest.raises(DataError, match="train has 'fox', test does not"):
        open_data(unpack(files))


def test_part_zip_without_its_partner_is_refused(tmp_path, pack, two_classes):
    pack(two_classes, "animals/train.zip")
    with pytest.raises(DataError, match="There is train without test"):
        open_data(tmp_path / "animals")


def test_part_zip_that_is_split_itself_is_refused(tmp_path, pack, two_classes):
    for name in ("train", "test"):
        pack(split_of(two_classes, "train", "test"), f"animals/{name}.zip")
    with pytest.raises(DataError, match=r"train\.zip is itself split"):
        open_data(tmp_path / "animals")


def test_link_in_a_folder_is_refused(tmp_path, unpack, two_classes, image):
    (tmp_path / "secret.png").write_bytes(image())
    folder = unpack(two_classes)
    (folder / "dog" / "2.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match=r"'dog/2\.png' in data is a link"):
        open_data(folder)


def test_linked_class_folder_is_refused(tmp_path, unpack, two_classes):
    folder = unpack(two_classes)
    (folder / "fox").symlink_to(folder / "dog")
    with pytest.raises(DataError, match="'fox' in data is a link"):
        open_data(folder)


def test_linked_part_zip_is_refused(tmp_path, pack, two_classes):
    pack(two_classes, "animals/train.zip")
    (tmp_path / "animals" / "test.zip").symlink_to(pack(two_classes, "elsewhere.zip"))
    with pytest.raises(DataError, match=r"'test\.zip' is a link"):
        open_data(tmp_path / "animals")


def test_cifar10_has_its_usual_classes_and_pixels(own_cache, shared_data):
    data = open_data(shared_data("cifar10/test.zip"))
    assert data.task.class_names[:3] == ("airplane", "automobile", "bird")
    samples = data.part("all")
    assert samples.inputs.shape == (10_000, 3, 32, 32)
    assert np.bincount(samples.targets).tolist() == [1_000] * 10
    mean = samples.inputs.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(mean, [0.494, 0.485, 0.450], atol=0.005)


def test_mnist_is_split_and_grey(own_cache, shared_data):
    data = with_validation(open_data(shared_data("mnist")), seen=None)
    assert data.parts == {"train": 60_000, "validation": 5_000, "test": 5_000}
    assert data.part("validation").inputs.shape == (5_000, 1, 28, 28)
