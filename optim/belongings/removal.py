"""Remove what an owner has, or what nobody has used for long; say what was removed."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from optim.access import audit
from optim.belongings.found import belongings, files_of, owners, size_of
from optim.compare.vectors import forget_predictions
from optim.data.added import DataCard
from optim.data.dataset import forget_cached
from optim.data.open import DATASETS
from optim.errors import ConfigError, RunError
from optim.export.downloads import exports_home
from optim.hashing import digest_file
from optim.models.cards import ModelCard, model_cards
from optim.pairs import forget_pairs
from optim.quantity import Quantity
from optim.runs.exchange import library_name
from optim.runs.run import ACTIVE, Run
from optim.runs.store import RunStore
from optim.runs.tidy import forget_students, purge
from optim.storage import cache_home
from optim.stored import remove_stored, students_home

__all__ = ["Removed", "remove_all", "sweep"]

_DAY_S = 24 * 3600.0
_LEFTOVER_S = 3600.0
"""An upload that is being opened for longer belongs to a server that was killed."""


@dataclass(frozen=True)
class Removed:
    """What was removed.

    Attributes:
        models: Uploaded models.
        data: Uploaded data sets.
        runs: Runs.
        exports: Verified files that waited to be downloaded.
        devices: Devices that were probed.
        students: Results of training steps.
        snapshots: Recipes that were saved.
        bytes: Of all files, decoded data in the cache included.
    """

    models: int = 0
    data: int = 0
    runs: int = 0
    exports: int = 0
    devices: int = 0
    students: int = 0
    snapshots: int = 0
    bytes: int = 0

    def __add__(self, other: Self) -> Removed:
        values = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Removed(**values)

    def __str__(self) -> str:
        counts = {
            "model": self.models,
            "data set": self.data,
            "run": self.runs,
            "exported file": self.exports,
            "device": self.devices,
            "trained result": self.students,
            "snapshot": self.snapshots,
        }
        words = [f"{n} {what}{'s' if n != 1 else ''}" for what, n in counts.items() if n]
        return f"{', '.join(words) or 'nothing'}; {Quantity.exact(self.bytes, 'bytes')}"


def remove_all(owner: str, store: RunStore, by: str = "") -> Removed:
    """Remove everything an owner has; active runs are cancelled first.

    What others have made from it by a link is theirs and stays. Decoded data of all uploads leave
    the cache: whose they are is not known there, and they are made again when needed.

    Args:
        owner: Id of a user or guest.
        store: Where runs are kept.
        by: Who removes it, for the audit log; the owner if empty.

    Raises:
        ConfigError: If it is no owner's id.
        RunError: If the store or a file cannot be reached; what was removed before stays so.
    """
    mine = belongings(owner, store)
    removed = _remove_runs(store, mine.runs)
    keys = forget_students(store, owner)
    for key in keys:
        _forget_copy(store, f"students/{key}.safetensors")
    removed += Removed(students=len(keys), bytes=sum(map(remove_stored, keys)))
    removed += _remove_uploads(store, mine.models, mine.data)
    removed += _remove_exports(mine.exports)
    removed += _remove_devices(mine.devices)
    removed += _remove_snapshots(mine.snapshots)
    if mine.models or mine.data:
        removed += Removed(bytes=forget_predictions())
    if mine.data:
        built_in = {config().open(name).hash for name, config in DATASETS.items()}
        removed += Removed(bytes=forget_cached(built_in))
    audit.record(by or owner, "deleted", kind="everything", of=owner, bytes=removed.bytes)
    return removed


def sweep(store: RunStore, days: int, *, now: float | None = None) -> Removed:
    """Remove what nobody has used for some days: of owners only, and what can be made again.

    Uploads, runs that are not active, exported files, trained results and decoded data go; what
    came by the command line or ships stays. Files of uploads that a killed server was about to open
    always go.

    Args:
        store: Where runs are kept.
        days: How long something is kept unused; 0 for ever.
        now: Seconds since 1970; the clock's by default.

    Raises:
        RunError: If the store or a file cannot be reached; what was removed before stays so.
    """
    now = time.time() if now is None else now
    _remove_leftovers(now - _LEFTOVER_S)
    if not days:
        return Removed()
    before = now - days * _DAY_S
    removed = Removed()
    needed = {c.data for c in model_cards().values() if _used_at(files_of(c)) >= before}
    for owner in owners(store):
        mine = belongings(owner, store)
        old = [run for run in mine.runs if run.state not in ACTIVE and _changed_at(run) < before]
        removed += _remove_runs(store, old)
        models = [card for card in mine.models if _used_at(files_of(card)) < before]
        data = [
            card
            for card in mine.data
            if card.name not in needed and _used_at(files_of(card)) < before
        ]
        removed += _remove_uploads(store, models, data)
        removed += _remove_exports(p for p in mine.exports if _used_at([p]) < before)
        removed += _remove_devices(p for p in mine.devices if _used_at([p]) < before)
        removed += _remove_snapshots(p for p in mine.snapshots if _used_at([p]) < before)
    for path in students_home().glob("*.safetensors"):
        if _used_at([path]) < before:
            removed += Removed(students=1, bytes=remove_stored(path.stem))
    removed += Removed(bytes=forget_cached(unused_since=before) + forget_predictions(before))
    if removed != Removed():
        audit.record(audit.OPERATOR, "deleted", kind="unused", days=days, bytes=removed.bytes)
    return removed


def _remove_runs(store: RunStore, runs: Iterable[Run]) -> Removed:
    found = list(runs)
    for run in found:
        if run.state in ACTIVE:
            # Its worker is stopped within two seconds; what it writes meanwhile is refused.
            with contextlib.suppress(ConfigError):  # it has just ended
                store.cancel(run.id)
    return Removed(runs=len(found), bytes=purge(store, [run.id for run in found]))


def _remove_uploads(
    store: RunStore, models: Iterable[ModelCard], data: Iterable[DataCard]
) -> Removed:
    count: dict[str, int] = {"models": 0, "data": 0, "bytes": 0}
    names = set()
    for kind, cards in (("models", models), ("data", data)):
        for card in cards:
            content, *others = files_of(card)
            if others:
                _forget_copy(store, library_name(digest_file(content)))
            # The card last: what has one is found again if this is cut short.
            count["bytes"] += sum(_unlinked(path) for path in (content, *others))
            count[kind] += 1
            names.add(card.name)
    forget_pairs(names)
    return Removed(**count)


def _remove_devices(files: Iterable[Path]) -> Removed:
    sizes = [_unlinked(path) for path in files]
    return Removed(devices=len(sizes), bytes=sum(sizes))


def _remove_snapshots(files: Iterable[Path]) -> Removed:
    sizes = [_unlinked(path) for path in files]
    return Removed(snapshots=len(sizes), bytes=sum(sizes))


def _remove_exports(paths: Iterable[Path]) -> Removed:
    sizes = [_unlinked(path) for path in paths]
    for folder in (*exports_home().glob("*/*/"), *exports_home().glob("*/")):
        with contextlib.suppress(OSError):  # it holds a file
            folder.rmdir()
    return Removed(exports=len(sizes), bytes=sum(sizes))


def _remove_leftovers(before: float) -> None:
    for folder in (cache_home() / "intake").glob("*/"):
        if _used_at([folder]) < before:
            shutil.rmtree(folder, ignore_errors=True)


def _forget_copy(store: RunStore, name: str) -> None:
    """Remove what was put where several machines find it, if it was."""
    try:
        store.kept.remove(name)
    except OSError as error:
        raise RunError(
            f"A copy for other machines cannot be removed: {error.strerror or error}.",
            hint="Check that the place that OPTIM_FILES names can be written.",
        ) from error


def _unlinked(path: Path) -> int:
    size = size_of(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"A file cannot be removed: {error.strerror}.",
            hint="Make the folder that OPTIM_HOME names writable, and try again.",
        ) from error
    return size


def _used_at(paths: Iterable[Path]) -> float:
    """Return when the last of these files was written or marked; 0 if there is none."""
    found = [0.0]
    for path in paths:
        with contextlib.suppress(OSError):
            found.append(path.stat().st_mtime)
    return max(found)


def _changed_at(run: Run) -> float:
    return max(run.created_at, run.started_at or 0.0, run.finished_at or 0.0)
