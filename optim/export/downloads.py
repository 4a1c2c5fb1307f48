"""Verified files waiting to be downloaded, under names that cannot be guessed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from optim.errors import ExportError
from optim.hashing import digest
from optim.storage import store_home, write_atomic

__all__ = ["find_export", "keep_export"]

_KEPT = 200
"""Files kept; the oldest go first. Any of them can be made again from its recipe."""
_TOKEN = re.compile(r"[0-9a-f]{32}")


def keep_export(data: bytes, name: str) -> str:
    """Store a file and return the token under which it can be fetched.

    The token is a hash of the content: who has it knows the file already, or was given the link.

    Raises:
        ExportError: If the disk is full or cannot be written.
    """
    token = digest(name, data.hex())
    try:
        write_atomic(_folder() / token / name, data)
    except OSError as error:
        raise ExportError(
            f"The file could not be stored: {error.strerror}.",
            hint="Free some space on the server and try again.",
        ) from error
    _forget_old()
    return token


def find_export(token: str, name: str) -> Path | None:
    """Return a stored file, or None; nothing outside the folder of exports is ever named."""
    if not _TOKEN.fullmatch(token):
        return None
    folder = _folder() / token
    return next((p for p in folder.glob("*") if p.name == name), None)


def _folder() -> Path:
    return store_home() / "exports"


def _forget_old() -> None:
    folders = sorted(_folder().iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
    for folder in folders[_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)
