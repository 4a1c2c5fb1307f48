"""A lock that one process of this machine holds; it is free again when the process is gone.

That takes a moment: a killed process lets go of its files one by one, and a child that it was just
starting still has them. The file names its holder, so that whoever comes in that moment waits.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from pathlib import Path
from typing import Self

from optim.errors import RunError

__all__ = ["Lock"]

_LET_GO_S = 1.0
"""How long a holder that is gone may still seem to hold it."""
_LOOK_S = 0.02


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
        file = self._open()
        if not _locked_in_time(file):
            os.close(file)
            return False
        self._file = file
        with contextlib.suppress(OSError):  # on a full disk its holder is not known
            os.ftruncate(file, 0)
            os.write(file, _own_name())
        return True

    def is_held(self) -> bool:
        """Whether a process that lives holds it; nothing changes.

        Raises:
            RunError: If the file cannot be made.
        """
        if self._file is not None:
            return True
        file = self._open()
        try:
            return not _locked_in_time(file)
        finally:
            os.close(file)

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise RunError(
                f"The folder for runs, {self.path.parent.name!r}, cannot be used: "
                f"{error.strerror}.",
                hint="Make it writable, or name another by OPTIM_HOME.",
            ) from error

    def release(self) -> None:
        """Let others have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def _locked_in_time(file: int) -> bool:
    """Lock a file; wait for a holder that is gone, not for one that lives."""
    deadline = time.monotonic() + _LET_GO_S
    while not _locked(file):
        if _holder_lives(file) or time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_S)
    return True


def _own_name() -> bytes:
    return f"{os.getpid()} {platform.node()}\n".encode()


def _holder_lives(file: int) -> bool:
    """Whether the process that took a lock last is there, as far as that can be known."""
    import psutil

    try:
        os.lseek(file, 0, os.SEEK_SET)
        pid, _, host = os.read(file, 256).decode().strip().partition(" ")
        if host and host != platform.node():
            return True
        # Of a process that is just ending, nothing is left but its number.
        return bool(psutil.Process(int(pid)).cmdline())
    except (psutil.NoSuchProcess, ValueError):
        return False
    except (psutil.AccessDenied, OSError):
        return True


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
