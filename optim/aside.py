"""Work beside the pages, in a process of its own: how far it is, and what came out.

A child is given one line of JSON, tells its progress in a file and keeps its result in another. So
a page can be closed meanwhile, and every page about the same thing finds what one has started.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from optim.errors import MeasurementError, OptimError
from optim.hashing import digest
from optim.processes import refusal
from optim.storage import cache_home, card_stamp, checked_name, write_atomic

__all__ = ["Check", "Shelf", "Told", "serve"]


@dataclass(frozen=True)
class Shelf:
    """Where one kind of result is kept; all of it can be made again.

    Attributes:
        folder: Its name below the cache.
        version: Of the form; what was kept in another one is not found.
    """

    folder: str
    version: int

    def key(self, model: str, data: str, *asked: Any) -> str:
        """Return under which name a result is kept: it changes when model or data are replaced.

        Args:
            model: Name of the model.
            data: Name of the data.
            asked: All else that the result depends on.
        """
        cards = (card_stamp("models", model), card_stamp("data", data))
        return digest(self.version, model, data, cards, *asked)

    def keep(self, key: str, content: Mapping[str, Any]) -> None:
        """Keep a result, plain data."""
        write_atomic(self._file(key), json.dumps(content).encode())

    def kept(self, key: str) -> dict[str, Any]:
        """Return what was kept; nothing if nothing was."""
        return _read(self._file(key))

    def tell(self, key: str, **content: Any) -> None:
        """Say how far the work is: ``share`` and ``what``, or why it failed, ``refused``."""
        write_atomic(self._file(key, ".progress"), json.dumps(content).encode())

    def told(self, key: str) -> dict[str, Any]:
        """Return what was said last; nothing if nothing was."""
        return _read(self._file(key, ".progress"))

    def _file(self, key: str, part: str = "") -> Path:
        return cache_home() / self.folder / f"{checked_name(key)}{part}.json"


Told = Callable[[float, str], None]
Check = Callable[[], None]


def serve(
    shelf: Shelf,
    work: Callable[[dict[str, Any], Told, Check], None],
    *,
    most_s: float,
    late: str,
    source: IO[str] | None = None,
) -> None:
    """Do the work that one line of JSON asks for, as the ``main`` of a child process.

    Args:
        shelf: Where it tells how far it is, under the request's ``key``.
        work: Does it and keeps what comes out; is given the request, how to tell progress, and
            what to call between pieces.
        most_s: Seconds it may take: nobody else can have the processor for so long.
        late: The sentence of the error then.
        source: Where the line comes from; standard input if None.
    """
    request = json.loads((source or sys.stdin).readline())
    began = time.monotonic()

    def told(share: float, what: str) -> None:
        shelf.tell(request["key"], share=share, what=what)

    def check() -> None:
        if time.monotonic() - began > most_s:
            raise MeasurementError(late, hint="Ask for less, or choose a smaller model.")

    try:
        work(request, told, check)
    except OptimError as error:
        shelf.tell(request["key"], refused=refusal(error))


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return content
