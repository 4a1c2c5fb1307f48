"""A cache apart from the user's, small images, zips and folders, and where the real data is."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optim.data import Classification, Dataset, Samples

SHARED_DATA = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def optim_home(tmp_path_factory, monkeypatch):
    """Keep tests off the user's cache; generated data sets are shared by the whole session."""
    home = tmp_path_factory.getbasetemp() / "optim-home"
    monkeypatch.setenv("OPTIM_HOME", str(home))
    return home


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache for one test."""
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def shared_data():
    """Find the real data, or skip."""

    def find(name):
        if not (SHARED_DATA / name).exists():
            pytest.skip(f"needs {name} of ../shared/data, which is not on this machine")
        return SHARED_DATA / name

    return find


@pytest.fixture
def image():
    """Make the bytes of an image of one value."""

    def make(value=0, *, size=(4, 3), mode="RGB", form="PNG", **options):
        file = io.BytesIO()
        Image.new(mode, size, value).save(file, form, **options)
        return file.getvalue()

    return make


@pytest.fixture
def two_classes(image):
    """Names and bytes of three images in two classes, not in alphabetical order."""
    return {
        "dog/1.png": image((30, 0, 0)),
        "cat/2.png": image((20, 0, 0)),
        "cat/1.png": image((10, 0, 0)),
    }


@pytest.fixture
def pack(tmp_path):
    """Write ``{name or ZipInfo: bytes}`` to a zip."""

    def write(members, name="data.zip"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members.items():
                archive.writestr(member, data)
        return path

    return write


@pytest.fixture
def unpack(tmp_path):
    """Write ``{name: bytes}`` to a folder; names that end with a slash are folders."""

    def write(members, name="data"):
        for member, data in members.items():
            path = tmp_path / name / member
            if member.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path / name

    return write


@pytest.fixture
def dataset():
    """Make a data set of two balanced classes with the given part sizes; inputs repeat the id."""

    def make(**parts):
        starts = dict(zip(parts, np.cumsum([0, *parts.values()]), strict=False))

        def load(part):
            ids = np.arange(parts[part]) + starts[part]
            return Samples(np.float32(ids)[:, None], ids % 2, ids)

        task = Classification(("even", "odd"))
        return Dataset("made", "Made up", task, "5eed", parts, (1,), load, notes=("Made up.",))

    return make
