"""Files that are whole or not there, in folders that can be moved, under safe names."""

import os
import stat

import pytest

from optim.errors import ConfigError
from optim.storage import ASSETS, cache_home, check_writable, checked_name, store_home, write_atomic


def test_one_variable_moves_everything(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path))
    assert cache_home() == tmp_path / "cache"
    assert store_home() == tmp_path / "store"


def test_otherwise_the_platforms_folders_are_used(tmp_path, monkeypatch):
    monkeypatch.delenv("OPTIM_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    assert cache_home() == tmp_path / "c" / "optim-studio"
    assert store_home() == tmp_path / "d" / "optim-studio"


def test_assets_ship():
    assert (ASSETS / "models").is_dir()


def test_missing_folders_are_made(tmp_path):
    path = write_atomic(tmp_path / "a" / "b" / "c.bin", b"data")
    assert path.read_bytes() == b"data"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_atomic(tmp_path / "f", b"old")

    def fail(file):
        file.write(b"half of the new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_stop_by_the_user_leaves_nothing_half_written(tmp_path):
    def interrupt(file):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "f", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = write_atomic(tmp_path / "f", b"old")
    seen = []

    def write(file):
        file.write(b"new")
        seen.append(path.read_bytes())

    write_atomic(path, write)
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["a", "my-model_2.0", "A" * 80, "0"])
def test_plain_names_are_taken(name):
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a b", "a\0", "ä", "A" * 81, "a:b", "-", "~"],
)
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(ConfigError, match="name must consist of letters") as caught:
        checked_name(name)
    assert caught.value.field == "name"


def test_the_folder_is_synced_after_the_file_has_its_name(tmp_path, monkeypatch):
    order, path = [], tmp_path / "f"

    def fsync(descriptor):
        order.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(path, b"data")
    assert order == [(False, False), (True, True)]


def test_errors_name_the_file_and_not_the_one_that_is_written_first(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_atomic(tmp_path / "folder", b"data")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "folder"), None)

    def full(file):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write_atomic(tmp_path / "f", full)
    assert caught.value.filename == str(tmp_path / "f")

    def reads(file):
        (tmp_path / "gone").read_bytes()

    with pytest.raises(FileNotFoundError) as caught:
        write_atomic(tmp_path / "f", reads)
    assert caught.value.filename == str(tmp_path / "gone")


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    name = "x" * 255
    assert write_atomic(tmp_path / name, b"data").read_bytes() == b"data"


def test_what_cannot_be_written_is_found_out_before(tmp_path):
    check_writable(tmp_path / "new" / "f")
    assert list((tmp_path / "new").iterdir()) == []
    path = write_atomic(tmp_path / "f", b"old")
    check_writable(path)
    assert path.read_bytes() == b"old"
    for place in (tmp_path, tmp_path / ("x" * 256), path / "inside"):
        with pytest.raises(OSError, match=r"directory|too long|exists") as caught:
            check_writable(place)
        assert caught.value.filename in (str(place), str(path))
