"""Zips that attack: each is refused with a DataError that names no path of this machine."""

import stat
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from optim.data import _containers, open_data
from optim.errors import DataError
from tests.damage import refusals

MEBIBYTE = 2**20


def refuses(path, reason):
    with pytest.raises(DataError, match=reason) as caught:
        open_data(path).part("all")
    assert str(path.parent) not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../outside.png",
        "cat/../../outside.png",
        "cat/..",
        "C:/windows/1.png",
        "C:1.png",
        "\\server\\share\\1.png",
        "cat\\..\\..\\outside.png",
    ],
)
def test_name_that_leads_outside_is_refused(pack, two_classes, image, name):
    refuses(pack(two_classes | {name: image()}), "names a place outside the zip")


def test_link_is_refused(pack, two_classes):
    link = zipfile.ZipInfo("dog/2.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refuses(pack({**two_classes, link: b"/etc/passwd"}), "'dog/2.png' in data.zip is a link")


def test_encrypted_member_is_refused(pack, two_classes):
    path = pack(two_classes)
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    struct.pack_into("<H", raw, entry + 8, 0x1)
    path.write_bytes(raw)
    refuses(path, "'dog/1.png' in data.zip is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_unusual_compression_is_refused(pack, two_classes, image, method):
    member = zipfile.ZipInfo("dog/2.png")
    member.compress_type = method
    path = pack(two_classes)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, image(), compress_type=method)
    refuses(path, "'dog/2.png' in data.zip is compressed in an unusual way")


def test_bomb_by_ratio_is_refused(pack, two_classes):
    refuses(pack(two_classes | {"dog/2.png": bytes(MEBIBYTE)}), "more than 200 times its size")


def test_blank_bitmap_is_no_bomb(pack, image):
    blank = {f"{name}/1.bmp": image(size=(32, 32), form="BMP") for name in ("cat", "dog")}
    assert open_data(pack(blank)).parts == {"all": 2}


def test_bomb_by_total_is_refused(pack, two_classes, monkeypatch):
    monkeypatch.setattr(_containers, "MAX_TOTAL_BYTES", MEBIBYTE)
    noise = np.random.default_rng(0).bytes(MEBIBYTE // 2)
    refuses(pack(two_classes | {f"dog/{i}.png": noise for i in (2, 3)}), "would unpack to more")


def test_too_large_file_is_refused(pack, two_classes, monkeypatch):
    monkeypatch.setattr(_containers, "MAX_FILE_BYTES", MEBIBYTE)
    noise = np.random.default_rng(0).bytes(MEBIBYTE + 1)
    refuses(pack(two_classes | {"dog/2.png": noise}), "'dog/2.png' in data.zip is larger than 1")


def test_too_many_members_are_refused_before_the_zip_is_opened(pack, two_classes, monkeypatch):
    path = pack(two_classes)
    monkeypatch.setattr(_containers, "MAX_MEMBERS", 2)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    refuses(path, "holds more than 2 files")


def test_member_that_holds_more_than_it_says_is_not_unpacked(pack, image):
    path = pack({"cat/1.png": bytes(64 * MEBIBYTE), "dog/1.png": image()})
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, 100)
    path.write_bytes(raw)
    tracemalloc.start()
    try:
        refuses(path, "'cat/1.png' in data.zip is damaged")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEBIBYTE


def test_name_that_occurs_twice_is_refused(pack, two_classes):
    path = pack(two_classes)
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr("dog/1.png", b"other")
    refuses(path, "holds 'dog/1.png' twice")


def test_name_that_cannot_be_shown_is_refused(pack, two_classes, image):
    refuses(pack(two_classes | {"dog/\x1b[31m.png": image()}), r"cannot be shown: .*x1b")


def test_damaged_member_is_refused_by_name(pack, two_classes):
    path = pack(two_classes)
    raw = bytearray(path.read_bytes())
    start = raw.index(b"cat/1.png") + len("cat/1.png")
    raw[start : start + 8] = bytes(8)
    path.write_bytes(raw)
    refuses(path, "'cat/1.png' in data.zip is damaged")


@pytest.mark.parametrize("name", ["cat/1.png", "dog/1.png"], ids=["first", "later"])
def test_corrupt_image_is_refused_by_name(pack, two_classes, name):
    refuses(pack(two_classes | {name: b"\x89PNG\r\n\x1a\n and no more"}), f"'{name}' is not an im")


@pytest.mark.parametrize("side", [5_000, 10_000, 30_000], ids=["ours", "pillow warns", "refuses"])
def test_image_bomb_is_refused_by_its_header(pack, two_classes, image, side):
    bomb = bytearray(image())
    struct.pack_into(">II", bomb, 16, side, side)
    struct.pack_into(">I", bomb, 29, zlib.crc32(bomb[12:29]))
    refuses(pack(two_classes | {"cat/1.png": bytes(bomb)}), "'cat/1.png' has more than 16,777,216")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_file_that_is_no_zip_or_holds_nothing_is_refused(tmp_path, content):
    path = tmp_path / "data.zip"
    path.write_bytes(content)
    refuses(path, "data.zip (is not a zip file|needs at least two class folders)")


def test_names_with_backslashes_are_read_as_folders(pack, two_classes):
    path = pack({name.replace("/", "\\"): data for name, data in two_classes.items()})
    assert open_data(path).task.class_names == ("cat", "dog")


def test_no_damage_to_a_zip_escapes_as_another_error(own_cache, tmp_path, pack, two_classes):
    path = tmp_path / "broken.zip"

    def read(content):
        path.write_bytes(content)
        open_data(path).part("all")

    assert refusals(pack(two_classes).read_bytes(), read, cases=300, bytes_=3) > 50
