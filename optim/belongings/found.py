"""Everything an owner has on this server. Nothing is opened: cards and rows say it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optim.data.added import DataCard, data_cards
from optim.devices.own import owners_of_probes, probe_files_of
from optim.errors import ConfigError
from optim.export.downloads import exports_of, owners_of_exports
from optim.models.cards import ModelCard, model_cards
from optim.runs.run import Run
from optim.runs.snapshots import snapshot_files, snapshots
from optim.runs.store import RunStore
from optim.storage import ASSETS, card_file

__all__ = ["Belongings", "belongings", "files_of", "mark_used", "owners", "size_of"]

_MARK_EVERY_S = 3600.0


@dataclass(frozen=True)
class Belongings:
    """What an owner has.

    Attributes:
        models: Uploaded models.
        data: Uploaded data.
        runs: Runs, those in the bin included.
        exports: Verified files that wait to be downloaded.
        devices: Files of devices that were probed.
        snapshots: Files of recipes that were saved.
    """

    models: tuple[ModelCard, ...]
    data: tuple[DataCard, ...]
    runs: tuple[Run, ...]
    exports: tuple[Path, ...]
    devices: tuple[Path, ...] = ()
    snapshots: tuple[Path, ...] = ()

    @property
    def uploads(self) -> int:
        """Number of models and data sets."""
        return len(self.models) + len(self.data)

    @property
    def upload_bytes(self) -> int:
        """Bytes of the uploads, as they are stored."""
        cards: tuple[ModelCard | DataCard, ...] = (*self.models, *self.data)
        return sum(size_of(path) for card in cards for path in files_of(card))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing."""
        files = (self.exports, self.devices, self.snapshots)
        return not (self.models or self.data or self.runs or any(files))


def belongings(owner: str, store: RunStore) -> Belongings:
    """Return what an owner has.

    Raises:
        ConfigError: If it is no owner's id. What ships, or came by the command line, has none.
        RunError: If the store cannot be reached.
    """
    if not owner:
        raise ConfigError(
            "owner must be the id of a user or guest: got ''.",
            hint="optim owners list shows who has something.",
            field="owner",
        )
    return Belongings(
        models=tuple(card for card in model_cards().values() if card.owner == owner),
        data=tuple(card for card in data_cards().values() if card.owner == owner),
        runs=tuple(_all_runs(store, owner)),
        exports=tuple(sorted(exports_of(owner).glob("*/*"))),
        devices=tuple(probe_files_of(owner)),
        snapshots=tuple(snapshot_files(owner)),
    )


def owners(store: RunStore) -> list[str]:
    """Return the ids of all who have something; what came by the command line has no owner.

    Raises:
        RunError: If the store cannot be reached.
    """
    found = {card.owner for card in model_cards().values()}
    found |= {card.owner for card in data_cards().values()}
    found |= {run.owner for run in _all_runs(store)} | set(owners_of_exports())
    found |= set(owners_of_probes()) | {saved.owner for saved in snapshots()}
    return sorted(found - {""})


def files_of(card: ModelCard | DataCard) -> list[Path]:
    """Return the files of an upload: what it was opened from, and its card; none that ship."""
    if isinstance(card, ModelCard):
        own = card_file("models", card.name)
        return [own] if card.weights.is_relative_to(ASSETS) else [card.weights, own]
    own = card_file("data", card.name)
    path = Path(card.path)
    # What was only remembered where it lies is not ours to count or remove.
    return [path, own] if path.parent == own.parent else [own]


def mark_used(folder: str, name: str) -> None:
    """Remember that a model or data was used just now; what nobody uses may be removed.

    Args:
        folder: ``models`` or ``data``.
        name: What was used; what is built in or ships needs no mark.
    """
    path = card_file(folder, name)
    try:
        if time.time() - path.stat().st_mtime > _MARK_EVERY_S:
            os.utime(path)
    except OSError:
        return


def size_of(path: Path) -> int:
    """Return the bytes of a file; 0 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _all_runs(store: RunStore, owner: str | None = None) -> Iterator[Run]:
    yield from store.runs(owner=owner)
    yield from store.runs(deleted=True, owner=owner)
