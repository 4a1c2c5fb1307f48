"""Where runs are kept: submitted, looked at, cancelled, resumed, deleted. No worker is needed.

The state in the store is the truth, and the processes follow it: a cancelled run is cancelled at
once, and whatever its worker still writes is refused (:mod:`optim.runs.lease`) until it is stopped.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optim.errors import ConfigError, RunError
from optim.hashing import digest
from optim.runs.artefacts import hash_of, name_of
from optim.runs.files import Files, LocalFiles, files_url, open_files
from optim.runs.run import ACTIVE, RESUMABLE, Artefact, EpochRow, Event, Run, State
from optim.storage import store_home

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from optim.runs.database import Database

__all__ = ["RunStore", "ended_attempt", "files_of", "store_url"]

_LOG = logging.getLogger(__name__)

_LIVE, _ENOUGH = "live.json", "enough"


def store_url() -> str:
    """Return the URL of the store: ``OPTIM_STORE``, or a SQLite file in the user's folder."""
    return os.environ.get("OPTIM_STORE") or f"sqlite:///{store_home() / 'runs.db'}"


class RunStore:
    """The runs of one database; safe to use from any thread.

    Args:
        database: Where rows go.
        files: Folder of the store on this machine.
        clock: Seconds since 1970.
        kept: Where artefacts and checkpoints are; in the folder by default.
    """

    def __init__(
        self,
        database: Database,
        files: Path,
        clock: Callable[[], float] = time.time,
        kept: Files | None = None,
    ) -> None:
        from optim.runs import schema

        self.database = database
        self.files = files
        self.kept = kept or LocalFiles(files)
        self.clock = clock
        self.tables = schema

    @classmethod
    def open(cls, url: str | None = None) -> Self:
        """Open a store, by default that of :func:`store_url`; it is made if there is none.

        Raises:
            ConfigError: If the URL is none, or ``OPTIM_FILES`` names no place.
            RunError: If the database cannot be used.
        """
        from optim.runs.database import Database

        url = url or store_url()
        files = files_of(url)
        return cls(Database(url), files, kept=open_files(files_url(), files))

    # --- looking ----------------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """Return one run.

        Raises:
            ConfigError: If there is none with this id.
        """
        return self.database.read(lambda connection: self._get(connection, run_id))

    def runs(
        self,
        *,
        states: Collection[State] | None = None,
        text: str = "",
        deleted: bool = False,
        owner: str | None = None,
    ) -> list[Run]:
        """Return runs, newest first.

        Args:
            states: Only those in one of these; all if None.
            text: Only those with this in their title, kind or id.
            deleted: Those in the bin instead of the others.
            owner: Only those of this owner; empty for those of the command line, all if None.
        """
        runs = self.tables.runs
        chosen = runs.select().where(
            runs.c.deleted_at.is_not(None) if deleted else runs.c.deleted_at.is_(None)
        )
        if owner is not None:
            chosen = chosen.where(runs.c.owner == owner)
        if states is not None:
            chosen = chosen.where(runs.c.state.in_([str(state) for state in states]))
        if text:
            chosen = chosen.where(
                runs.c.title.icontains(text, autoescape=True)
                | runs.c.kind.icontains(text, autoescape=True)
                | runs.c.id.icontains(text, autoescape=True)
            )
        chosen = chosen.order_by(runs.c.created_at.desc(), runs.c.id)

        def read(connection: Connection) -> list[Run]:
            rows = connection.execute(chosen).all()
            parents = self._parents(connection, [row.id for row in rows])
            return [_run(row, parents.get(row.id, ())) for row in rows]

        return self.database.read(read)

    def epochs(self, run_id: str) -> list[EpochRow]:
        """Return the figures of every epoch, in the order of the steps and epochs."""
        table = self.tables.epochs
        chosen = table.select().where(table.c.run_id == run_id).order_by(table.c.at, table.c.epoch)
        rows = self.database.read(lambda connection: connection.execute(chosen).all())
        first = {row.step: i for i, row in reversed(list(enumerate(rows)))}
        rows = sorted(rows, key=lambda row: (first[row.step], row.epoch))
        return [EpochRow(row.step, row.epoch, row.figures, row.at) for row in rows]

    def events(self, run_id: str) -> list[Event]:
        """Return what happened to a run, oldest first."""
        table = self.tables.events
        chosen = table.select().where(table.c.run_id == run_id).order_by(table.c.id)
        rows = self.database.read(lambda connection: connection.execute(chosen).all())
        return [Event(row.at, row.level, row.message) for row in rows]

    def artefacts(self, run_id: str) -> list[Artefact]:
        """Return the files that a run has made, by name."""
        table = self.tables.artefacts
        chosen = table.select().where(table.c.run_id == run_id).order_by(table.c.name)
        rows = self.database.read(lambda connection: connection.execute(chosen).all())
        return [
            Artefact(row.name, row.hash, row.bytes, self.kept.path(name_of(row.hash)))
            for row in rows
        ]

    def has(self, artefact: Artefact) -> bool:
        """Whether the content of a file can be read."""
        if self.kept.is_shared:
            return True  # to ask the place for every file of a page would take longer than to read
        return artefact.path.is_file()

    def read(self, artefact: Artefact) -> bytes:
        """Return the content of a file.

        Raises:
            RunError: If it is gone, damaged or cannot be reached.
        """
        try:
            content = self.kept.read(name_of(artefact.hash))
        except OSError as error:
            raise RunError(
                f"The file {artefact.name!r} cannot be read: {error.strerror or error}.",
                hint="Was it removed, or is OPTIM_FILES another than when the run was made?",
            ) from error
        if hash_of(content) != artefact.hash:
            raise RunError(
                f"The file {artefact.name!r} is damaged.", hint="Run the recipe again to make it."
            )
        return content

    def where(self, artefact: Artefact) -> str:
        """Return what tells a reader where a file is: a path or a URL."""
        return self.kept.where(name_of(artefact.hash))

    def live(self, run_id: str) -> dict[str, Any]:
        """Return what a run shows while it is worked on; nothing if it shows nothing."""
        try:
            content: dict[str, Any] = json.loads(self._shown(run_id).read(_LIVE))
        except (OSError, ValueError):
            return {}
        return content

    def is_enough(self, run_id: str) -> bool:
        """Whether somebody wants the result that a run can have now."""
        return _ENOUGH in self._shown(run_id).names()

    def has_active(self) -> bool:
        """Whether anything runs or waits to run."""
        runs = self.tables.runs
        active = runs.c.state.in_([str(state) for state in ACTIVE])
        chosen = runs.select().where(active, runs.c.deleted_at.is_(None)).limit(1)
        return self.database.read(lambda c: c.execute(chosen).first() is not None)

    # --- changing ---------------------------------------------------------------------------

    def submit(
        self,
        kind: str,
        spec: Mapping[str, Any],
        *,
        title: str = "",
        parents: Sequence[str] = (),
        priority: int = 0,
        budget_s: float | None = None,
        max_attempts: int = 3,
        owner: str = "",
        beside: Callable[[Connection, Run], None] = lambda connection, run: None,
    ) -> Run:
        """Queue something to do. Call ``optim.runs.engine.engine().ensure()`` to have it done.

        Args:
            kind: Key of :data:`optim.runs.jobs.JOBS`.
            spec: What to do, plain data.
            title: For a reader.
            parents: Ids of the runs it comes from.
            priority: Runs with a higher one are started first.
            budget_s: Longest time of work, in seconds.
            max_attempts: How many workers may die over it.
            owner: Id of who submits it.
            beside: Checks and writes what goes with it; if it raises, nothing is queued.

        Raises:
            ConfigError: If something is no legal value.
            RunError: If it cannot be stored.
        """
        spec = _checked(spec, budget_s, max_attempts)
        values = {
            "id": secrets.token_hex(8),
            "title": title or kind,
            "kind": kind,
            "owner": owner,
            "spec": spec,
            "state": State.QUEUED,
            "priority": priority,
            "created_at": self.clock(),
            "progress": 0.0,
            "message": "",
            "attempt": 0,
            "max_attempts": max_attempts,
            "budget_s": budget_s,
            "seconds": 0.0,
            "spent_s": 0.0,
            "environment": {},
            "fence": 0,
            "worker": "",
        }

        def write(connection: Connection) -> Run:
            runs, links = self.tables.runs, self.tables.parents
            known = connection.execute(runs.select().where(runs.c.id == values["id"])).first()
            if known is None:  # else a lost connection had stored it
                connection.execute(runs.insert().values(values))
                for i, parent in enumerate(dict.fromkeys(parents)):
                    self._get(connection, parent)
                    row = {"run_id": values["id"], "parent_id": parent, "position": i}
                    connection.execute(links.insert().values(row))
                self.note(connection, str(values["id"]), "Submitted.")
                beside(connection, self._get(connection, str(values["id"])))
            return self._get(connection, str(values["id"]))

        return self.database.write(write)

    def cancel(self, run_id: str) -> None:
        """Stop a run for good; its worker is ended within two seconds.

        Raises:
            ConfigError: If it has ended already.
        """
        stoppable = {*ACTIVE, State.PAUSED, State.INTERRUPTED}
        self._move(run_id, stoppable, State.CANCELLED, "Cancelled.", finished_at=self.clock())

    def pause(self, run_id: str) -> None:
        """Stop a run so that it can go on later.

        Raises:
            ConfigError: If it neither runs nor waits.
        """
        self._move(run_id, ACTIVE, State.PAUSED, "Paused.")

    def resume(self, run_id: str) -> None:
        """Queue a run again that was paused, interrupted, cancelled or has failed.

        Attempts and time budget are counted anew; it goes on from its last checkpoint.

        Raises:
            ConfigError: If it is in another state.
        """
        fresh = {"attempt": 0, "spent_s": 0.0, "error": None, "finished_at": None}
        if self.get(run_id).state in RESUMABLE:
            try:
                self._shown(run_id).remove(_ENOUGH)  # was asked of the attempt that has ended
            except OSError as error:
                _LOG.warning("run %s may end early: %s", run_id, error)
        self._move(run_id, RESUMABLE, State.QUEUED, "Resumed.", **fresh)

    def publish(self, run_id: str, content: Mapping[str, Any]) -> None:
        """Show what there is of a run so far, plain data.

        Raises:
            OSError: If it cannot be written; what was shown before stays.
        """
        self._shown(run_id).write(_LIVE, json.dumps(content, allow_nan=False).encode())

    def enough(self, run_id: str) -> None:
        """Ask a run that searches to end with what it has.

        Raises:
            ConfigError: If it neither runs nor waits.
            RunError: If that cannot be written.
        """
        run = self.get(run_id)
        if run.state not in ACTIVE:
            raise ConfigError(f"The run {run_id!r} is {run.state}; this needs one that is active.")
        try:
            self._shown(run_id).write(_ENOUGH, b"")
        except OSError as error:
            raise RunError(
                f"The run cannot be told: {error.strerror or error}.", hint="Free some space."
            ) from error

    def delete(self, run_id: str) -> None:
        """Put a run into the bin; it is cancelled if it is active."""
        if self.get(run_id).state in ACTIVE:
            with contextlib.suppress(ConfigError):  # it has ended since
                self.cancel(run_id)
        self._set(run_id, deleted_at=self.clock())

    def restore(self, run_id: str) -> None:
        """Take a run out of the bin."""
        self._set(run_id, deleted_at=None)

    def note(self, connection: Connection, run_id: str, message: str, level: str = "info") -> None:
        """Add an event within a change."""
        row = {"run_id": run_id, "at": self.clock(), "level": level, "message": message}
        connection.execute(self.tables.events.insert().values(row))

    # --- inside -----------------------------------------------------------------------------

    def _shown(self, run_id: str) -> Files:
        """Return where a run shows what it has: with its checkpoints, and removed with them."""
        return self.kept.within(f"checkpoints/{run_id}")

    def _move(
        self, run_id: str, sources: Collection[State], to: State, message: str, **values: Any
    ) -> None:
        """Change the state of a run; time of work that ends with it is added up."""
        runs = self.tables.runs

        def write(connection: Connection) -> None:
            run = self._get(connection, run_id)
            if run.state is to:
                return
            if run.state not in sources or run.deleted:
                state = "deleted" if run.deleted else str(run.state)
                names = ", ".join(sorted(map(str, sources)))
                raise ConfigError(
                    f"The run {run_id!r} is {state}; this needs one that is {names}.",
                )
            now = self.clock()
            ended = ended_attempt(connection, run_id, now) if run.state is State.RUNNING else {}
            change = runs.update().where(runs.c.id == run_id)
            connection.execute(change.values(**{**ended, "state": to, "message": "", **values}))
            self.note(connection, run_id, message)

        self.database.write(write)

    def _set(self, run_id: str, **values: Any) -> None:
        runs = self.tables.runs

        def write(connection: Connection) -> None:
            self._get(connection, run_id)
            connection.execute(runs.update().where(runs.c.id == run_id).values(**values))

        self.database.write(write)

    def _get(self, connection: Connection, run_id: str) -> Run:
        runs = self.tables.runs
        row = connection.execute(runs.select().where(runs.c.id == run_id)).first()
        if row is None:
            raise ConfigError(f"There is no run {run_id!r}.", hint="optim runs list shows all.")
        return _run(row, self._parents(connection, [run_id]).get(run_id, ()))

    def _parents(
        self, connection: Connection, run_ids: Sequence[str]
    ) -> dict[str, tuple[str, ...]]:
        links = self.tables.parents
        found: dict[str, tuple[str, ...]] = {}
        chosen = links.select().order_by(links.c.run_id, links.c.position)
        if len(run_ids) == 1:
            chosen = chosen.where(links.c.run_id == run_ids[0])
        for link in connection.execute(chosen):
            found[link.run_id] = (*found.get(link.run_id, ()), link.parent_id)
        return found


def files_of(url: str) -> Path:
    """Return the folder for the files of a store: one for each database."""
    default = f"sqlite:///{store_home() / 'runs.db'}"
    return store_home() / ("runs" if url == default else f"runs-{digest(url)[:8]}")


def ended_attempt(connection: Connection, run_id: str, now: float) -> dict[str, Any]:
    """Return the columns that change when the present attempt of a run ends."""
    from optim.runs.schema import runs

    row = connection.execute(runs.select().where(runs.c.id == run_id)).one()
    worked = max(0.0, now - (row.attempt_at or now))
    return {
        "seconds": row.seconds + worked,
        "spent_s": row.spent_s + worked,
        "attempt_at": None,
        "worker": "",
    }


def _checked(spec: Mapping[str, Any], budget_s: float | None, max_attempts: int) -> dict[str, Any]:
    """Return the specification as the plain data that will be read back."""
    if budget_s is not None and not 0 < budget_s < float("inf"):
        raise ConfigError(
            f"budget_s must be a positive number of seconds: got {budget_s!r}.", field="budget_s"
        )
    if not 1 <= max_attempts <= 100:
        raise ConfigError(
            f"max_attempts must be from 1 to 100: got {max_attempts!r}.", field="max_attempts"
        )
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(spec), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"spec must be plain data: {error}.", field="spec") from error
    return plain


def _run(row: Row[Any], parents: tuple[str, ...]) -> Run:
    worked = 0.0 if row.attempt_at is None else max(0.0, (row.seen_at or 0) - row.attempt_at)
    return Run(
        id=row.id,
        title=row.title,
        kind=row.kind,
        spec=row.spec,
        state=State(row.state),
        priority=row.priority,
        parents=parents,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        progress=row.progress,
        message=row.message,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        budget_s=row.budget_s,
        seconds=row.seconds + worked,
        energy_j=row.energy_j,
        result=row.result,
        error=row.error,
        environment=row.environment,
        deleted=row.deleted_at is not None,
        owner=row.owner,
    )
