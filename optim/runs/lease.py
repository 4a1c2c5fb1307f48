"""The right to write about a run, for as long as one attempt at it lasts.

Every attempt has a number, its fence. A write is made only where the run still runs under that
number; a worker whose run was cancelled, paused or given to another cannot change it any more, not
even one that was believed dead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optim.errors import Cancelled, ConfigError
from optim.runs.run import Artefact, EpochRow, State
from optim.runs.store import RunStore, ended_attempt

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Lease"]


class Lease:
    """Writes about one run; every method raises :class:`~optim.errors.Cancelled` once it is lost.

    Args:
        store: Where the run is kept.
        run_id: The run.
        fence: The attempt.
    """

    def __init__(self, store: RunStore, run_id: str, fence: int) -> None:
        self.store = store
        self.run_id = run_id
        self.fence = fence

    def report(self, progress: float, message: str) -> None:
        """Say how far it is."""
        self._write(lambda connection: None, progress=_share(progress), message=message)

    def started(self, environment: Mapping[str, Any]) -> None:
        """Say what it runs with."""
        self._write(lambda connection: None, environment=dict(environment))

    def epochs(self, rows: Sequence[EpochRow]) -> None:
        """Record figures; what was recorded of the same epochs is replaced."""
        self._write(lambda connection: self._put(connection, rows))

    def event(self, message: str, level: str = "info") -> None:
        """Say that something happened."""
        self._write(lambda connection: self.store.note(connection, self.run_id, message, level))

    def artefact(self, kept: Artefact) -> None:
        """Add a file that is kept already; one of the same name is replaced."""
        from optim.runs.database import upsert

        keys = {"run_id": self.run_id, "name": kept.name}
        values = {"hash": kept.hash, "bytes": kept.bytes}
        table = self.store.tables.artefacts
        self._write(lambda connection: upsert(connection, table, keys, values))

    def student(self, owner: str, key: str) -> None:
        """Say that a trained result, named by its key, belongs to the owner of the run as well."""
        from optim.runs.database import upsert

        table, keys = self.store.tables.students, {"owner": owner, "key": key}
        self._write(lambda connection: upsert(connection, table, keys, keys))

    def energy(self, joules: float) -> None:
        """Say what this attempt has used; with earlier ones, the whole is not known."""
        from sqlalchemy import case

        alone = self.store.tables.runs.c.seconds == 0
        self._write(lambda connection: None, energy_j=case((alone, joules), else_=None))

    def finish(self, result: Mapping[str, Any], rows: Sequence[EpochRow] = ()) -> None:
        """Say what came of it, together with figures that are still to be recorded.

        Raises:
            ConfigError: If the result is no plain data.
        """
        try:
            plain = json.loads(json.dumps(dict(result), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The result must be plain data: {error}.") from error
        values = {"progress": 1.0, "message": "", "result": plain, "error": None}
        self._end(State.FINISHED, "Finished.", "info", values, rows)

    def fail(self, error: Mapping[str, str], rows: Sequence[EpochRow] = ()) -> None:
        """Say why nothing came of it: ``kind``, ``message``, ``hint`` and ``traceback``."""
        message = f"Failed: {error['message']}"
        self._end(State.FAILED, message, "error", {"message": "", "error": dict(error)}, rows)

    def _end(
        self,
        state: State,
        message: str,
        level: str,
        values: Mapping[str, Any],
        rows: Sequence[EpochRow],
    ) -> None:
        now = self.store.clock()

        def write(connection: Connection) -> None:
            runs = self.store.tables.runs
            self._put(connection, rows)
            ended = ended_attempt(connection, self.run_id, now)
            changed = runs.update().where(runs.c.id == self.run_id)
            connection.execute(changed.values(**ended, **values, state=str(state), finished_at=now))
            self.store.note(connection, self.run_id, message, level)

        self._write(write)

    def _put(self, connection: Connection, rows: Sequence[EpochRow]) -> None:
        from optim.runs.database import upsert

        for row in rows:
            keys = {"run_id": self.run_id, "step": row.step, "epoch": row.epoch}
            figures = {name: value for name, value in row.figures.items() if math.isfinite(value)}
            upsert(connection, self.store.tables.epochs, keys, {"figures": figures, "at": row.at})

    def _write(self, work: Callable[[Connection], None], **values: Any) -> None:
        """Change columns of the run and do more, in one transaction, if the lease still holds."""
        runs = self.store.tables.runs
        mine = runs.update().where(
            runs.c.id == self.run_id,
            runs.c.fence == self.fence,
            runs.c.state == str(State.RUNNING),
        )

        def write(connection: Connection) -> None:
            changed = connection.execute(mine.values(**values, seen_at=self.store.clock()))
            if not changed.rowcount:
                raise Cancelled("The run is no longer this worker's.")
            work(connection)

        self.store.database.write(write)


def _share(progress: float) -> float:
    return min(1.0, max(0.0, progress)) if math.isfinite(progress) else 0.0
