"""What works for each format: tried with files made here, and held against docs/formats.md."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optim.data import Unlabelled, open_data
from optim.data.added import add_data, open_registered_data
from optim.data.readers import READERS
from optim.errors import DataError
from optim.intake import ENDINGS
from pages.components.bring import data as bring_data

ROOT = Path(__file__).parents[4]
X, Y = np.arange(40 * 9).reshape(40, 3, 3).astype(np.uint8), np.arange(40) % 2


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def idx(array):
    sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sides + array.astype(np.uint8).tobytes()


def png(value):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def batch():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (4, 3073), np.uint8)
    rows[:, 0] = range(4)
    return rows.tobytes()


def python_batch():
    import pickle

    pixels = np.frombuffer(batch(), np.uint8).reshape(4, 3073)[:, 1:]
    return pickle.dumps({b"data": np.ascontiguousarray(pixels), b"labels": [0, 1, 2, 3]}, 2)


def table():
    return ("a,y\n" + "\n".join(f"{i}.5,{i % 2}" for i in range(40))).encode()


def class_folders(part=""):
    return {f"{part}{name}/{i}.png": png(i) for name in ("cat", "dog") for i in range(2)}


LONE = {
    "numpy": {"a.npz": npz(x=X, y=Y), "a.npy": npy(X)},
    "idx": {"a.idx": idx(X), "images-idx3-ubyte": idx(X)},
    "cifar-binary": {"data_batch_1.bin": batch()},
    "cifar-python": {},
    "table": {"a.csv": table(), "a.tsv": table().replace(b",", b"\t")},
    "images": {},
}
ONE_PART = {
    "numpy": {"x.npy": npy(X), "y.npy": npy(Y)},
    "idx": {"images-idx3-ubyte": idx(X), "labels-idx1-ubyte": idx(Y)},
    "cifar-binary": {"test_batch.bin": batch()},
    "cifar-python": {"test_batch": python_batch()},
    "table": {"a.csv": table()},
    "images": class_folders(),
}
PARTS = {
    "numpy": {
        f"{role}_{part}.npy": npy(v)
        for part in ("train", "test")
        for role, v in (("x", X), ("y", Y))
    },
    "idx": {
        f"{part}-{role}": idx(v)
        for part in ("train", "t10k")
        for role, v in (("images-idx3-ubyte", X), ("labels-idx1-ubyte", Y))
    },
    "cifar-binary": {"data_batch_1.bin": batch(), "test_batch.bin": batch()},
    "cifar-python": {"data_batch_1": python_batch(), "test_batch": python_batch()},
    "table": {"train.csv": table(), "test.csv": table()},
    "images": class_folders("train/") | class_folders("test/"),
}


def works(path):
    """Whether data open and all their samples can be read."""
    try:
        data = open_data(path)
        for part in data.parts:
            assert len(data.part(part)) == data.parts[part]
    except DataError:
        return None
    return data


def placed(folder, files, place):
    """Write files to a folder, a zip or a tar and return where they are."""
    import zipfile

    folder.mkdir(parents=True)
    path = folder / f"data.{place}" if place != "folder" else folder / "data"
    if place == "folder":
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    elif place == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def said(found):
    return "yes" if found else "no"


def row(name, tmp_path):
    """Return what works for one format, tried out."""
    reader = READERS[name]
    alone = []
    for file, content in LONE[name].items():
        path = tmp_path / name / "lone" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if works(path):
            alone.append(file)
    places = [
        said(works(placed(tmp_path / name / f"one-{place}", ONE_PART[name], place)))
        for place in ("folder", "zip", "tar.gz")
    ]
    split = works(placed(tmp_path / name / "split", PARTS[name], "zip"))
    bare = works(f"{placed(tmp_path / name / 'bare', ONE_PART[name], 'zip')}?target=none")
    cells = (
        reader.title,
        ", ".join(f"`{ending}`" for ending in reader.endings) or "no",
        *places,
        said(split and {"train", "test"} <= set(split.parts)),
        said(bare and bare.task == Unlabelled()),
    )
    assert len(alone) == len(LONE[name]), f"only {alone} of {list(LONE[name])} open alone"
    return "| " + " | ".join(cells) + " |"


HEAD = """\
| format | alone | folder | zip | tar.gz | train and test | without labels |
|:--|:--|:--|:--|:--|:--|:--|
"""


def test_the_matrix_of_formats_is_what_works(tmp_path, own_cache):
    assert set(READERS) == set(LONE) == set(ONE_PART) == set(PARTS)
    matrix = HEAD + "\n".join(row(name, tmp_path) for name in READERS)
    print(matrix)  # noqa: T201  (shown with -s, to be pasted into the page)
    assert matrix in (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def test_every_format_says_in_the_docs_what_it_holds():
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for reader in READERS.values():
        assert f"| {reader.title} | {reader.holds} | {reader.labels} |" in text


def test_every_option_is_in_the_docs():
    from optim.data import DataOptions

    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for name in DataOptions.model_fields:
        assert f"| `{name}` |" in text, name


def test_every_upload_is_named_in_the_docs():
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert ", ".join(f"`{ending}`" for ending in ENDINGS["data"]) in text
    assert bring_data.ENDINGS is ENDINGS


@pytest.mark.parametrize("name", READERS)
def test_files_of_a_format_are_taken_by_that_format(name):
    files = sorted(ONE_PART[name])
    taken = next(key for key, reader in READERS.items() if reader.takes(files))
    assert taken == name


ANY_NAME = {
    "idx": ("train-images-idx3-ubyte", idx(X)),
    "gzipped idx": ("train-images-idx3-ubyte.gz", gzip.compress(idx(X))),
    "cifar": ("data_batch_1.bin", batch()),
    "array": ("x_train.npy", npy(X)),
    "arrays": ("digits.npz", npz(x=X, y=Y)),
    "table": ("train.csv", table()),
}


@pytest.mark.parametrize(("file", "content"), ANY_NAME.values(), ids=ANY_NAME)
def test_what_was_copied_under_another_name_is_still_what_it_was(
    tmp_path, own_cache, file, content
):
    (tmp_path / file).write_bytes(content)
    card = add_data(tmp_path / file, copy=True)
    one, other = open_data(tmp_path / file), open_registered_data(card.name)
    assert (one.hash, one.parts, one.task) == (other.hash, other.parts, other.task)
    part = next(iter(one.parts))
    np.testing.assert_array_equal(one.part(part).inputs, other.part(part).inputs)


def test_a_gzip_of_something_else_is_refused(tmp_path):
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(table()))
    with pytest.raises(DataError, match=r"'table\.csv\.gz' is not an IDX file"):
        open_data(tmp_path / "table.csv.gz")
