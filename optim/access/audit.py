"""The log of who did what: lines of JSON in ``store/audit``, only ever added to.

A line says when, who, what, and the hash of the content it was about. It holds no content, no path
and no name by which something could be opened.

=========  ==================================================================
``at``     when, UTC
``who``    id of a user or guest; ``operator`` for the command line
``what``   one of :data:`ACTIONS`
``hash``   of the content; empty where there is none
...        more facts, numbers and short texts, such as ``bytes`` and ``kind``
=========  ==================================================================
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optim.storage import store_home

__all__ = ["ACTIONS", "OPERATOR", "entries", "record"]

_LOG = logging.getLogger(__name__)
ACTIONS = ("signed in", "uploaded", "opened", "ran", "exported", "deleted")
"""What is written down."""
OPERATOR = "operator"
"""Who works at the command line, and the server where it acts by itself."""
_FILE_BYTES = 10 * 2**20
"""A file that has grown this large is put aside under the time it was closed."""


def record(who: str, what: str, content_hash: str = "", **facts: str | int) -> None:
    """Write one line. A log that cannot be written is reported in the server's own log.

    Args:
        who: Id of a user or guest, or :data:`OPERATOR`.
        what: One of :data:`ACTIONS`.
        content_hash: Of what it was about.
        facts: More to know; no contents, paths or names.
    """
    assert what in ACTIONS
    now = datetime.now(UTC)
    entry = {"at": now.isoformat(timespec="milliseconds"), "who": who, "what": what}
    line = json.dumps({**entry, "hash": content_hash, **facts}) + "\n"
    path = _folder() / "audit.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.stat().st_size >= _FILE_BYTES:
            path.rename(path.with_name(f"audit-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}.jsonl"))
        # One write of few bytes to a file opened for appending is never mixed with another's.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
            file.write(line.encode())
    except OSError as error:
        _LOG.error("not in the audit log (%s): %s", error.strerror, line.strip())


def entries() -> Iterator[dict[str, Any]]:
    """Yield all lines, oldest first; one that was cut short by a crash is left out."""
    closed = sorted(_folder().glob("audit-*.jsonl"))
    for path in [*closed, *_folder().glob("audit.jsonl")]:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    found = json.loads(line)
                except ValueError:
                    _LOG.warning("a line of %r cannot be read", path.name)
                    continue
                yield found


def _folder() -> Path:
    return store_home() / "audit"
