"""Recipes that somebody saved to show or to compare: beside the runs, each a file of its own."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from optim.errors import ConfigError, OptimError, RunError
from optim.recipe import Recipe
from optim.storage import checked_name, store_home, write_atomic

__all__ = [
    "MOST_SNAPSHOTS",
    "Snapshot",
    "get_snapshot",
    "remove_snapshot",
    "save_snapshot",
    "snapshot_files",
    "snapshots",
]

MOST_SNAPSHOTS = 100
"""Of one owner."""
_MOST_TITLE = 120


@dataclass(frozen=True)
class Snapshot:
    """A recipe as it stood, with what it was called.

    Attributes:
        id: Unique.
        title: For a reader.
        recipe: Plain data.
        owner: Id of who saved it; empty for the command line.
        created_at: Seconds since 1970.
        note: What the presenter says about it; may be empty.
    """

    id: str
    title: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""
    created_at: float = 0.0
    note: str = ""


def save_snapshot(title: str, recipe: Recipe, owner: str = "", note: str = "") -> Snapshot:
    """Save a recipe.

    Args:
        title: For a reader.
        recipe: What is saved.
        owner: Id of who saves it; empty for the command line.
        note: What is to be said about it.

    Raises:
        ConfigError: If there is no title, or there are too many already.
        RunError: If it cannot be written.
    """
    title, note = title.strip(), note.strip()
    if not 0 < len(title) <= _MOST_TITLE or len(note) > 10 * _MOST_TITLE:
        raise ConfigError(
            f"title must have from 1 to {_MOST_TITLE} characters, note at most "
            f"{10 * _MOST_TITLE}: got {len(title)} and {len(note)}.",
            field="title",
        )
    if len(snapshots(owner)) >= MOST_SNAPSHOTS:
        raise ConfigError(
            f"There are {MOST_SNAPSHOTS} snapshots already, which is the most.",
            hint="Delete some first.",
        )
    saved = Snapshot(secrets.token_hex(8), title, recipe.to_json(), owner, time.time(), note)
    try:
        write_atomic(_file(saved.id), json.dumps(asdict(saved)).encode())
    except OSError as error:
        raise RunError(
            f"The snapshot cannot be saved: {error.strerror or error}.",
            hint="Free some space, or make the folder writable.",
        ) from error
    return saved


def get_snapshot(snapshot_id: str) -> Snapshot:
    """Return a snapshot.

    Raises:
        ConfigError: If there is none with this id.
    """
    try:
        return _read(_file(snapshot_id))
    except (OSError, ValueError, TypeError, OptimError) as error:
        raise ConfigError(
            f"There is no snapshot {snapshot_id!r}.",
            hint="It may have been deleted; save another one in the Lab.",
        ) from error


def snapshots(owner: str | None = None) -> list[Snapshot]:
    """Return snapshots in the order in which they were saved; of one owner, or all if None."""
    found = []
    for path in _folder().glob("*.json"):
        try:
            found.append(_read(path))
        except (OSError, ValueError, TypeError):
            continue  # deleted meanwhile, or written by another version
    own = [one for one in found if owner is None or one.owner == owner]
    return sorted(own, key=lambda one: (one.created_at, one.id))


def snapshot_files(owner: str) -> list[Path]:
    """Return the files of an owner's snapshots."""
    return [_file(one.id) for one in snapshots(owner)]


def remove_snapshot(snapshot_id: str) -> None:
    """Delete a snapshot; nothing happens if there is none.

    Raises:
        RunError: If it cannot be deleted.
    """
    try:
        _file(snapshot_id).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"The snapshot cannot be deleted: {error.strerror or error}.",
            hint="Make the folder writable.",
        ) from error


def _read(path: Path) -> Snapshot:
    return Snapshot(**json.loads(path.read_bytes()))


def _folder() -> Path:
    return store_home() / "snapshots"


def _file(snapshot_id: str) -> Path:
    return _folder() / f"{checked_name(snapshot_id)}.json"
