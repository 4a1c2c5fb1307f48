"""Data that is added: under safe names, copied or remembered, and never in place of others."""

import io
import json
import zipfile

import pytest
from PIL import Image

from optim.data.added import add_data, data_cards, open_registered_data
from optim.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def _own(own_home):
    return own_home


@pytest.fixture
def pets(tmp_path):
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i, name in enumerate(("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")):
            buffer = io.BytesIO()
            Image.new("RGB", (6, 6), (40 * i, 0, 0)).save(buffer, "PNG")
            archive.writestr(name, buffer.getvalue())
    return path


def test_added_data_are_found_by_name(pets):
    card = add_data(pets, title="Pets")
    assert card.name.startswith("my-")
    assert (card.title, card.input_shape, card.n_classes) == ("Pets", (3, 6, 6), 2)
    data = open_registered_data(card.name)
    assert data.parts == {"all": 4}
    assert (data.ref, data.title) == (card.name, "Pets")


def test_a_copy_outlives_the_file_it_came_from(pets):
    card = add_data(pets, copy=True)
    pets.unlink()
    assert len(open_registered_data(card.name).part("all")) == 4


def test_what_is_only_remembered_and_gone_is_refused(pets):
    card = add_data(pets)
    pets.unlink()
    with pytest.raises(DataError, match="There is no data set"):
        open_registered_data(card.name)


@pytest.mark.parametrize("name", ["..", "../x", "a/b", ".x", "a b", "x" * 99])
def test_names_that_lead_elsewhere_are_refused(pets, name, own_home):
    with pytest.raises(ConfigError, match="name must consist of"):
        add_data(pets, name=name, copy=True)
    assert not list(own_home.rglob("*.json"))


def test_built_in_data_cannot_be_replaced(pets):
    with pytest.raises(ConfigError, match="already that of built-in data"):
        add_data(pets, name="wine")
    assert data_cards()["wine"].input_shape == (13,)


def test_cards_never_show_where_data_lie_unless_asked(pets, own_home):
    card = add_data(pets)
    written = json.loads((own_home / "store" / "data" / f"{card.name}.json").read_text())
    assert written["path"] == str(pets)
    assert str(pets) not in repr(open_registered_data(card.name))


@pytest.mark.parametrize("ref", ["../../etc", "/etc/passwd", "", "my-unknown", "file.zip"])
def test_a_link_opens_registered_data_only(ref):
    with pytest.raises(DataError, match="no registered data"):
        open_registered_data(ref)
