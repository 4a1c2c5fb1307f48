"""CIFAR's binary and python batches: made here in both forms, and such that attack."""

import io
import os
import pickle
import struct
import tarfile
import tracemalloc

import numpy as np
import pytest

from optim.data import open_data
from optim.data.readers._pickled import read_pickled
from optim.errors import DataError

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def pixels(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3072), np.uint8)


def records(x, *labels):
    return np.concatenate([*(np.uint8(column)[:, None] for column in labels), x], 1).tobytes()


def labels(n, classes=10):
    return [i % classes for i in range(n)]


def python2(content):
    """Return a pickle as Python 2 wrote the real files: text and arrays as byte strings."""

    def string(data):
        if len(data) < 256:
            return b"U" + bytes([len(data)]) + data
        return b"T" + struct.pack("<I", len(data)) + data

    def value(v):
        if isinstance(v, np.ndarray):
            shape = b"".join(b"M" + struct.pack("<H", side) for side in v.shape)
            return (
                b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b"
                b"\x87Rq\x03(K\x01" + shape + b"\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87R"
                b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
                + string(v.tobytes())
                + b"tb"
            )
        if isinstance(v, list):
            return b"](" + b"".join(map(value, v)) + b"e"
        if isinstance(v, int):
            return b"K" + bytes([v])
        return string(v)

    items = b"".join(string(key) + value(v) for key, v in content.items())
    return b"\x80\x02}q\x00(" + items + b"u."


def binary_ten(n=4):
    files = {f"data_batch_{i}.bin": records(pixels(n, i), labels(n)) for i in range(1, 6)}
    return {
        **files,
        "test_batch.bin": records(pixels(n, 9), labels(n)),
        "batches.meta.txt": ("\n".join(CLASSES) + "\n\n").encode(),
        "readme.html": b"<html>",
    }


def python_ten(write, n=4):
    def batch(seed):
        return write({b"batch_label": b"x", b"labels": labels(n), b"data": pixels(n, seed)})

    return {
        **{f"data_batch_{i}": batch(i) for i in range(1, 6)},
        "test_batch": batch(9),
        "batches.meta": write({b"label_names": [name.encode() for name in CLASSES]}),
    }


def binary_hundred(n=5):
    names = {
        "fine_label_names.txt": "\n".join(f"fine {i}" for i in range(100)).encode(),
        "coarse_label_names.txt": "\n".join(f"coarse {i}" for i in range(20)).encode(),
    }
    parts = {
        f"{part}.bin": records(pixels(n), labels(n, 20), [99 - i for i in range(n)])
        for part in ("train", "test")
    }
    return names | parts


def tarred(path, members, mode="w:gz", prefix="cifar/"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


FORMS = {
    "binary": binary_ten,
    "python 2": lambda: python_ten(python2),
    "python 3, protocol 2": lambda: python_ten(lambda c: pickle.dumps(c, 2)),
    "python 3, protocol 4": lambda: python_ten(lambda c: pickle.dumps(c, 4)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("place", ["folder", "zip", "tar.gz", "tar"])
def test_every_form_gives_the_same_samples(tmp_path, pack, unpack, form, place):
    if place.startswith("tar"):
        mode = "w:gz" if place == "tar.gz" else "w"
        path = tarred(tmp_path / f"cifar.{place}", form(), mode)
    else:
        path = (pack if place == "zip" else unpack)(
            {f"cifar/{name}": data for name, data in form().items()}
        )
    data = open_data(path)
    assert list(data.parts.items()) == [("train", 20), ("test", 4)]
    assert data.task.class_names == tuple(CLASSES)
    train = data.part("train")
    expected = np.concatenate([pixels(4, i) for i in range(1, 6)]).reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(train.inputs, expected)
    assert train.targets.tolist() == labels(4) * 5
    assert data.part("test").ids.tolist() == [20, 21, 22, 23]
    with pytest.raises(DataError, match="no labels of several kinds"):
        open_data(f"{path}?target=coarse")


def test_a_hundred_classes_have_fine_and_coarse_labels(unpack):
    path = unpack(binary_hundred())
    fine, coarse = open_data(path), open_data(f"{path}?target=coarse")
    assert fine.task.class_names[:2] == ("fine 0", "fine 1")
    assert fine.part("train").targets.tolist() == [99, 98, 97, 96, 95]
    assert coarse.task.n_classes == 20
    assert coarse.part("train").targets.tolist() == labels(5)
    with pytest.raises(DataError, match="no labels 'medium'"):
        open_data(f"{path}?target=medium")


def test_a_hundred_classes_as_python_batches(unpack):
    batch = {
        b"filenames": [b"a.png"] * 5,
        b"data": pixels(5),
        b"fine_labels": [99 - i for i in range(5)],
        b"coarse_labels": labels(5),
    }
    meta = {b"fine_label_names": [f"fine {i}".encode() for i in range(100)]}
    files = {"train": python2(batch), "test": python2(batch), "meta": python2(meta)}
    data = open_data(unpack(files))
    assert data.task.class_names[99] == "fine 99"
    assert data.part("test").targets.tolist() == [99, 98, 97, 96, 95]


def test_test_batch_alone_has_one_part(unpack):
    assert open_data(unpack({"test_batch.bin": records(pixels(4), labels(4))})).parts == {"all": 4}


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def attack(proof):
    return {
        "calls the system": pickle.dumps({b"data": Payload(proof)}, 2),
        "calls, late protocol": pickle.dumps({b"data": Payload(proof)}, 4),
        "instance": b"\x80\x02(cos\nsystem\nU\x05touchoq\x00.",
        "looks up by number": b"\x80\x02\x82\x01.",
        "keeps its own": b"\x80\x02U\x01xQ.",
        "object with a state": pickle.dumps({b"data": np.float64(3)}, 2),
        "array of objects": pickle.dumps({b"data": np.array([[{}]], object)}, 2),
        "array of floats": pickle.dumps({b"data": np.zeros((4, 3072)), b"labels": labels(4)}, 2),
    }


@pytest.mark.parametrize("name", attack("x"))
def test_nothing_in_a_batch_is_executed(tmp_path, unpack, name):
    proof = tmp_path / "it-ran"
    files = {"data_batch_1": attack(proof)[name], "test_batch": python2({b"labels": []})}
    with pytest.raises(
        DataError, match="'data_batch_1' is no python batch of CIFAR: it "
    ) as caught:
        open_data(unpack(files))
    assert "cifar-10-binary.tar.gz" in caught.value.hint
    assert not proof.exists()


BROKEN = {
    "nothing": b"",
    "text": b"hello",
    "no end": python2({b"labels": [1]})[:-1],
    "stack runs dry": b"\x80\x02u.",
    "unknown memo": b"\x80\x02h\x07.",
    "no mark": b"\x80\x02}K\x01e.",
    "a list": b"\x80\x02].",
    "a string longer than the file": b"\x80\x02T\xff\xff\xff\x7fabc.",
    "keys without value": b"\x80\x02}(U\x01au.",
    "odd escapes": b"\x80\x02}S'\\Q'\n.",
    "too many instructions": b"\x80\x02}" + b"q\x00" * 3_000_010 + b".",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_pickle_is_refused(content):
    with pytest.raises(ValueError, match=r"^it "):
        read_pickled(content)


def test_pickle_that_multiplies_is_neither_expanded_nor_hashed():
    nest = b"\x80\x02]q\x00" + b"".join(
        b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(200)
    )
    tuples = b"\x80\x02U\x01aq\x00" + b"".join(
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(200)
    )
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="no dictionary"):
            read_pickled(nest + b".")
        with pytest.raises(ValueError, match="keys that are no names"):
            read_pickled(tuples.replace(b"\x80\x02", b"\x80\x02}", 1) + b"K\x01s.")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def read_all(path):
    data = open_data(path)
    return [data.part(part) for part in data.parts]


REFUSED = {
    "cut": (
        {"data_batch_1.bin": bytes(3072), "test_batch.bin": bytes(3073)},
        "not records of 3,07",
    ),
    "empty": ({"data_batch_1.bin": b"", "test_batch.bin": bytes(3073)}, "its 0 bytes are not"),
    "label out of range": (
        {"data_batch_1.bin": records(pixels(3), [0, 1, 10]), "test_batch.bin": bytes(3073)},
        "train of data has class 10: its classes are numbered from 0 to 9",
    ),
    "no test": (
        {"train.bin": records(pixels(3), [0] * 3, [0] * 3)[:-1], "test.bin": bytes(3074)},
        "CIFAR-100: its 9,221 bytes",
    ),
    "other pictures": (
        {"data_batch_1": python2({b"data": pixels(3)[:, :9], b"labels": [0, 1, 2]})},
        "holds no pictures of 32x32",
    ),
    "no labels": ({"data_batch_1": python2({b"data": pixels(3)})}, "holds no list 'labels'"),
    "fewer labels": (
        {"data_batch_1": python2({b"data": pixels(3), b"labels": [0, 1]})},
        "3 pictures and 2 labels",
    ),
    "labels that are text": (
        {"data_batch_1": python2({b"data": pixels(3), b"labels": [b"a", b"b", b"c"]})},
        "holds no list 'labels'",
    ),
}


@pytest.mark.parametrize(("files", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_with_the_reason(unpack, files, reason):
    path = unpack(files)
    with pytest.raises(DataError, match=reason) as caught:
        read_all(path)
    assert str(path.parent) not in str(caught.value)


def test_cifar10_as_binary_batches_is_cifar10_as_pictures(own_cache, shared_data, tmp_path):
    """The real data, converted to the form their authors gave them, in a tar.gz."""
    pictures = open_data(shared_data("cifar10/test.zip")).part("all")
    flat = np.asarray(pictures.inputs).reshape(len(pictures), -1)
    batch = {"test_batch.bin": records(flat, pictures.targets)}
    data = open_data(tarred(tmp_path / "cifar-10-binary.tar.gz", batch))
    assert data.task.class_names == tuple(CLASSES)
    np.testing.assert_array_equal(data.part("all").inputs, pictures.inputs)
    np.testing.assert_array_equal(data.part("all").targets, pictures.targets)
