"""Remove what nobody will ask for again: done when a supervisor starts, before any job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.runs.artefacts import name_of
from optim.runs.checkpoint import forget_checkpoints
from optim.runs.run import State
from optim.runs.store import RunStore

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["tidy"]

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
    for content_hash in store.database.write(lambda connection: _purge(connection, store)):
        store.kept.remove(name_of(content_hash))
    needed = {run.id for run in store.runs() if run.state is not State.FINISHED}
    needed |= {run.id for run in store.runs(deleted=True)}
    for run_id in store.kept.names("checkpoints"):
        if run_id not in needed:
            forget_checkpoints(store.kept, run_id)
    store.kept.remove_leftovers(LEFTOVER_S)


def _purge(connection: Connection, store: RunStore) -> list[str]:
    """Remove the rows of runs that were deleted long ago; return contents nobody has any more."""
    tables = store.tables
    runs, artefacts = tables.runs, tables.artefacts
    old = runs.select().where(runs.c.deleted_at < store.clock() - BIN_S)
    ids = [row.id for row in connection.execute(old)]
    theirs = artefacts.c.run_id.in_(ids)
    freed = {row.hash for row in connection.execute(artefacts.select().where(theirs))}
    for table in (tables.epochs, tables.events, artefacts):
        connection.execute(table.delete().where(table.c.run_id.in_(ids)))
    links = tables.parents
    connection.execute(links.delete().where(links.c.run_id.in_(ids) | links.c.parent_id.in_(ids)))
    connection.execute(runs.delete().where(runs.c.id.in_(ids)))
    kept = {row.hash for row in connection.execute(artefacts.select())} if freed else set()
    return sorted(freed - kept)
