"""Arrays of numpy: which is what, axes, labels, and headers that lie."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from optim.data import Classification, Regression, Unlabelled, open_data
from optim.errors import DataError
from tests.damage import refusals

MEBIBYTE = 2**20


@pytest.fixture
def npz(tmp_path):
    """Write arrays to an npz."""

    def write(name="data.npz", **arrays):
        np.savez_compressed(tmp_path / name, **arrays)
        return tmp_path / name

    return write


def images(n=12, *, channels_last=True, dtype=np.uint8):
    values = np.arange(n * 3 * 4 * 5).reshape(n, 3, 4, 5) % 251
    return (values.transpose(0, 2, 3, 1) if channels_last else values).astype(dtype)


def labels(n=12, classes=3):
    return np.arange(n) % classes


def npy(descr="'<f4'", shape="(3, 4)", body=b"", version=(1, 0), fortran="False"):
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    width = "<H" if version[0] == 1 else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(width, len(text)) + text + body


def refuses(path, reason, **options):
    with pytest.raises(DataError, match=reason) as caught:
        open_data(path, **options).part("all")
    assert str(path.parent) not in str(caught.value)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ("\ud800", r"Row 3 of the labels '.*y' holds no name of a class that can be shown"),
        ("\x1b[31mred", r"Row 3 of the labels '.*y' holds no name"),
        ("x" * 121, r"'x{40}' has 121 characters; 120 printable ones are allowed"),
    ],
    ids=["half a pair", "an escape", "too long"],
)
def test_labels_that_cannot_be_shown_are_refused_with_their_row(npz, odd, reason):
    path = npz(x=images(4), y=np.array(["a", "b", odd, "b"]))
    refuses(path, reason)
    np.savez(path.with_name("bytes.npz"), x=images(4), y=np.array([b"a", b"b", b"a\n", b"b"]))
    refuses(path.with_name("bytes.npz"), "Row 3")


def test_labels_beyond_all_characters_are_no_text(npz):
    text = np.array(["ab", "ba", "ab", "ba"])
    text.view(np.uint32)[5] = 0xFFFFFFFF
    refuses(npz(x=images(4), y=text), "Row 3 of the labels '.*y' is not text")


NAMES = {
    "x and y": ("x", "y"),
    "images and labels": ("images", "labels"),
    "data and targets": ("data", "targets"),
    "capitals": ("X", "Y"),
    "as numpy calls them": ("arr_0", "arr_1"),
    "with a prefix": ("cifar10.1_v6_data", "cifar10.1_v6_labels"),
}


@pytest.mark.parametrize(("inputs", "targets"), NAMES.values(), ids=NAMES)
def test_inputs_and_labels_are_found_by_name(npz, inputs, targets):
    data = open_data(npz(**{inputs: images(), targets: labels()}))
    assert data.parts == {"all": 12}
    assert data.task == Classification(("0", "1", "2"))
    assert data.part("all").targets.tolist() == labels().tolist()


PARTS = {
    "behind": ("x_train", "y_train", "x_test", "y_test", "x_val", "y_val"),
    "before": ("train_x", "train_y", "test_x", "test_y", "valid_x", "valid_y"),
    "joined": ("xtrain", "ytrain", "xtest", "ytest", "xval", "yval"),
    "medmnist": (
        *("train_images", "train_labels", "test_images"),
        *("test_labels", "val_images", "val_labels"),
    ),
}


@pytest.mark.parametrize("names", PARTS.values(), ids=PARTS)
def test_parts_are_found_by_name(npz, names):
    sizes = (12, 12, 9, 9, 6, 6)
    arrays = {
        name: labels(n)[:, None] if i % 2 else images(n)
        for i, (name, n) in enumerate(zip(names, sizes, strict=True))
    }
    data = open_data(npz(**arrays))
    assert list(data.parts.items()) == [("train", 12), ("validation", 6), ("test", 9)]
    assert data.part("test").ids.tolist() == list(range(18, 27))
    assert data.part("test").targets.tolist() == labels(9).tolist()


@pytest.mark.parametrize("write", ["pack", "unpack"])
def test_npy_files_in_a_zip_or_folder_are_read_like_an_npz(request, npz, write):
    members = {}
    for name, array in {"x.npy": images(), "y.npy": labels()}.items():
        file = io.BytesIO()
        np.save(file, array)
        members[f"mine/{name}"] = file.getvalue()
    samples = open_data(request.getfixturevalue(write)(members)).part("all")
    same = open_data(npz(x=images(), y=labels())).part("all")
    np.testing.assert_array_equal(samples.inputs, same.inputs)
    np.testing.assert_array_equal(samples.targets, same.targets)


LAYOUTS = {
    "channels last": (images(), (3, 4, 5)),
    "channels first": (images(channels_last=False), (3, 4, 5)),
    "grey bytes": (np.zeros((12, 4, 5), np.uint8), (1, 4, 5)),
    "square floats": (np.zeros((12, 4, 4), np.float32), (1, 4, 4)),
    "series": (np.zeros((12, 2, 50), np.float32), (2, 50)),
    "table": (np.zeros((12, 7), np.float32), (7,)),
    "one number": (np.zeros(12, np.float32), (1,)),
}


@pytest.mark.parametrize(("x", "shape"), LAYOUTS.values(), ids=LAYOUTS)
def test_axes_are_guessed_from_the_shape(npz, x, shape):
    data = open_data(npz(x=x, y=labels()))
    assert data.input_shape == shape
    assert data.part("all").inputs.shape == (12, *shape)


def test_channels_last_are_brought_to_the_front(npz):
    x = images()
    found = open_data(npz(x=x, y=labels())).part("all").inputs
    np.testing.assert_array_equal(found, x.transpose(0, 3, 1, 2))


def test_a_guess_is_in_the_notes_and_an_answer_is_not(npz):
    path = npz(x=images(), y=labels())
    assert "read as NHWC, guessed" in open_data(path).notes[0]
    assert open_data(f"{path}?layout=NHWC").notes == ()


def test_layout_that_is_asked_for_wins_over_the_guess(npz):
    series = npz(x=np.zeros((12, 50, 2), np.float32), y=labels())
    assert open_data(series).input_shape == (50, 2)
    assert open_data(f"{series}?layout=NLC").input_shape == (2, 50)


def test_layout_of_other_axes_is_refused(npz):
    path = npz(x=images(), y=labels())
    with pytest.raises(DataError, match="layout=NCL has 3 axes, and 'x' has 4"):
        open_data(f"{path}?layout=NCL")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int16", ">f4", "bool"])
def test_other_numbers_than_bytes_become_float32(npz, dtype):
    x = images().astype(dtype)
    samples = open_data(npz(x=x, y=labels())).part("all")
    assert samples.inputs.dtype == np.float32
    np.testing.assert_array_equal(samples.inputs, x.transpose(0, 3, 1, 2).astype(np.float32))


def test_fortran_order_is_read_in_its_order(npz):
    x = np.asfortranarray(images(dtype=np.float32))
    found = open_data(npz(x=x, y=labels())).part("all").inputs
    np.testing.assert_array_equal(found, x.transpose(0, 3, 1, 2))


LABELS = {
    "column": (labels()[:, None], ("0", "1", "2")),
    "one-hot": (np.eye(3)[labels()], ("0", "1", "2")),
    "whole floats": (labels().astype(np.float64), ("0", "1", "2")),
    "text": (np.array(["cat", "ant", "dog"])[labels()], ("ant", "cat", "dog")),
    "bytes": (np.array([b"cat", b"ant", b"dog"])[labels()], ("ant", "cat", "dog")),
}


@pytest.mark.parametrize(("y", "names"), LABELS.values(), ids=LABELS)
def test_labels_of_any_usual_form_are_classes(npz, y, names):
    data = open_data(npz(x=images(), y=y))
    assert data.task == Classification(names)
    assert sorted(set(data.targets("all").tolist())) == [0, 1, 2]


def test_labels_may_be_named(npz):
    path = npz(x=images(), y=labels(), fine_labels=labels(classes=4))
    with pytest.raises(DataError, match="could be the labels of all: 'fine_labels' and 'y'"):
        open_data(path)
    assert open_data(f"{path}?target=fine_labels").task.n_classes == 4
    with pytest.raises(DataError, match="no array 'coarse'; it has fine_labels, x, y"):
        open_data(f"{path}?target=coarse")


def test_inputs_alone_are_unlabelled(npz, tmp_path):
    np.save(tmp_path / "lone.npy", images())
    labelled = npz("labelled.npz", x=images(), y=labels())
    for path in (npz(x=images()), tmp_path / "lone.npy", f"{labelled}?target=none"):
        data = open_data(path)
        assert data.task == Unlabelled()
        assert data.part("all").targets.tolist() == [-1] * 12


def test_hash_follows_content_and_options_and_not_the_name(npz):
    one, same = npz("one.npz", x=images(), y=labels()), npz("two.npz", x=images(), y=labels())
    other = npz("three.npz", x=images(), y=labels(classes=4))
    hashes = [open_data(path).hash for path in (one, same, other, f"{one}?layout=NCHW")]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_opening_reads_no_inputs(npz, monkeypatch):
    from optim.data.readers import numpy_arrays

    read = []
    array = numpy_arrays._array
    monkeypatch.setattr(numpy_arrays, "_array", lambda d, h: (read.append(h.shape), array(d, h))[1])
    data = open_data(npz(x=images(7), y=labels(7)))
    assert read == [(7,)]
    assert data.part("all").inputs.shape == (7, 3, 4, 5)


REFUSED = {
    "labels only": ({"y": labels()}, "has labels for all and no inputs"),
    "nothing known": ({"a": images(), "b": labels()}, "no array that is called like samples"),
    "more labels": ({"x": images(), "y": labels(11)}, "12 samples and 11 labels"),
    "part without labels": (
        {"x_train": images(), "y_train": labels(), "x_test": images()},
        "test of data.npz has no labels, and train has",
    ),
    "no test": (
        {"x_train": images(), "y_train": labels(), "x_val": images(), "y_val": labels()},
        "has train, validation and cannot be read as parts",
    ),
    "other shapes": (
        {
            "x_train": images(),
            "y_train": labels(),
            "x_test": images()[:, :2],
            "y_test": labels(),
        },
        r"train has \(4, 5, 3\), test has \(2, 5, 3\)",
    ),
    "one class": ({"x": images(), "y": np.full(12, 3)}, "of one class, '3'"),
    "negative": ({"x": images(), "y": labels() - 1}, "'y' hold -1: classes are numbered from 0"),
    "far out": ({"x": images(), "y": labels() * 10**9}, "hold 2000000000: classes are numbered"),
    "unsigned": ({"x": images(), "y": np.full(12, 2**64 - 1, np.uint64)}, "hold 18446744073709"),
    "a missing quantity": (
        {"x": images(), "y": np.where(labels() == 1, np.nan, labels() + 0.5)},
        "'y' hold values that are not finite",
    ),
    "many quantities": ({"x": images(), "y": np.full((12, 1001), 0.5)}, "of at most 1,000 are me"),
    "nan label": ({"x": images(), "y": np.full(12, np.nan)}, "nan is no whole number"),
    "infinite label": ({"x": images(), "y": np.full(12, np.inf)}, "inf is no whole number"),
    "not one-hot": ({"x": images(), "y": np.ones((12, 3))}, "3 numbers a sample"),
    "boxes": ({"x": images(), "y": np.ones((12, 3, 4))}, "one a sample is meant"),
    "too many names": (
        {"x": np.zeros((2_000, 2)), "y": np.array([f"c{i}" for i in range(2_000)])},
        "2,000 different labels: at most 1,000",
    ),
    "nan": ({"x": np.full((12, 5), np.nan), "y": labels()}, "not finite, in 12 of 12 samples"),
    "infinite": (
        {"x": np.array([[0.0]] * 7 + [[np.inf]] * 5), "y": labels()},
        "in 5 of 12 samples; the first is sample 7",
    ),
    "beyond float32": ({"x": np.full((12, 5), 1e300), "y": labels()}, "values that are not finite"),
    "text": ({"x": np.full((12, 5), "a"), "y": labels()}, "which are no numbers"),
    "complex": ({"x": np.zeros((12, 5), complex), "y": labels()}, "type '<c16'"),
    "dates": ({"x": np.zeros((12, 5), "datetime64[s]"), "y": labels()}, "no plain array"),
    "fields": ({"x": np.zeros(12, [("a", "f4")]), "y": labels()}, "no plain array of numbers"),
    "five axes": ({"x": np.zeros((12, 2, 2, 2, 2)), "y": labels()}, "'x' has 5 axes"),
    "no axis": ({"x": np.float32(1)}, r"'x' holds no sample: its shape is \(\)"),
    "empty": ({"x": np.zeros((0, 5)), "y": np.zeros(0)}, r"no sample: its shape is \(0, 5\)"),
}


@pytest.mark.parametrize(("arrays", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_with_the_reason(npz, arrays, reason):
    refuses(npz(**arrays), reason)


def test_pickled_objects_are_not_loaded(npz, tmp_path):
    class Payload:
        def __reduce__(self):
            return (tmp_path / "it-ran").write_text, ("x",)

    refuses(npz(x=np.array([Payload()], dtype=object)), "Python objects, which are never loaded")
    assert not (tmp_path / "it-ran").exists()


LIES = {
    "more than there is": npy("'<f4'", "(1000000, 1000000)"),
    "more than any machine has": npy("'<f8'", f"({10**60}, {10**60})"),
    "a little more": npy("'<f4'", "(3, 4)", bytes(47)),
    "nothing a value": npy("'<U0'", "(1000000000000,)"),
    "an empty axis behind a huge one": npy("'<f4'", "(1000000000000, 0)"),
    "negative": npy("'<f4'", "(-3, 4)", bytes(48)),
    "code for a shape": npy("'<f4'", "(__import__('os').getpid(),)", bytes(48)),
    "a nest of brackets": npy("'<f4'", "(" * 5_000),
    "huge values": npy("'<U999999999'", "(3,)", bytes(48)),
    "an unknown type": npy("'<q4'", "(3,)", bytes(48)),
    "an odd width": npy("'<f3'", "(3,)", bytes(48)),
    "a header longer than the file": npy(version=(2, 0))[:8] + b"\xff\xff\xff\x7f{'descr",
    "an unknown version": npy(version=(9, 0)),
    "no array": b"hello",
    "nothing": b"",
}


@pytest.mark.parametrize("content", LIES.values(), ids=LIES)
def test_header_that_lies_is_refused_before_anything_is_made(tmp_path, content):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        refuses(path, "'x'|'x.npy'")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEBIBYTE


def test_bomb_of_zeros_is_refused(pack):
    body = npy("'|u1'", f"({64 * MEBIBYTE}, 1)", bytes(64 * MEBIBYTE))
    refuses(pack({"x.npy": body}, "data.npz"), "more than 200 times its size")


def test_sorted_labels_are_no_bomb(npz):
    path = npz(x=np.random.default_rng(0).normal(size=(60_000, 2)), y=np.arange(60_000) // 6_000)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("y.npy")
    assert info.file_size > 200 * info.compress_size
    assert open_data(path).task.n_classes == 10


def test_too_large_an_array_is_refused_by_its_shape(npz, monkeypatch):
    from optim.data import source

    monkeypatch.setattr(source, "MAX_DECODED_BYTES", MEBIBYTE)
    refuses(npz(x=np.zeros((300_000, 1), np.int8)), "GiB in memory: at most")


def test_no_damage_escapes_as_another_error(own_cache, npz):
    path = npz(x=images(), y=labels())

    def read(content):
        path.write_bytes(content)
        open_data(path).part("all")

    assert refusals(path.read_bytes(), read, cases=300, bytes_=3) > 200


def test_fractions_are_quantities(tmp_path):
    x, y = images(), np.linspace(0.5, 6, 12)
    np.savez(tmp_path / "one.npz", x=x, y=y)
    np.savez(tmp_path / "two.npz", x=x, y=np.stack([y, 2 * y], axis=1))
    one, two = open_data(tmp_path / "one.npz"), open_data(tmp_path / "two.npz")
    assert one.task == Regression(("target",))
    assert two.task == Regression(("target 0", "target 1"))
    np.testing.assert_array_equal(one.part("all").targets, y.astype(np.float32))
    assert two.part("all").targets.shape == (12, 2)
    assert open_data(f"{tmp_path / 'one.npz'}?target=none").task == Unlabelled()
