"""What the supervisor does to the store: take runs, give them back, notice what changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optim.runs.run import State
from optim.runs.store import RunStore, ended_attempt

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Active", "Queue"]


@dataclass(frozen=True)
class Active:
    """A run that waits or runs, as the supervisor needs to know it.

    Attributes:
        id: Of the run.
        state: ``QUEUED`` or ``RUNNING``.
        fence: Number of its latest attempt.
        worker: Who works on it: ``host:place:process id:start``; empty if nobody does.
        spent_s: Seconds of its budget used up, this attempt included.
        budget_s: All seconds of its budget; None without one.
        seen_at: Last sign of life.
        environment: What earlier attempts ran with.
    """

    id: str
    state: State
    fence: int
    worker: str
    spent_s: float
    budget_s: float | None
    seen_at: float
    environment: Mapping[str, Any]

    @property
    def is_over_budget(self) -> bool:
        """Whether it has had all its time."""
        return self.budget_s is not None and self.spent_s > self.budget_s


class Queue:
    """The runs that wait and run.

    Args:
        store: Where they are kept.
        only: Id of the run that is looked at; all if empty.
    """

    def __init__(self, store: RunStore, only: str = "") -> None:
        self.store = store
        self.only = only

    def active(self) -> list[Active]:
        """Return all that waits or runs, first what is to be started first."""
        runs = self.store.tables.runs
        chosen = (
            runs.select()
            .where(runs.c.state.in_([str(State.QUEUED), str(State.RUNNING)]))
            .where(runs.c.deleted_at.is_(None))
            .order_by(runs.c.priority.desc(), runs.c.created_at, runs.c.id)
        )
        if self.only:
            chosen = chosen.where(runs.c.id == self.only)
        now = self.store.clock()
        rows = self.store.database.read(lambda connection: connection.execute(chosen).all())
        return [
            Active(
                id=row.id,
                state=State(row.state),
                fence=row.fence,
                worker=row.worker,
                spent_s=row.spent_s + (now - row.attempt_at if row.attempt_at else 0.0),
                budget_s=row.budget_s,
                seen_at=row.seen_at or 0.0,
                environment=row.environment,
            )
            for row in rows
        ]

    def take(self, run: Active, worker: str) -> int | None:
        """Begin an attempt; return its fence, or None if the run no longer waits."""
        runs, now = self.store.tables.runs, self.store.clock()
        waiting = runs.update().where(
            runs.c.id == run.id, runs.c.fence == run.fence, runs.c.state == str(State.QUEUED)
        )

        def write(connection: Connection) -> int | None:
            row = connection.execute(runs.select().where(runs.c.id == run.id)).first()
            if row is None:
                return None  # it was removed for good meanwhile
            if (row.state, row.fence, row.worker) == ("running", run.fence + 1, worker):
                return run.fence + 1  # a lost connection had taken it
            taken = connection.execute(
                waiting.values(
                    state=str(State.RUNNING),
                    fence=run.fence + 1,
                    attempt=row.attempt + 1,
                    worker=worker,
                    started_at=row.started_at or now,
                    finished_at=None,
                    attempt_at=now,
                    seen_at=now,
                    message="starting",
                )
            )
            if not taken.rowcount:
                return None
            message = f"Started, attempt {row.attempt + 1} of {row.max_attempts}."
            self.store.note(connection, run.id, message)
            return run.fence + 1

        return self.store.database.write(write)

    def give_back(
        self, run_id: str, fence: int, why: str, *, counts: bool = True, until: float | None = None
    ) -> State | None:
        """End an attempt whose worker is gone: the run waits again, or is interrupted.

        Args:
            run_id: The run.
            fence: The attempt.
            why: What happened, one sentence.
            counts: Whether it is one of the attempts that the run has.
            until: When the worker was last alive; now by default.

        Returns:
            The new state; None if the attempt had ended otherwise.
        """

        def write(connection: Connection) -> State | None:
            runs = self.store.tables.runs
            row = connection.execute(runs.select().where(runs.c.id == run_id)).first()
            if row is None or row.state != str(State.RUNNING) or row.fence != fence:
                return None
            values = ended_attempt(connection, run_id, until or self.store.clock())
            attempt = row.attempt if counts else row.attempt - 1
            if attempt < row.max_attempts:
                state, tail = State.QUEUED, "It goes on from its last checkpoint."
            else:
                state, tail = State.INTERRUPTED, f"That was attempt {attempt} of {attempt}."
                values["error"] = _error(why, "Resume it to go on from its last checkpoint.")
            change = runs.update().where(runs.c.id == run_id)
            connection.execute(
                change.values(**values, state=str(state), attempt=attempt, message="")
            )
            level = "warning" if counts else "info"
            self.store.note(connection, run_id, f"{why} {tail}", level)
            return state

        return self.store.database.write(write)

    def has_finished(self, run_id: str) -> bool:
        """Whether a run is done; one that was removed for good is not."""
        runs = self.store.tables.runs
        chosen = runs.select().where(runs.c.id == run_id, runs.c.state == str(State.FINISHED))
        return self.store.database.read(lambda c: c.execute(chosen).first() is not None)

    def interrupt(self, run_id: str, fence: int, why: str, hint: str) -> None:
        """Take a run from its worker for good, until somebody resumes it."""

        def write(connection: Connection) -> None:
            runs = self.store.tables.runs
            row = connection.execute(runs.select().where(runs.c.id == run_id)).first()
            if row is None or row.state != str(State.RUNNING) or row.fence != fence:
                return
            values = ended_attempt(connection, run_id, self.store.clock())
            change = runs.update().where(runs.c.id == run_id)
            connection.execute(
                change.values(
                    **values, state=str(State.INTERRUPTED), message="", error=_error(why, hint)
                )
            )
            self.store.note(connection, run_id, why, "warning")

        self.store.database.write(write)

    def explain(self, run_ids: Collection[str], why: str) -> None:
        """Say why these runs still wait; nothing is said of those that do not."""
        runs = self.store.tables.runs
        waiting = runs.update().where(
            runs.c.id.in_(list(run_ids)), runs.c.state == str(State.QUEUED), runs.c.message != why
        )
        self.store.database.write(
            lambda connection: connection.execute(waiting.values(message=why))
        )

    def beat(self, run_ids: Collection[str]) -> None:
        """Say that the workers of these runs are alive."""
        runs = self.store.tables.runs
        change = runs.update().where(
            runs.c.id.in_(list(run_ids)), runs.c.state == str(State.RUNNING)
        )
        now = self.store.clock()
        self.store.database.write(lambda connection: connection.execute(change.values(seen_at=now)))


def _error(message: str, hint: str) -> dict[str, str]:
    return {"kind": "RunError", "message": message, "hint": hint, "traceback": ""}
