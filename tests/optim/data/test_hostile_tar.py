"""Tars that attack: each is refused with a DataError that names no path of this machine."""

import gzip
import io
import tarfile
import tracemalloc
import zlib

import numpy as np
import pytest

from optim.data import _containers, _tar, open_data
from optim.errors import DataError
from tests.damage import refusals

MEBIBYTE = 2**20


@pytest.fixture
def tar(tmp_path):
    """Write ``{name or TarInfo: bytes}`` to a tar."""

    def write(members, name="data.tar.gz", form=tarfile.PAX_FORMAT):
        mode = "w:gz" if name.endswith("gz") else "w"
        with tarfile.open(tmp_path / name, mode, format=form) as archive:
            for member, data in members.items():
                info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
                info.size = len(data) if info.isreg() else 0
                archive.addfile(info, io.BytesIO(data))
        return tmp_path / name

    return write


def refuses(path, reason):
    with pytest.raises(DataError, match=reason) as caught:
        open_data(path).part("all")
    assert str(path.parent) not in str(caught.value)


def peak_of(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("name", ["data.tar", "data.tar.gz", "data.tgz"])
def test_class_folders_in_a_tar_are_those_of_a_zip(tar, pack, two_classes, form, name):
    wrapped = {f"./animals/{file}": data for file, data in two_classes.items()}
    one, other = open_data(tar(wrapped, name, form)), open_data(pack(two_classes))
    assert one.task == other.task
    np.testing.assert_array_equal(one.part("all").inputs, other.part("all").inputs)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_are_read(tar, image, form):
    members = {f"{name * 30}/{'ä' * 60}.png": image() for name in ("cat", "dog")}
    assert open_data(tar(members, form=form)).task.class_names == ("cat" * 30, "dog" * 30)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../outside.png", "cat/../../outside.png", "C:/1.png", "cat\\..\\1.png"]
)
def test_name_that_leads_outside_is_refused(tar, two_classes, image, name):
    refuses(tar(two_classes | {name: image()}), "names a place outside the tar")


KINDS = {
    "symbolic link": (tarfile.SYMTYPE, "is a link"),
    "hard link": (tarfile.LNKTYPE, "is a link"),
    "device": (tarfile.CHRTYPE, "is neither a file nor a folder"),
    "pipe": (tarfile.FIFOTYPE, "is neither a file nor a folder"),
}


@pytest.mark.parametrize(("kind", "reason"), KINDS.values(), ids=KINDS)
def test_what_is_no_file_is_refused(tar, two_classes, kind, reason):
    odd = tarfile.TarInfo("dog/2.png")
    odd.type, odd.linkname = kind, "/etc/passwd"
    refuses(tar({**two_classes, odd: b""}), f"'dog/2.png' in data.tar.gz {reason}")


def test_name_that_occurs_twice_is_refused(tar, two_classes):
    again = tarfile.TarInfo("dog/1.png")
    refuses(tar({**two_classes, again: b"other"}), "holds 'dog/1.png' twice")


def test_gzip_bomb_is_refused_while_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "data.tar.gz"
    path.write_bytes(gzip.compress(bytes(256 * MEBIBYTE), 9))
    # Unpacked up to 200 times its size, and held twice while its pieces are joined.
    assert peak_of(lambda: refuses(path, "more than 200 times its size")) < 120 * MEBIBYTE


@pytest.mark.parametrize("name", ["data.tar", "data.tar.gz"])
def test_too_large_a_tar_is_refused(tar, two_classes, monkeypatch, name):
    monkeypatch.setattr(_tar, "MAX_TAR_BYTES", MEBIBYTE)
    noise = np.random.default_rng(0).bytes(2 * MEBIBYTE)
    refuses(tar(two_classes | {"dog/2.png": noise}, name), "would unpack to more than")


def test_too_large_an_image_is_refused(tar, two_classes, monkeypatch):
    monkeypatch.setattr(_containers, "MAX_FILE_BYTES", MEBIBYTE)
    noise = np.random.default_rng(0).bytes(MEBIBYTE + 1)
    refuses(tar(two_classes | {"dog/2.png": noise}), "'dog/2.png' in data.tar.gz is larger than 1")


def test_too_many_members_are_refused(tar, two_classes, monkeypatch):
    monkeypatch.setattr(_tar, "MAX_MEMBERS", 2)
    refuses(tar(two_classes), "holds more than 2 files")


def lie(raw, size):
    """Let a tar's first header state another size, with the right checksum."""
    header = bytearray(raw[:512])
    header[124:136] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + raw[512:]


def test_size_that_is_not_there_is_refused(tar, two_classes):
    path = tar(two_classes, "data.tar", tarfile.USTAR_FORMAT)
    path.write_bytes(lie(path.read_bytes(), 2**33 - 1))
    refuses(path, "claims 8,589,934,591 bytes, more than there are")


@pytest.mark.parametrize("kind", [b"x", b"L", b"g"], ids=["extended", "long name", "global"])
def test_huge_header_is_refused(tar, two_classes, kind):
    path = tar({"a": bytes(MEBIBYTE), **two_classes}, "data.tar", tarfile.USTAR_FORMAT)
    raw = bytearray(path.read_bytes())
    raw[156:157] = kind
    path.write_bytes(lie(bytes(raw), MEBIBYTE))
    refuses(path, "has a header of 1,048,576 bytes")


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (b"99999 path=a\n", "makes no sense"),
        (b"0 path=a\n", "makes no sense"),
        (b"-5 path=a\n", "makes no sense"),
        (b"11 size=999\n"[:12], "of an unusual kind"),
        (b"21 GNU.sparse.major=1\n"[:22], "of an unusual kind"),
    ],
)
def test_extended_header_that_lies_is_refused(tar, two_classes, records, reason):
    odd = tarfile.TarInfo("head")
    odd.type = b"x"
    path = tar({"head": records.ljust(512, b"\0"), **two_classes}, "data.tar", tarfile.USTAR_FORMAT)
    raw = bytearray(path.read_bytes())
    raw[156:157] = b"x"
    path.write_bytes(lie(bytes(raw), 512))
    refuses(path, reason)


@pytest.mark.parametrize(
    "content", [b"", b"no tar", b"x" * 2_000, b"\x1f\x8b", gzip.compress(b"", mtime=0)]
)
def test_file_that_is_no_tar_is_refused(tmp_path, content):
    path = tmp_path / "data.tar.gz"
    path.write_bytes(content)
    refuses(path, "is not a tar file|is damaged|found none")


def test_no_damage_escapes_as_another_error(own_cache, tar, two_classes):
    path = tar(two_classes, "data.tar")

    def read(content):
        path.write_bytes(content)
        open_data(path).part("all")

    assert refusals(path.read_bytes(), read, cases=200, bytes_=5) > 50


class Counted:
    """Counts the bytes that are handed to zlib, and back as not used."""

    def __init__(self, monkeypatch):
        self.bytes = 0
        make = zlib.decompressobj
        counter = self

        class Stream:
            def __init__(self, **how):
                self._stream = make(**how)

            def decompress(self, piece, most):
                counter.bytes += len(piece)
                return self._stream.decompress(piece, most)

            def __getattr__(self, name):
                return getattr(self._stream, name)

        monkeypatch.setattr(_tar.zlib, "decompressobj", Stream)


def test_many_streams_take_no_more_than_a_piece_each(monkeypatch):
    counted = Counted(monkeypatch)
    one = gzip.compress(b"abc")
    assert _tar.gunzip(one * 5_000, 20_000) == b"abc" * 5_000
    many = one * 40_000
    counted.bytes = 0
    with pytest.raises(ValueError, match="it holds more than 20,000 gzip streams"):
        _tar.gunzip(many, 10**6)
    assert counted.bytes < 0.1 * 20_000 * len(many)


@pytest.mark.parametrize("most", [0, 1, 100_000, 300_000, 400_000])
def test_streams_longer_than_a_piece_are_put_together(most):
    content = np.random.default_rng(0).bytes(150_000)
    packed = gzip.compress(content) + gzip.compress(content)
    assert _tar.gunzip(packed, most) == (content + content)[:most]
    assert _tar.gunzip(packed + bytes(70_000), most) == (content + content)[:most], "padding"
    if most > 300_000:
        with pytest.raises(ValueError, match="too early"):
            _tar.gunzip(packed[:-4], most)
