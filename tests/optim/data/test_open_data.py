"""Names, fields and paths by which data is opened."""

import subprocess
import sys
from pathlib import Path

import pytest

from optim.data import open_builtin, open_data
from optim.errors import ConfigError, DataError

ROOT = Path(__file__).parents[3]


def test_name_opens_a_built_in_data_set():
    assert open_data("wine").title == "Wine"


def test_fields_are_read_from_the_name():
    plain = open_data("cluttered-digits?difficulty=0.5&seed=0")
    assert plain.hash == open_data("cluttered-digits").hash
    assert open_data("cluttered-digits?difficulty=0.8").hash != plain.hash


def test_name_is_kept_as_it_was_asked_for():
    assert open_data("wine?seed=3").ref == "wine?seed=3"


def test_seed_is_used_where_the_name_has_none():
    assert open_data("wine", seed=3).hash == open_data("wine?seed=3").hash
    assert open_data("wine?seed=3", seed=4).hash == open_data("wine?seed=3").hash


ILLEGAL = {
    "unknown field": ("wine?colour=red", "colour", "Wine has no field 'colour'"),
    "out of range": ("cluttered-digits?difficulty=2", "difficulty", "between 0 and 1: got 2"),
    "not a number": ("wine?seed=red", "seed", "seed: .*got seed='red'"),
    "not finite": ("cluttered-digits?difficulty=nan", "difficulty", "from 0 to 1: got nan"),
    "empty": ("wine?seed=", "seed", "seed: "),
    "no value": ("wine?seed", "", "must be written as name=value"),
    "twice": ("wine?seed=1&seed=2", "", "can be given once"),
}


@pytest.mark.parametrize(("ref", "field", "reason"), ILLEGAL.values(), ids=ILLEGAL)
def test_illegal_field_is_refused_at_that_field(ref, field, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        open_data(ref)
    assert caught.value.field == field


def test_unknown_name_is_refused_with_the_nearest_and_all_allowed():
    with pytest.raises(DataError, match="no data set, zip or folder 'cluttered_digit'") as caught:
        open_data("cluttered_digit")
    assert caught.value.hint.startswith("Did you mean cluttered-digits")
    assert "bearing" in caught.value.hint
    assert "zip" in caught.value.hint


@pytest.mark.parametrize("ref", ["", "a" * 5_000, "nul\0", "missing.zip", Path("wine")])
def test_what_does_not_exist_is_refused(ref, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="There is no data set, zip or folder"):
        open_data(ref)


def test_message_names_no_folder_above_the_file(tmp_path):
    with pytest.raises(DataError, match=r"'missing\.zip'") as caught:
        open_data(tmp_path / "missing.zip")
    assert str(tmp_path) not in str(caught.value)


def test_built_in_name_wins_over_a_folder_of_that_name(unpack, two_classes, monkeypatch):
    monkeypatch.chdir(unpack(two_classes, "wine").parent)
    assert open_data("wine").title == "Wine"
    assert open_data("./wine").parts == {"all": 3}
    assert open_data(Path("wine")).parts == {"all": 3}


def test_ref_from_a_link_opens_no_file(pack, two_classes):
    with pytest.raises(DataError, match="There is no data set"):
        open_builtin(str(pack(two_classes)))


def test_importing_is_light():
    """The web server imports this package: heavy ones must wait until they are used."""
    code = (
        "import sys, optim.data\n"
        "print(sorted({'sklearn', 'scipy', 'PIL', 'torch', 'pandas'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
