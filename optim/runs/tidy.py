"""Remove what nobody will ask for again: done when a supervisor starts, before any job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.errors import RunError
from optim.runs.artefacts import name_of
from optim.runs.checkpoint import forget_checkpoints
from optim.runs.run import State
from optim.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

__all__ = ["forget_students", "purge", "tidy"]

BIN_S = 30 * 24 * 3600.0
"""How long a deleted run can be restored."""
LEFTOVER_S = 3600.0
"""A temporary file this old belongs to a process that was killed while it wrote."""


def tidy(store: RunStore) -> None:
    """Empty the bin of old runs; remove checkpoints of finished runs and files half written.

    No job may be running: one could just be keeping a file with the content of a removed one.

    Raises:
        RunError: If the store cannot be reached.
    """
    runs = store.tables.runs
    old = runs.select().where(runs.c.deleted_at < store.clock() - BIN_S)
    purge(store, [row.id for row in store.database.read(lambda c: c.execute(old).all())])
    needed = {run.id for run in store.runs() if run.state is not State.FINISHED}
    needed |= {run.id for run in store.runs(deleted=True)}
    for run_id in store.kept.names("checkpoints"):
        if run_id not in needed:
            forget_checkpoints(store.kept, run_id)
    store.kept.remove_leftovers(LEFTOVER_S)


def purge(store: RunStore, run_ids: Collection[str]) -> int:
    """Remove runs for good, with their checkpoints and the files that no other run has.

    Args:
        store: Where they are.
        run_ids: None of them may be active.

    Returns:
        Bytes of the files that were removed.

    Raises:
        RunError: If the store or its files cannot be reached.
    """
    freed = store.database.write(lambda connection: _forget(connection, store, run_ids))
    try:
        for content_hash in freed:
            store.kept.remove(name_of(content_hash))
        for run_id in run_ids:
            forget_checkpoints(store.kept, run_id)
    except OSError as error:
        raise RunError(
            f"Files of removed runs cannot be removed: {error.strerror or error}.",
            hint="Check that the place that OPTIM_FILES names can be written.",
        ) from error
    return sum(freed.values())


def forget_students(store: RunStore, owner: str) -> list[str]:
    """Forget whose trained results were an owner's; return the keys that nobody else has.

    Raises:
        RunError: If the store cannot be reached.
    """
    table = store.tables.students

    def write(connection: Connection) -> list[str]:
        mine = {r.key for r in connection.execute(table.select().where(table.c.owner == owner))}
        connection.execute(table.delete().where(table.c.owner == owner))
        others = {row.key for row in connection.execute(table.select())} if mine else set()
        return sorted(mine - others)

    return store.database.write(write)


def _forget(connection: Connection, store: RunStore, run_ids: Collection[str]) -> dict[str, int]:
    """Remove the rows of runs; return ``{hash: bytes}`` of contents that nobody has any more."""
    tables = store.tables
    runs, artefacts, links = tables.runs, tables.artefacts, tables.parents
    theirs = artefacts.c.run_id.in_(run_ids)
    freed = {r.hash: r.bytes for r in connection.execute(artefacts.select().where(theirs))}
    for table in (tables.epochs, tables.events, artefacts):
        connection.execute(table.delete().where(table.c.run_id.in_(run_ids)))
    of_them = links.c.run_id.in_(run_ids) | links.c.parent_id.in_(run_ids)
    connection.execute(links.delete().where(of_them))
    connection.execute(runs.delete().where(runs.c.id.in_(run_ids)))
    kept = {row.hash for row in connection.execute(artefacts.select())} if freed else set()
    return {content_hash: size for content_hash, size in freed.items() if content_hash not in kept}
