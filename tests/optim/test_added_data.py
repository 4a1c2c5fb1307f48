"""Data that is added: under safe names, copied or remembered, and never in place of others."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from optim.data import DataOptions
from optim.data.added import (
    add_data,
    data_cards,
    open_registered_data,
    options_of,
    set_data_options,
    vary_data,
)
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


def test_options_are_kept_in_the_card_and_can_be_changed(pets):
    card = add_data(pets, options=DataOptions(resize=(3, 3)))
    assert card.options == {"resize": [3, 3]}
    assert open_registered_data(card.name).input_shape == (3, 3, 3)
    changed = set_data_options(card.name, DataOptions(resize=(4, 5), class_names=("dog", "cat")))
    assert changed.input_shape == (3, 4, 5)
    assert data_cards()[card.name] == changed
    data = open_registered_data(card.name)
    assert data.task.class_names == ("dog", "cat")
    assert (data.ref, data.title) == (card.name, card.title)


def test_options_that_do_not_fit_leave_the_card_as_it_was(pets):
    card = add_data(pets)
    with pytest.raises(DataError, match="does not fit"):
        set_data_options(card.name, DataOptions(resize=(5,)))
    assert data_cards()[card.name] == card


def test_options_of_built_in_or_unknown_data_cannot_be_changed():
    for name in ("wine", "nothing"):
        with pytest.raises(DataError, match="There is no added data"):
            set_data_options(name, DataOptions())


@pytest.mark.parametrize("name", ["wine", "wine?seed=3", "../../secret", "a/b", "nothing", ""])
def test_only_added_data_have_options_of_their_own(name, own_home):
    (own_home / "store" / "data").mkdir(parents=True)
    (own_home / "secret.json").write_text('{"options": {"seed": 1}}')
    assert options_of(name) == {}


def test_options_are_read_from_the_card_alone(pets):
    card = add_data(pets, options=DataOptions(seed=3))
    assert options_of(card.name) == {"seed": 3}


def test_a_card_of_an_earlier_version_is_read(pets, own_home):
    card = add_data(pets)
    path = own_home / "store" / "data" / f"{card.name}.json"
    fields = json.loads(path.read_text())
    del fields["options"]
    path.write_text(json.dumps(fields))
    assert open_registered_data(card.name).parts == {"all": 4}


def test_data_without_labels_have_no_classes(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 4), np.float32))
    card = add_data(tmp_path / "x.npy", copy=True)
    assert card.n_classes == 0
    assert card.path.endswith(".npy")
    assert open_registered_data(card.name).part("all").targets.tolist() == [-1] * 5


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: b"{",
        lambda fields: b"\x80\x02",
        lambda fields: b"[" * 5_000,
        lambda fields: b"[]",
        lambda fields: json.dumps(fields | {"title": None}).encode(),
        lambda fields: json.dumps(fields | {"input_shape": "x"}).encode(),
        lambda fields: json.dumps(fields | {"options": [1]}).encode(),
        lambda fields: json.dumps(fields | {"name": "wine"}).encode(),
    ],
)
def test_a_damaged_card_is_left_out_and_hides_no_other(own_home, pets, caplog, change):
    card = add_data(pets)
    file = own_home / "store" / "data" / f"{card.name}.json"
    file.write_bytes(change(json.loads(file.read_bytes())))
    cards = data_cards()
    assert card.name not in cards
    assert cards["wine"].title == "Wine"
    assert "is damaged and left out" in caplog.text
    assert isinstance(options_of(card.name), dict)


def test_data_read_otherwise_stand_beside_those_that_were_there(pets, own_home):
    first = add_data(pets, title="Pets", copy=True)
    second = vary_data(first.name, DataOptions(resize=(4, 5)))
    assert second.name != first.name
    assert (second.title, second.listed) == ("Pets (resize 4, 5)", True)
    assert vary_data(second.name, DataOptions(scale=2.0)).title == "Pets (scale 2.0)"
    assert vary_data(second.name, DataOptions()).title == "Pets"
    assert open_registered_data(first.name).input_shape == (3, 6, 6)
    assert open_registered_data(second.name).input_shape == (3, 4, 5)
    one, other = (own_home / "store" / "data" / f"{c.name}.zip" for c in (first, second))
    assert one.samefile(other), "one file of bytes serves both"
    one.unlink()
    assert len(open_registered_data(second.name).part("all")) == 4


def test_options_that_leave_the_samples_alone_give_another_name_as_well(pets):
    first = add_data(pets, copy=True)
    assert vary_data(first.name, DataOptions(scale=255.0)).name != first.name
    assert vary_data(first.name, DataOptions()).name == first.name


def test_data_that_are_only_remembered_are_not_copied_for_that(pets):
    first = add_data(pets)
    assert vary_data(first.name, DataOptions(resize=(4, 5))).path == first.path


def test_built_in_data_are_not_read_otherwise():
    with pytest.raises(DataError, match="no added data 'wine'"):
        vary_data("wine", DataOptions(scale=2.0))
