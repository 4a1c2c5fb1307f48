"""A lock that one process of this machine holds; it is free again when the process is gone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Self

from optim.errors import RunError

__all__ = ["Lock"]


class Lock:
    """Holds a file.

    Args:
        path: The file; made if there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Hold it, and return whether that was possible: False if another process does.

        Raises:
            RunError: If the file cannot be made.
        """
        if self._file is not None:
            return True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise RunError(
                f"The folder for runs, {self.path.parent.name!r}, cannot be used: "
                f"{error.strerror}.",
                hint="Make it writable, or name another by OPTIM_HOME.",
            ) from error
        if not _locked(file):
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def _locked(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
