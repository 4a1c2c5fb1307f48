"""Where artefacts and checkpoints are kept: a folder of this machine, or a place that many reach.

``OPTIM_FILES`` names the place by a URL that fsspec understands. A path or ``file://`` is a folder,
which may lie on a network file system; anything else, such as ``s3://bucket/optim``, is written to
and read from as it is used, and nothing of it needs to be on the machine that computes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import unquote, urlsplit

from optim.errors import ConfigError, MissingDependencyError, RunError
from optim.hashing import digest_file
from optim.optional import optional_package
from optim.storage import write_atomic

__all__ = ["Files", "LocalFiles", "SharedFiles", "files_url", "open_files"]

_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "cosn"})
"""Protocols that show a file when all of it is there, and not before."""
_OWN = frozenset({"memory", "data", "cached", "filecache", "blockcache", "simplecache"})
"""Protocols that nobody but the process itself can read, or that are no place at all."""


class Files(Protocol):
    """Contents under names such as ``artefacts/ab/abcd``; each is there whole or not at all.

    Reading and writing raise ``OSError``.
    """

    is_shared: bool

    def names(self, folder: str = "") -> list[str]:
        """Return the plain names in a folder; none if there is no folder."""
        ...

    def read(self, name: str) -> bytes:
        """Return a content."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Keep a content; a reader finds the one before, or all of this one."""
        ...

    def has(self, name: str, size: int, content_hash: str) -> bool:
        """Whether a content is there, as far as that can be told without fetching it."""
        ...

    def remove(self, name: str) -> None:
        """Remove a content, or a folder with all in it; nothing happens if there is none."""
        ...

    def remove_leftovers(self, older_than_s: float) -> None:
        """Remove what processes left that were killed while they wrote."""
        ...

    def within(self, folder: str) -> Files:
        """Return the contents of a folder."""
        ...

    def path(self, name: str) -> Path:
        """Return where a content lies on this machine, or would lie."""
        ...

    def where(self, name: str) -> str:
        """Return what tells a reader where to find a content."""
        ...


class LocalFiles:
    """A folder.

    Args:
        root: The folder; made when it is first written to.
        write: Writes bytes to a path, whole or not at all.
    """

    is_shared = False

    def __init__(self, root: Path, write: Callable[[Path, bytes], object] = write_atomic) -> None:
        self.root = root
        self._write = write

    def names(self, folder: str = "") -> list[str]:
        """Return the plain names in a folder."""
        try:
            return sorted(path.name for path in (self.root / folder).iterdir())
        except OSError:
            return []

    def read(self, name: str) -> bytes:
        """Return a content."""
        return (self.root / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Keep a content."""
        self._write(self.root / name, content)

    def has(self, name: str, size: int, content_hash: str) -> bool:
        """Whether a content is there and undamaged."""
        path = self.root / name
        try:
            return path.stat().st_size == size and digest_file(path) == content_hash
        except OSError:
            return False

    def remove(self, name: str) -> None:
        """Remove a content or a folder."""
        path = self.root / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def remove_leftovers(self, older_than_s: float) -> None:
        """Remove temporary files of processes that were killed."""
        before = time.time() - older_than_s
        for path in [*self.root.glob("artefacts/*/.*"), *self.root.glob("checkpoints/*/*/.*")]:
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def within(self, folder: str) -> Self:
        """Return the contents of a folder."""
        return type(self)(self.root / folder, self._write)

    def path(self, name: str) -> Path:
        """Return where a content lies."""
        return self.root / name

    def where(self, name: str) -> str:
        """Return the path."""
        return str(self.root / name)


class SharedFiles:
    """A place that fsspec reaches.

    Args:
        system: An ``fsspec.AbstractFileSystem``.
        root: Path in it.
        protocol: By which a reader names it.
        folder: Where a content would lie on this machine if it was wanted as a file.
    """

    is_shared = True

    def __init__(self, system: Any, root: str, protocol: str, folder: Path) -> None:
        self.root = root.rstrip("/")
        self._system = system
        self._protocol = protocol
        self._folder = folder

    def names(self, folder: str = "") -> list[str]:
        """Return the plain names in a folder."""
        try:
            with _faults(folder):
                found = self._system.ls(self._at(folder), detail=False, refresh=True)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def read(self, name: str) -> bytes:
        """Return a content."""
        with _faults(name):
            content: bytes = self._system.cat_file(self._at(name))
        return content

    def write(self, name: str, content: bytes) -> None:
        """Keep a content; under another name first where a part of it could be seen."""
        path = self._at(name)
        with _faults(name):
            if self._protocol in _WHOLE:
                self._system.pipe_file(path, content)
            else:
                self._write_whole(path, content)

    def has(self, name: str, size: int, content_hash: str) -> bool:
        """Whether a content of this size is there: the place itself answers for its bytes."""
        try:
            with _faults(name):
                return int(self._system.info(self._at(name), refresh=True)["size"]) == size
        except FileNotFoundError:
            return False

    def remove(self, name: str) -> None:
        """Remove a content or a folder."""
        with contextlib.suppress(FileNotFoundError), _faults(name):
            self._system.rm(self._at(name), recursive=True)

    def remove_leftovers(self, older_than_s: float) -> None:
        """Remove nothing: the place may tell no ages, and what is left there is never read."""

    def within(self, folder: str) -> Self:
        """Return the contents of a folder."""
        return type(self)(self._system, self._at(folder), self._protocol, self._folder / folder)

    def path(self, name: str) -> Path:
        """Return where a content would lie on this machine."""
        return self._folder / name

    def where(self, name: str) -> str:
        """Return the URL."""
        return f"{self._protocol}://{self._at(name)}"

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}".rstrip("/")

    def _write_whole(self, path: str, content: bytes) -> None:
        folder, _, last = path.rpartition("/")
        self._system.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.{last}.{secrets.token_hex(6)}"
        try:
            self._system.pipe_file(temporary, content)
            self._system.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):
                self._system.rm_file(temporary)
            raise


@contextlib.contextmanager
def _faults(name: str) -> Iterator[None]:
    """Raise as ``OSError`` whatever the libraries behind fsspec raise."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, error.strerror or "No such file", name) from error
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, str(error).rstrip(".") or type(error).__name__, name) from error


def files_url() -> str:
    """Return the URL that ``OPTIM_FILES`` names; empty if it names none."""
    return os.environ.get("OPTIM_FILES", "").strip()


def open_files(url: str, folder: Path) -> Files:
    """Return where files are kept; nothing is read or written yet.

    Args:
        url: A path, or a URL; the folder if empty.
        folder: Of the store on this machine.

    Raises:
        ConfigError: If it is no place that processes can share.
        MissingDependencyError: If the package for its protocol is not installed.
    """
    scheme, _, rest = url.partition("://")
    if not url:
        return LocalFiles(folder)
    if not rest or scheme in ("file", "local"):
        path = Path(unquote(urlsplit(url).path) if rest else url).expanduser()
        if not path.is_absolute():
            raise _no_place(url, "it is a relative path, which means another folder elsewhere")
        return LocalFiles(path)
    if not _OWN.isdisjoint(scheme.split("::")):
        raise _no_place(url, "only one process could read it")
    fsspec = optional_package(
        "fsspec",
        f"OPTIM_FILES={url!r} needs fsspec, which is not installed.",
        "Install it: pip install fsspec",
    )
    try:
        system, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or error.name or f"fsspec[{scheme}]"
        raise MissingDependencyError(
            f"OPTIM_FILES={url!r} needs a package that is not installed: {error}.",
            hint=f"Install it: pip install '{package}'",
        ) from error
    except ValueError as error:
        raise _no_place(url, f"fsspec says: {str(error).rstrip('.')}") from error
    except OSError as error:
        raise RunError(
            f"The files at {url!r} cannot be reached: {error}.",
            hint="Check the address and the credentials of the machine.",
        ) from error
    return SharedFiles(system, str(root), scheme, folder)


def _no_place(url: str, why: str) -> ConfigError:
    return ConfigError(
        f"OPTIM_FILES must be an absolute path or a URL that all machines reach: got {url!r}; "
        f"{why}.",
        hint="For example /mnt/optim, file:///mnt/optim or s3://bucket/optim.",
    )
