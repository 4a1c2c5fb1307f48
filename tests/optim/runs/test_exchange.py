"""What is added on one machine is had by another, byte by byte, and nothing is carried twice."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from optim.data import DataOptions
from optim.data.added import add_data, open_registered_data
from optim.errors import RunError
from optim.runs import exchange
from optim.runs.exchange import Offer, accept, give_students, offers, take_students
from optim.runs.files import LocalFiles
from optim.storage import store_home


def zip_of_images(path):
    """Write two classes of small images."""
    with zipfile.ZipFile(path, "w") as archive:
        for label, shade in (("cat", 10), ("dog", 200)):
            for i in range(3):
                buffer = io.BytesIO()
                Image.new("RGB", (8, 8), (shade, i, 0)).save(buffer, "PNG")
                archive.writestr(f"{label}/{i}.png", buffer.getvalue())
    return path


@pytest.fixture
def kept(tmp_path):
    return LocalFiles(tmp_path / "share")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Return a function that goes to another machine."""

    def elsewhere(name="node"):
        monkeypatch.setenv("OPTIM_HOME", str(tmp_path / name))

    return elsewhere


def add_model(name, content, **card):
    folder = store_home() / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"title": name, **card}))
    (folder / f"{name}.safetensors").write_bytes(content)


def carried(kept, spec, go):
    made = [Offer.from_json(json.loads(json.dumps(o.to_json()))) for o in offers(kept, spec)]
    go()
    accept(kept, made)
    return made


def test_a_model_comes_with_its_card_and_the_data_it_names(own_home, kept, elsewhere, tmp_path):
    card = add_data(zip_of_images(tmp_path / "images.zip"), name="pictures", copy=True)
    add_model("mine", b"weights", data="pictures")
    made = carried(kept, {"recipe": {"model": "mine", "data": "digits"}}, elsewhere)
    assert [(offer.folder, offer.name) for offer in made] == [
        ("models", "mine"),
        ("data", "pictures"),
    ]
    assert (store_home() / "models" / "mine.safetensors").read_bytes() == b"weights"
    found = open_registered_data("pictures")
    assert found.title == card.title
    assert len(found.part("all")) == 6
    path = json.loads((store_home() / "data" / "pictures.json").read_text())["path"]
    assert path.startswith(str(store_home()))


def test_what_is_nobodys_name_is_no_offer(own_home, kept):
    add_model("mine", b"weights")
    spec = {"recipe": {"model": "../models/mine", "notes": ["a" * 500, "", "other", 3, None]}}
    assert offers(kept, spec) == []
    assert kept.names() == []


def test_a_file_is_carried_once_and_again_when_it_has_changed(own_home, kept, elsewhere, tmp_path):
    add_model("mine", b"weights")
    carried(kept, {"model": "mine"}, elsewhere)
    copy = store_home() / "models" / "mine.safetensors"
    written = copy.stat().st_mtime_ns
    elsewhere("home")
    carried(kept, {"model": "mine"}, elsewhere)
    assert copy.stat().st_mtime_ns == written
    elsewhere("home")
    add_model("mine", b"other weights")
    carried(kept, {"model": "mine"}, elsewhere)
    assert copy.read_bytes() == b"other weights"


def folder_of_arrays(path):
    """Write data in several files."""
    path.mkdir()
    for part in ("train", "test"):
        np.save(path / f"x_{part}.npy", np.zeros((6, 8, 8, 3), np.uint8))
        np.save(path / f"y_{part}.npy", np.arange(6) % 2)
    return path


def test_a_folder_is_carried_and_is_the_same_data_there(own_home, kept, elsewhere, tmp_path):
    folder = folder_of_arrays(tmp_path / "arrays")
    add_data(folder, name="arrays")
    here = open_registered_data("arrays")
    made = offers(kept, {"data": "arrays"})
    folder.rename(tmp_path / "moved")
    elsewhere()
    accept(kept, made)
    found = open_registered_data("arrays")
    assert found.hash == here.hash
    assert found.parts == {"train": 6, "test": 6}
    path = json.loads((store_home() / "data" / "arrays.json").read_text())["path"]
    assert path == str(store_home() / "data" / "arrays")


def test_a_folder_that_is_there_under_the_same_path_is_used(own_home, kept, elsewhere, tmp_path):
    folder = folder_of_arrays(tmp_path / "arrays")
    add_data(folder, name="arrays")
    carried(kept, {"data": "arrays"}, elsewhere)
    assert json.loads((store_home() / "data" / "arrays.json").read_text())["path"] == str(folder)
    assert not (store_home() / "data" / "arrays").exists()


def test_a_folder_too_large_to_be_carried_has_to_be_there(
    own_home, kept, elsewhere, tmp_path, monkeypatch
):
    monkeypatch.setattr(exchange, "_MOST_FILES", 3)
    folder = folder_of_arrays(tmp_path / "arrays")
    add_data(folder, name="arrays")
    made = offers(kept, {"data": "arrays"})
    folder.rename(tmp_path / "moved")
    elsewhere()
    with pytest.raises(
        RunError, match=r"too large to be carried: at most 3 files.*Add it as a zip"
    ):
        accept(kept, made)


def test_a_model_kept_as_an_onnx_file_is_carried(own_home, kept, elsewhere):
    add_model("mine", b"graph")
    weights = store_home() / "models" / "mine.safetensors"
    weights.rename(weights.with_suffix(".onnx"))
    carried(kept, {"model": "mine"}, elsewhere)
    assert (store_home() / "models" / "mine.onnx").read_bytes() == b"graph"


@pytest.mark.parametrize(
    "card", ["", "{", "[]", "3", '{"path": 3}', '{"path": "gone.zip"}', "[" * 20_000, "\udc80"]
)
def test_a_damaged_card_is_a_sentence(own_home, kept, card):
    folder = store_home() / "data"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_bytes(card.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError, match="'mine' cannot be given to other machines"):
        offers(kept, {"data": "mine"})


def test_a_place_that_has_lost_a_file_is_a_sentence(own_home, kept, elsewhere):
    add_model("mine", b"weights")
    made = offers(kept, {"model": "mine"})
    kept.remove("library")
    elsewhere()
    with pytest.raises(RunError, match=r"'mine' cannot be fetched: No such file"):
        accept(kept, made)


def test_a_place_that_cannot_be_written_is_a_sentence(own_home, tmp_path, full_disk):
    add_model("mine", b"weights")
    with pytest.raises(RunError, match=r"'mine' cannot be put .*: No space left"):
        offers(LocalFiles(tmp_path, full_disk), {"model": "mine"})


def test_what_was_trained_is_found_by_all(own_home, kept, elsewhere, tmp_path):
    def train(key):
        (store_home() / "students").mkdir(parents=True, exist_ok=True)
        (store_home() / "students" / f"{key}.safetensors").write_bytes(key.encode())

    def trained():
        return {path.stem for path in (store_home() / "students").glob("*.safetensors")}

    train("a")
    give_students(kept)
    elsewhere()
    train("b")
    take_students(kept)
    give_students(kept)
    assert trained() == {"a", "b"}
    elsewhere("home")
    take_students(kept)
    assert trained() == {"a", "b"}


def test_data_keep_their_options_and_their_whole_ending(own_home, kept, elsewhere, tmp_path):
    path = zip_of_images(tmp_path / "images.zip")
    with zipfile.ZipFile(path) as archive, tarfile.open(tmp_path / "images.tar.gz", "w:gz") as tar:
        for name in archive.namelist():
            info, content = tarfile.TarInfo(name), archive.read(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    options = DataOptions(resize=(4, 4), class_names=("dog", "cat"))
    add_data(tmp_path / "images.tar.gz", name="pictures", copy=True, options=options)
    carried(kept, {"data": "pictures"}, elsewhere)
    found = open_registered_data("pictures")
    assert found.input_shape == (3, 4, 4)
    assert found.task.class_names == ("dog", "cat")
