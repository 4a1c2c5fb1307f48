"""The connection behind the run store: SQLite in WAL mode, or any database SQLAlchemy knows.

SQLite is told to wait for a lock, to survive the kill of any process (WAL), and to begin every
change by taking the write lock, so that what was read within it is still true when it is written.
Elsewhere a change that met another is refused by the database, and made again.
A fault becomes a :class:`~optim.errors.RunError` that says what to do; a lost connection is
replaced and the change made again, so changes must be harmless to repeat.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from optim.errors import ConfigError, MissingDependencyError, RunError
from optim.runs import schema

__all__ = ["Database", "upsert"]

_LOG = logging.getLogger(__name__)
_MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 5.0
"""How long SQLite waits for another program's lock."""
TRIES = 3
TRIES_AGAINST_OTHERS = 20
"""How often a change is made again that another one has met."""
_CLASHES = ("40001", "40P01")
"""SQLSTATE of changes that met."""
_MIGRATION_LOCK = 0x6F7074696D
"""Held by whoever brings a PostgreSQL store to the newest form."""

T = TypeVar("T")

_FAULTS = (
    ("locked", "is locked by another program", "Close what else has it open, and try again."),
    (
        "readonly",
        "cannot be written: it or its folder is read-only",
        "Make the folder writable, or name another by OPTIM_HOME or OPTIM_STORE.",
    ),
    (
        "unable to open",
        "cannot be opened",
        "Make its folder writable, or name another by OPTIM_HOME or OPTIM_STORE.",
    ),
    (
        "is full",
        "cannot be written: the disk is full",
        "Free some space and try again; what was stored before is intact.",
    ),
    ("disk i/o", "cannot be read or written: the disk reports an error", "Check the disk."),
    (
        "malformed",
        "is damaged",
        "Move the file away to start with an empty store; artefacts stay where they are.",
    ),
    (
        "not a database",
        "is no database",
        "Move the file away to start with an empty store, or name another by OPTIM_STORE.",
    ),
)
"""Words in a driver's message, what they mean, and what to do."""

_LOST = ("closed", "connection", "server", "terminating", "gone away")


class Database:
    """Runs functions inside transactions.

    Args:
        url: SQLAlchemy URL.
        busy_s: How long SQLite waits for a lock.

    Raises:
        ConfigError: If the URL is none.
        MissingDependencyError: If its driver is not installed.
        RunError: If the database cannot be used.
    """

    def __init__(self, url: str, *, busy_s: float = BUSY_S) -> None:
        self.url = _parsed(url)
        try:
            if self._is_file:
                Path(str(self.url.database)).parent.mkdir(parents=True, exist_ok=True)
            self.engine = self._connected(busy_s)
        except OSError as error:
            raise RunError(
                f"{self.name} cannot be made: {error.strerror}.",
                hint="Make its folder writable, or name another by OPTIM_HOME or OPTIM_STORE.",
            ) from error
        except ImportError as error:
            raise MissingDependencyError(
                f"The store {self.url.drivername!r} needs {error.name}, which is not installed.",
                hint=f"Install it: pip install {error.name}",
            ) from error
        self._migrate()

    @property
    def name(self) -> str:
        """What messages call it; no password in it."""
        if self._is_file:
            return f"The run store {Path(str(self.url.database)).name!r}"
        return f"The run store {self.url.render_as_string(hide_password=True)!r}"

    @property
    def _is_file(self) -> bool:
        return self.url.get_backend_name() == "sqlite" and bool(self.url.database)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what a function reads."""
        return self._within(work, writes=False)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Return what a function gives that changes something; all of it happens or nothing."""
        return self._within(work, writes=True)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.engine.dispose()

    def _within(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        engine = self.engine.execution_options(writes=writes)
        if writes and self._level:
            engine = engine.execution_options(isolation_level=self._level)
        lost = clashed = 0
        while True:
            try:
                with engine.begin() as connection:
                    return work(connection)
            except SQLAlchemyError as error:
                if lost + 1 < TRIES and _is_lost(error):
                    lost += 1
                    _LOG.warning("%s: connection lost (%s)", self.name, _words(error))
                    self.engine.dispose()
                    time.sleep(0.05 * lost)
                elif clashed + 1 < TRIES_AGAINST_OTHERS and _is_clash(error):
                    clashed += 1
                    time.sleep(random.uniform(0, 0.01 * clashed))
                else:
                    raise self._fault(error) from error

    @property
    def _level(self) -> str:
        """How far changes are kept apart; SQLite makes one after the other anyway."""
        # In PostgreSQL this level notices two changes of one row. Others only lock at the highest.
        levels = {"sqlite": "", "postgresql": "REPEATABLE READ"}
        return levels.get(self.url.get_backend_name(), "SERIALIZABLE")

    def _fault(self, error: SQLAlchemyError) -> RunError:
        words = _words(error)
        for sign, meaning, hint in _FAULTS:
            if sign in words.lower():
                return RunError(f"{self.name} {meaning}.", hint=hint)
        return RunError(f"{self.name} failed: {words}.", hint="Check the database, and try again.")

    def _connected(self, busy_s: float) -> Engine:
        if self.url.get_backend_name() != "sqlite":
            return create_engine(self.url, pool_pre_ping=True)
        engine = create_engine(self.url, connect_args={"timeout": busy_s})

        @event.listens_for(engine, "connect")
        def configure(connection: Any, record: object) -> None:
            connection.isolation_level = None  # transactions begin below, not in the driver
            # FULL flushes every change, so that a finished run stays finished if the power fails.
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}").close()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("writes")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    # --- migrations -------------------------------------------------------------------------

    def _migrate(self) -> None:
        if self.read(_version) == schema.HEAD:
            return
        if self.url.get_backend_name() == "postgresql":
            self.read(self._upgrade_alone)
        else:
            self.write(self._upgrade)

    def _upgrade_alone(self, connection: Connection) -> None:
        """Wait until nobody else upgrades; what they have done is seen at this isolation."""
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        self._upgrade(connection)

    def _upgrade(self, connection: Connection) -> None:
        """Bring the tables to the newest form, in one transaction."""
        found = _version(connection)
        if found == schema.HEAD:
            return
        # Only a store that is new or old pays for importing alembic.
        from alembic.config import Config
        from alembic.runtime.environment import EnvironmentContext
        from alembic.script import ScriptDirectory
        from alembic.util import CommandError

        script = ScriptDirectory(str(_MIGRATIONS))
        try:
            if found is not None:
                script.get_revision(found)
        except CommandError as error:
            raise RunError(
                f"{self.name} was written by a newer version of this program (form {found}).",
                hint="Update this program, or name another store by OPTIM_STORE.",
            ) from error
        steps = EnvironmentContext(
            Config(), script, fn=lambda at, context: script._upgrade_revs("head", at)
        )
        steps.configure(connection=connection, version_table=schema.VERSION_TABLE)
        with steps:
            steps.run_migrations()


def upsert(
    connection: Connection, table: Table, keys: dict[str, Any], values: dict[str, Any]
) -> None:
    """Change the row with these keys, or insert it."""
    matches = [table.c[name] == value for name, value in keys.items()]
    if not connection.execute(table.update().where(*matches).values(values)).rowcount:
        connection.execute(table.insert().values({**keys, **values}))


def _version(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, schema.VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {schema.VERSION_TABLE}")).scalar()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            f"OPTIM_STORE must be an SQLAlchemy URL: got {url!r}.",
            hint="For example sqlite:////data/runs.db or postgresql+psycopg://user@host/database.",
        ) from error
    return parsed


def _words(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0].rstrip(".")


def _is_clash(error: SQLAlchemyError) -> bool:
    """Whether the change met another, and may succeed when it is made again."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state in _CLASHES


def _is_lost(error: SQLAlchemyError) -> bool:
    """Whether a new connection may help."""
    if not isinstance(error, DBAPIError):
        return False
    words = _words(error).lower()
    return error.connection_invalidated or any(word in words for word in _LOST)
