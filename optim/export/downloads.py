"""Verified files waiting to be downloaded, under names that cannot be guessed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from optim.access.names import capability
from optim.errors import ExportError
from optim.hashing import digest_bytes
from optim.storage import checked_name, store_home, write_atomic

__all__ = ["exports_home", "exports_of", "find_export", "keep_export", "owners_of_exports"]

_KEPT = 200
"""Files kept; the oldest go first. Any of them can be made again from its recipe."""
_NOBODY = "nobody"
_TOKEN = re.compile(r"[0-9a-f]{32}")


def keep_export(data: bytes, name: str, owner: str = "") -> str:
    """Store a file and return the token under which it can be fetched.

    The token is told to whom it is made for, and cannot be guessed, not even by who has the file.

    Args:
        data: The file.
        name: Its name for a reader.
        owner: Id of who it is made for.

    Raises:
        ExportError: If the disk is full or cannot be written.
    """
    token = capability("export", owner, name, digest_bytes(data))
    try:
        write_atomic(exports_home() / (owner or _NOBODY) / token / name, data)
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
    return next((p for p in exports_home().glob(f"*/{token}/*") if p.name == name), None)


def exports_of(owner: str) -> Path:
    """Return the folder of the files that were made for an owner; there may be none.

    Raises:
        ConfigError: If it is no owner's id.
    """
    return exports_home() / checked_name(owner)


def owners_of_exports() -> list[str]:
    """Return the ids of all for whom files were made."""
    names = (folder.name for folder in exports_home().glob("*/"))
    return sorted(name for name in names if name != _NOBODY)


def exports_home() -> Path:
    """Return the folder of all files that wait to be downloaded."""
    return store_home() / "exports"


def _forget_old() -> None:
    folders = sorted(exports_home().glob("*/*/"), key=lambda p: p.stat().st_mtime, reverse=True)
    for folder in folders[_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)
