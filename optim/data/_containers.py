"""Where files of samples lie: a zip, a tar, a folder or one file, none of them trusted.

Nothing is ever written to disk. A zip or tar is refused as a whole, before any member is read, if
it names a place outside itself, holds a link, a password or an unusual compression, or claims to
unpack to more than the limits below. A folder is refused if it holds links, so that nothing
outside it is read. Messages name members by their path inside, never a path of this machine.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Protocol

from optim.data._images import SUFFIXES
from optim.errors import DataError
from optim.hashing import digest, digest_file

__all__ = [
    "MAX_ARRAY_BYTES",
    "MAX_MEMBERS",
    "MAX_RATIO",
    "Container",
    "FileContainer",
    "FolderContainer",
    "Read",
    "ZipContainer",
    "check_name",
    "check_outside",
    "check_size",
    "is_ignored",
    "is_image",
    "os_errors_named",
    "shown",
]

MAX_MEMBERS = 200_000
"""Files in one zip or folder: three times MNIST's train part."""
MAX_FILE_BYTES = 64 * 2**20
"""Size of one image file: a picture of the largest allowed size without any compression."""
MAX_ARRAY_BYTES = 2 * 2**30
"""Size of any other file: arrays and tables hold many samples in one."""
MAX_TOTAL_BYTES = 4 * 2**30
"""Size of all files of a zip together when unpacked."""
MAX_RATIO = 200
"""Unpacked over packed size of one member: 1.0 for JPEG and PNG, up to 150 for a blank bitmap,
1,030 for the zeros of a bomb."""
HARMLESS_BYTES = 16 * 2**20
"""Arrays up to this size may be packed as tightly as they like: sorted labels are one long run."""
MAX_DEPTH = 4
"""Names in a member's path: wrapping folder, part, class, image."""

_DIRECTORY_ENTRY = b"PK\x01\x02"
_ENCRYPTED = 0x1
_IGNORED = {"__macosx", "thumbs.db", "desktop.ini"}
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class Read(Protocol):
    """Reads a file by name, as a whole or its first ``most`` bytes."""

    def __call__(self, name: str, most: int | None = None) -> bytes:
        """Return the bytes.

        Raises:
            DataError: If the file is damaged or larger than allowed.
        """
        ...


class Container(Protocol):
    """A place with named files.

    Attributes:
        name: Its own name without any folder above it, for messages.
    """

    name: str

    def entries(self) -> list[str]:
        """Return ``"cat/1.png"`` for files and ``"cat/"`` for folders, checked and sorted.

        Files that systems leave behind (hidden ones, ``__MACOSX``, ``Thumbs.db``) are left out.

        Raises:
            DataError: If it cannot be read or holds anything that is refused.
        """
        ...

    def size(self, name: str) -> int:
        """Return how many bytes a file holds; :meth:`entries` has checked it."""
        ...

    def content_hash(self, prefix: str, files: Sequence[str]) -> str:
        """Return a hash of the bytes of ``files``, all of which lie under ``prefix``."""
        ...

    def reader(self) -> AbstractContextManager[Read]:
        """Return a context in which files can be read by name."""
        ...


class ZipContainer:
    """A zip file, read where it lies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def entries(self) -> list[str]:
        """See :class:`Container`."""
        return sorted(self._members)

    def size(self, name: str) -> int:
        """See :class:`Container`."""
        return self._members[name].file_size

    def content_hash(self, prefix: str, files: Sequence[str]) -> str:
        """Return the hash of the zip's bytes and the place in it; members need not be read."""
        with os_errors_named(self.name):
            return digest("zip", digest_file(self.path), prefix)

    @contextmanager
    def reader(self) -> Iterator[Read]:
        """See :class:`Container`."""
        members = self._members
        with self._open() as archive:

            def read(name: str, most: int | None = None) -> bytes:
                size = members[name].file_size
                try:
                    with archive.open(members[name]) as member:
                        # Asked for no more than was checked: a member may hold more than it says.
                        return member.read(size if most is None else min(most, size))
                except _ZIP_FAULTS as error:
                    raise DataError(f"{shown(name)} in {self.name} is damaged.") from error

            yield read

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        self._check_number()
        with self._open() as archive:
            infos = archive.infolist()
        if sum(info.file_size for info in infos) > MAX_TOTAL_BYTES:
            raise DataError(
                f"{self.name} would unpack to more than {MAX_TOTAL_BYTES / 2**30:g} GiB."
            )
        members: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            pieces = PureWindowsPath(info.filename).parts
            self._check_member(info)
            if any(is_ignored(piece) for piece in pieces):
                continue
            name = "/".join(pieces) + ("/" if info.filename.endswith(("/", "\\")) else "")
            check_name(name, self.name)
            if name in members:
                raise DataError(f"{self.name} holds {shown(name)} twice.")
            members[name] = info
        return members

    def _check_number(self) -> None:
        # zipfile builds its whole list when it opens a file. Each entry begins with a signature,
        # so that counting signatures bounds the list without trusting the number a zip states.
        number, tail = 0, b""
        with os_errors_named(self.name), self.path.open("rb") as file:
            while block := file.read(2**20):
                number += (tail + block).count(_DIRECTORY_ENTRY)
                tail = block[-len(_DIRECTORY_ENTRY) + 1 :]
        if number > MAX_MEMBERS:
            raise DataError(f"{self.name} holds more than {MAX_MEMBERS:,} files.")

    def _check_member(self, info: zipfile.ZipInfo) -> None:
        what = f"{shown(info.filename)} in {self.name}"
        check_outside(info.filename, "zip", self.name)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"{what} is a link.", hint="Pack the file itself.")
        if info.flag_bits & _ENCRYPTED:
            raise DataError(f"{what} is encrypted.", hint="Pack it without a password.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{what} is compressed in an unusual way.",
                hint="Pack it as an ordinary zip (stored or deflated).",
            )
        harmless = 0 if is_image(info.filename) else HARMLESS_BYTES
        if info.file_size > max(harmless, MAX_RATIO * max(info.compress_size, 1)):
            raise DataError(f"{what} would unpack to more than {MAX_RATIO} times its size.")
        check_size(info.filename, info.file_size, self.name)

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except _ZIP_FAULTS as error:
            raise DataError(f"{self.name} is not a zip file, or it is damaged.") from error


class FolderContainer:
    """A folder. Links in it are refused, also those that lead back into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.resolve().name

    def entries(self) -> list[str]:
        """See :class:`Container`."""
        found: list[str] = []
        for name in self._walk(self.path, ""):
            found.append(name)
            if len(found) > MAX_MEMBERS:
                raise DataError(f"{self.name} holds more than {MAX_MEMBERS:,} files.")
        return sorted(found)

    def size(self, name: str) -> int:
        """See :class:`Container`."""
        with os_errors_named(f"{shown(name)} in {self.name}"):
            return (self.path / name).stat().st_size

    def content_hash(self, prefix: str, files: Sequence[str]) -> str:
        """Return a hash of every file's name below ``prefix`` and bytes.

        Sizes and times would be quicker to read and miss a picture that was edited in place; the
        bytes of 10,000 small files take about a quarter of a second.
        """
        with os_errors_named(self.name):
            hashes = [(file.removeprefix(prefix), digest_file(self.path / file)) for file in files]
        return digest("folder", hashes)

    def reader(self) -> AbstractContextManager[Read]:
        """See :class:`Container`."""
        return nullcontext(self._read)

    def _read(self, name: str, most: int | None = None) -> bytes:
        path = self.path / name
        with os_errors_named(f"{shown(name)} in {self.name}"):
            check_size(name, path.stat().st_size, self.name)
            with path.open("rb") as file:
                return file.read(-1 if most is None else most)

    def _walk(self, folder: Path, prefix: str) -> Iterator[str]:
        with os_errors_named(prefix or self.name):
            children = sorted(folder.iterdir())
        for child in children:
            name = prefix + child.name
            if is_ignored(child.name):
                continue
            check_name(name, self.name)
            if child.is_symlink():
                raise DataError(
                    f"{shown(name)} in {self.name} is a link.", hint="Put the file itself there."
                )
            if child.is_dir():
                yield name + "/"
                yield from self._walk(child, name + "/")
            elif child.is_file():
                yield name
            else:
                raise DataError(f"{shown(name)} in {self.name} is neither a file nor a folder.")


class FileContainer:
    """One file, seen as a place that holds nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def entries(self) -> list[str]:
        """See :class:`Container`."""
        check_name(self.name, "The folder")
        check_size(self.name, self.size(self.name), "the folder")
        return [self.name]

    def size(self, name: str) -> int:
        """See :class:`Container`."""
        with os_errors_named(shown(self.name)):
            return self.path.stat().st_size

    def content_hash(self, prefix: str, files: Sequence[str]) -> str:
        """Return the hash of the file's bytes."""
        with os_errors_named(shown(self.name)):
            return digest("file", digest_file(self.path))

    def reader(self) -> AbstractContextManager[Read]:
        """See :class:`Container`."""
        return nullcontext(self._read)

    def _read(self, name: str, most: int | None = None) -> bytes:
        with os_errors_named(shown(self.name)), self.path.open("rb") as file:
            return file.read(-1 if most is None else most)


def is_image(name: str) -> bool:
    """Whether a file is an image by its name."""
    return PureWindowsPath(name).suffix.lower() in SUFFIXES


def check_outside(name: str, kind: str, container: str) -> None:
    """Refuse a member that names a place outside the archive.

    Raises:
        DataError: If it does.
    """
    # Both kinds of path at once: a Windows path also has slashes, roots and "..".
    path = PureWindowsPath(name)
    if path.anchor or ".." in path.parts:
        raise DataError(f"{shown(name)} in {container} names a place outside the {kind}.")


def is_ignored(piece: str) -> bool:
    """Whether a name is one that systems leave behind."""
    return piece.startswith(".") or piece.lower() in _IGNORED


def check_name(name: str, container: str) -> None:
    """Refuse a name that cannot be shown or lies too deep."""
    if not name.isprintable():
        raise DataError(f"{container} holds a name that cannot be shown: {shown(name)}.")
    if name.rstrip("/").count("/") >= MAX_DEPTH:
        raise DataError(
            f"{shown(name)} in {container} lies too deep.",
            hint="Images lie in one folder a class: cat/1.png, dog/1.png.",
        )


def check_size(name: str, size: int, container: str) -> None:
    """Refuse a file that is too large for what its name says it is."""
    most = MAX_FILE_BYTES if is_image(name) else MAX_ARRAY_BYTES
    if size > most:
        raise DataError(
            f"{shown(name)} in {container} is larger than {most // 2**20} MiB: {size:,} bytes."
        )


def shown(name: str) -> str:
    """Return a name as a message can carry it: quoted, unprintable characters escaped, short."""
    return repr(name if len(name) <= 80 else name[:77] + "...")


@contextmanager
def os_errors_named(what: str) -> Iterator[None]:
    """Report errors of the file system without the path that they name."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror}.") from error
