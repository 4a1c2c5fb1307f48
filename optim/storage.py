"""Where files live on this machine, and how they are written so that none is ever half there.

``OPTIM_HOME`` moves everything; otherwise the platform's cache and data folders are used. Caches
can be deleted at any time; the store cannot.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from optim.errors import ConfigError

__all__ = [
    "ASSETS",
    "cache_home",
    "card_file",
    "card_stamp",
    "check_writable",
    "checked_name",
    "store_home",
    "write_atomic",
]

_PACKED = Path(__file__).resolve().parent / "assets"
ASSETS = _PACKED if _PACKED.is_dir() else _PACKED.parents[1] / "assets"
"""Checkpoints that ship: inside an installed package, beside it in a source tree."""


def cache_home() -> Path:
    """Return the folder for things that can be made again: decoded data, generated data sets."""
    return _home("cache", "XDG_CACHE_HOME", Path.home() / ".cache")


def store_home() -> Path:
    """Return the folder for things that must last: uploads, artefacts, runs."""
    return _home("store", "XDG_DATA_HOME", Path.home() / ".local" / "share")


def write_atomic(path: Path, write: bytes | Callable[[BinaryIO], object]) -> Path:
    """Write a file so that a reader sees the old one, the new one, or none; never a part.

    Args:
        path: Where the file shall be; missing folders are made.
        write: The bytes, or a function that writes them to an open file.

    Returns:
        ``path``.

    Raises:
        OSError: If the disk is full or the folder cannot be written; ``path`` is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, however long the file's own name is.
    temporary = path.parent / f".{secrets.token_hex(6)}"
    try:
        with temporary.open("xb") as file:
            if isinstance(write, bytes):
                file.write(write)
            else:
                write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary), temporary):
            error.filename, error.filename2 = str(path), None
        raise
    return path


def check_writable(path: Path) -> None:
    """Find out before the work whether a file can be written where it shall be.

    Args:
        path: Where the file shall be; missing folders are made, and what is there stays.

    Raises:
        OSError: If it is a folder, its name is too long, or its folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with contextlib.suppress(FileNotFoundError):
        path.lstat()  # fails where the name is too long
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        error.filename = str(path)
        raise


def _sync(folder: Path) -> None:
    """Let the new name of a file outlast a power cut, on systems that can open folders."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # not every file system can; the file itself is safe
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def checked_name(name: str) -> str:
    """Return a name that is safe as a file's name.

    Raises:
        ConfigError: If it holds anything but letters, digits, ``-``, ``_`` and ``.``.
    """
    plain = name.translate(str.maketrans("", "", "-_."))
    if not plain.isascii() or not plain.isalnum() or len(name) > 80 or name.startswith("."):
        raise ConfigError(
            f"name must consist of letters, digits, '-', '_' and '.': got {name!r}.", field="name"
        )
    return name


def card_file(folder: str, name: str) -> Path:
    """Return where the card of an added model or data lies; another name than its own has none.

    Args:
        folder: ``models`` or ``data``.
        name: How it is asked for.
    """
    return store_home() / folder / f"{Path(name).name}.json"


def card_stamp(folder: str, name: str) -> str:
    """Return what changes whenever the card of an added model or data does; empty without one.

    Args:
        folder: ``models`` or ``data``.
        name: How it is asked for; what is built in, ships or is a file has no card.
    """
    try:
        found = card_file(folder, name).stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_ino}-{found.st_size}"


def _home(kind: str, variable: str, fallback: Path) -> Path:
    if home := os.environ.get("OPTIM_HOME"):
        return Path(home).expanduser() / kind
    return Path(os.environ.get(variable) or fallback) / "optim-studio"
