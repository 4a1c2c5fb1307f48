"""A tar, plain or gzipped, as a place with files: unpacked in memory, never on disk.

The headers are read here and not by :mod:`tarfile`, which reads extended headers of any size and
searches them with regular expressions. What a header may say is little: a name, a size, file or
folder. Links, devices, sparse files and other kinds are refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PureWindowsPath

from optim.data._containers import (
    MAX_MEMBERS,
    MAX_RATIO,
    Read,
    check_name,
    check_outside,
    check_size,
    is_ignored,
    os_errors_named,
    shown,
)
from optim.errors import DataError
from optim.hashing import digest, digest_file

__all__ = ["MAX_TAR_BYTES", "TarContainer", "gunzip"]

MAX_TAR_BYTES = 2**30
"""Unpacked size: CIFAR has 0.2 GB, the test set of Speech Commands 0.17 GB."""

_BLOCK = 512
_CHUNK = 2**20
_PIECE = 2**16
_MAX_STREAMS = 20_000
"""In one file: bgzip, which packs every 64 KiB anew, makes 16,450 of ``MAX_TAR_BYTES``."""
_GZIP = b"\x1f\x8b"
_FILES, _FOLDER, _LONG_NAME = (b"0", b"\0", b"7"), b"5", b"L"
_EXTENDED, _GLOBAL = b"x", b"g"
_MAX_HEADER_BYTES = 65_536
"""Size of an extended header; a name and a few dates take some hundred bytes."""


def gunzip(data: bytes, most: int) -> bytes:
    """Return at most ``most`` bytes of what gzipped bytes unpack to.

    Raises:
        ValueError: If they are damaged.
    """
    unpacked, view = [], memoryview(data)
    at, left, count = 0, most, 0
    try:
        # One file may hold several gzip streams, one behind the other.
        while at < len(data) and left:
            count += 1
            if count > _MAX_STREAMS:
                raise ValueError(f"it holds more than {_MAX_STREAMS:,} gzip streams")
            stream = zlib.decompressobj(wbits=31)
            while at < len(data) and left and not stream.eof:
                # In pieces: what a stream leaves unused of one is copied.
                piece = view[at : at + _PIECE]
                unpacked.append(stream.decompress(piece, left))
                left -= len(unpacked[-1])
                at += len(piece) - len(stream.unused_data)
            if left and not stream.eof:
                raise ValueError("it ends too early")
            if not data.startswith(_GZIP, at):  # padding behind the last one
                break
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return b"".join(unpacked)


class TarContainer:
    """A tar or tar.gz."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def entries(self) -> list[str]:
        """See :class:`~optim.data._containers.Container`."""
        return sorted(self._members)

    def size(self, name: str) -> int:
        """See :class:`~optim.data._containers.Container`."""
        start, stop = self._members[name]
        return stop - start

    def content_hash(self, prefix: str, files: Sequence[str]) -> str:
        """Return the hash of the tar's bytes and the place in it."""
        with os_errors_named(self.name):
            return digest("tar", digest_file(self.path), prefix)

    @contextmanager
    def reader(self) -> Iterator[Read]:
        """See :class:`~optim.data._containers.Container`; unpacked as long as it is open."""
        unpacked = memoryview(self._unpacked())

        def read(name: str, most: int | None = None) -> bytes:
            start, stop = self._members[name]
            if stop > len(unpacked):
                raise DataError(f"{self.name} has changed since it was opened.")
            return bytes(unpacked[start : stop if most is None else min(stop, start + most)])

        yield read

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """``{name: (start, stop)}`` in the unpacked tar."""
        members: dict[str, tuple[int, int]] = {}
        for name, kind, start, stop in _headers(self._unpacked(), self.name):
            check_outside(name, "tar", self.name)
            pieces = [piece for piece in PureWindowsPath(name).parts if piece != "."]
            if kind != _FOLDER and kind not in _FILES:
                what = "a link" if kind in (b"1", b"2") else "neither a file nor a folder"
                raise DataError(
                    f"{shown(name)} in {self.name} is {what}.", hint="Pack the file itself."
                )
            if not pieces or any(is_ignored(piece) for piece in pieces):
                continue
            name = "/".join(pieces) + ("/" if kind == _FOLDER else "")
            check_name(name, self.name)
            check_size(name, stop - start, self.name)
            if name in members and kind != _FOLDER:
                raise DataError(f"{self.name} holds {shown(name)} twice.")
            members[name] = (start, stop)
        return members

    def _unpacked(self) -> bytes:
        with os_errors_named(self.name):
            if self.path.stat().st_size > MAX_TAR_BYTES:
                raise DataError(self._too_large())
            data = self.path.read_bytes()
        return self._gunzipped(data) if data.startswith(_GZIP) else data

    def _gunzipped(self, packed: bytes) -> bytes:
        most = min(MAX_TAR_BYTES, max(16 * _CHUNK, MAX_RATIO * len(packed)))
        try:
            data = gunzip(packed, most + 1)
        except ValueError as error:
            raise DataError(f"{self.name} is damaged: {error}.") from error
        if len(data) > MAX_TAR_BYTES:
            raise DataError(self._too_large())
        if len(data) > most:
            raise DataError(f"{self.name} would unpack to more than {MAX_RATIO} times its size.")
        return data

    def _too_large(self) -> str:
        return f"{self.name} would unpack to more than {MAX_TAR_BYTES / 2**30:g} GiB."


def _headers(data: bytes, tar: str) -> Iterator[tuple[str, bytes, int, int]]:
    """Yield name, kind, start and stop of every member."""
    at, count, long_name = 0, 0, ""
    while at + _BLOCK <= len(data):
        header = data[at : at + _BLOCK]
        if not header.strip(b"\0"):
            return
        count += 1
        if count > MAX_MEMBERS:
            raise DataError(f"{tar} holds more than {MAX_MEMBERS:,} files.")
        size, kind = _checked(header, tar), header[156:157]
        start, stop = at + _BLOCK, at + _BLOCK + size
        if stop > len(data):
            raise DataError(
                f"{tar} is damaged: a file in it claims {size:,} bytes, more than there are."
            )
        at = start + -(-size // _BLOCK) * _BLOCK
        if kind in (_LONG_NAME, _EXTENDED, _GLOBAL):
            if size > _MAX_HEADER_BYTES:
                raise DataError(f"{tar} has a header of {size:,} bytes.")
            if kind == _LONG_NAME:
                long_name = _text(data[start:stop])
            elif kind == _EXTENDED:
                long_name = _path_in(data[start:stop], tar) or long_name
            continue
        yield long_name or _name(header), kind, start, stop
        long_name = ""
    if at == 0:
        raise DataError(f"{tar} is not a tar file, or it is damaged.")


def _checked(header: bytes, tar: str) -> int:
    """Return the size a header states, if its checksum is right."""
    try:
        stated = int(header[148:156].strip(b"\0 "), 8)
        size = int(header[124:136].strip(b"\0 ") or b"0", 8)
    except ValueError:
        stated, size = -1, -1
    if size < 0 or stated != sum(header) - sum(header[148:156]) + 8 * 32:
        raise DataError(f"{tar} is not a tar file, or it is damaged.")
    return size


def _name(header: bytes) -> str:
    prefix = _text(header[345:500]) if header[257:262] == b"ustar" else ""
    # GNU tars keep dates where POSIX tars keep a prefix.
    gnu = header[257:265] == b"ustar  \0"
    name = _text(header[:100])
    return f"{prefix}/{name}" if prefix and not gnu else name


def _path_in(records: bytes, tar: str) -> str:
    """Return the path in an extended header, ``length key=value`` by line; empty if it has none."""
    path, at = "", 0
    while at < len(records) and records[at] != 0:
        length, _, _ = records[at : at + 8].partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(records) - at:
            raise DataError(f"{tar} is damaged: a header in it makes no sense.")
        key, _, value = records[at + len(length) + 1 : at + int(length) - 1].partition(b"=")
        if key == b"path":
            path = _text(value)
        elif key == b"size" or key.startswith(b"GNU.sparse"):
            raise DataError(f"{tar} holds a file of an unusual kind.", hint="Pack it anew.")
        at += int(length)
    return path


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")
