"""IDX files: made here, made from the real MNIST, and such that lie."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from optim.data import Classification, Unlabelled, open_data
from optim.errors import DataError

MEBIBYTE = 2**20
CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array, kind="u1"):
    head = bytes([0, 0, CODES[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(kind).tobytes()


def images(n=6):
    return (np.arange(n * 5 * 4) % 251).reshape(n, 5, 4)


def labels(n=6):
    return np.arange(n) % 3


def four(pack=lambda data: data, ending=""):
    return {
        f"train-images-idx3-ubyte{ending}": pack(idx(images())),
        f"train-labels-idx1-ubyte{ending}": pack(idx(labels())),
        f"t10k-images-idx3-ubyte{ending}": pack(idx(images(3))),
        f"t10k-labels-idx1-ubyte{ending}": pack(idx(labels(3))),
    }


def read_all(path):
    data = open_data(path)
    return [data.part(part) for part in data.parts]


def refuses(path, reason):
    with pytest.raises(DataError, match=reason) as caught:
        read_all(path)
    assert str(path.parent) not in str(caught.value)


@pytest.mark.parametrize("form", ["plain", "gzipped"])
@pytest.mark.parametrize("write", ["pack", "unpack"])
def test_the_four_files_are_two_parts(request, write, form):
    files = four() if form == "plain" else four(gzip.compress, ".gz")
    data = open_data(request.getfixturevalue(write)(files))
    assert list(data.parts.items()) == [("train", 6), ("test", 3)]
    assert data.task == Classification(("0", "1", "2"))
    assert data.input_shape == (1, 5, 4)
    np.testing.assert_array_equal(data.part("train").inputs[:, 0], images())
    assert data.part("test").targets.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="no labels of several kinds"):
        open_data(f"{data.ref}?target=zzz")


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_images_alone_are_unlabelled(tmp_path, ending):
    path = tmp_path / f"t10k-images-idx3-ubyte{ending}"
    path.write_bytes(gzip.compress(idx(images())) if ending else idx(images()))
    data = open_data(path)
    assert data.task == Unlabelled()
    assert data.part("all").inputs.shape == (6, 1, 5, 4)


@pytest.mark.parametrize("kind", ["i1", ">i2", ">i4", ">f4", ">f8"])
def test_other_types_become_float32(unpack, kind):
    x = images().astype(kind) - 7
    files = {"images.idx3-ubyte": idx(x, kind), "labels.idx1-ubyte": idx(labels())}
    samples = open_data(f"{unpack(files)}?layout=NHW").part("all")
    assert samples.inputs.dtype == np.float32
    np.testing.assert_array_equal(samples.inputs[:, 0], x.astype(np.float32))


def test_pictures_that_are_called_like_it_are_pictures(pack, image):
    files = {f"{name}/frame_idx1_3.png": image() for name in ("cat", "dog")}
    assert open_data(pack(files)).task == Classification(("cat", "dog"))


def lie(shape, kind=8):
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(100)


REFUSED = {
    "more than there is": (lie((2**32 - 1,) * 4), "declares .* bytes and can hold at most 120"),
    "one more": (idx(images())[:-1], "declares 136 bytes and can hold at most 135"),
    "unknown type": (lie((3, 4, 5), kind=7), "is not an IDX file"),
    "no axis": (lie(()), "is not an IDX file"),
    "many axes": (lie((1,) * 9), "is not an IDX file"),
    "empty axis": (lie((3, 0, 5)), "holds no sample"),
    "three bytes": (b"\0\0\x08", "is not an IDX file"),
    "nothing": (b"", "is not an IDX file"),
    "text": (b"hello, world", "is not an IDX file"),
    "gzip of nothing": (gzip.compress(b""), "is not an IDX file"),
    "half a gzip": (gzip.compress(idx(images()))[:30], "is damaged: it ends too early|not an IDX"),
    "no gzip": (b"\x1f\x8b" + bytes(50), "is not an IDX file"),
    "less than the gzip says": (gzip.compress(lie((6, 90, 1))), "declares 556 bytes and holds 116"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_file_that_lies_is_refused(unpack, content, reason):
    name = "train-images-idx3-ubyte"
    files = {name: content, "train-labels-idx1-ubyte": idx(labels())}
    refuses(unpack(files), reason)


def test_gzip_bomb_is_refused_by_its_header_and_not_unpacked(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(lie((256, 1024, 1024))[:16] + bytes(256 * MEBIBYTE), 9))
    tracemalloc.start()
    try:
        refuses(path, "more than 200 times its size")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEBIBYTE


def test_what_a_gzip_holds_beyond_its_header_is_not_unpacked(unpack):
    files = {
        "images-idx3-ubyte.gz": gzip.compress(idx(images()) + bytes(64 * MEBIBYTE)),
        "labels-idx1-ubyte.gz": gzip.compress(idx(labels())),
    }
    path = unpack(files)
    tracemalloc.start()
    try:
        assert open_data(path).part("all").inputs.shape == (6, 1, 5, 4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEBIBYTE


def test_labels_that_do_not_fit_are_refused(unpack):
    files = four() | {"t10k-labels-idx1-ubyte": idx(labels(2))}
    refuses(unpack(files), "3 samples and 2 labels in test")


def test_two_files_of_one_role_are_refused(unpack):
    files = four() | {"train-images.idx3-ubyte": idx(images())}
    refuses(unpack(files), "two files with the inputs of train")


def test_mnist_as_idx_is_mnist_as_pictures(own_cache, shared_data, tmp_path):
    """The real data, converted to the form their authors gave them."""
    pictures = open_data(shared_data("mnist/test.zip")).part("all")
    (tmp_path / "idx").mkdir()
    for name, array in {
        "t10k-images-idx3-ubyte.gz": pictures.inputs[:, 0],
        "t10k-labels-idx1-ubyte.gz": pictures.targets,
    }.items():
        (tmp_path / "idx" / name).write_bytes(gzip.compress(idx(np.asarray(array)), 1))
    data = open_data(tmp_path / "idx")
    assert data.parts == {"all": 10_000}
    np.testing.assert_array_equal(data.part("all").inputs, pictures.inputs)
    np.testing.assert_array_equal(data.part("all").targets, pictures.targets)
