"""What a kind of work is given: its run, and ways to report, to save, and to notice a stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optim.errors import Cancelled, RunError
from optim.runs.artefacts import keep
from optim.runs.checkpoint import Checkpoint, checkpoints_of
from optim.runs.lease import Lease
from optim.runs.run import ENDED, Artefact, EpochRow, Run

__all__ = ["Kind", "Work"]

_LOG = logging.getLogger(__name__)
_REPORT_EVERY_S = 0.2
_ENOUGH_EVERY_S = 1.0
_LAST_SAVE_S = 1.0
"""How long a stop waits for a state to be saved; shorter than the supervisor's patience."""
_PATIENCE_S = 60.0
"""How long the end of a run is tried to be stored."""


class Work:
    """One attempt at one run.

    Args:
        run: What to do.
        lease: Where to report.
        threads: How many threads to compute with.
        clock: Monotonic seconds.

    Attributes:
        students: Keys of the trained results that it has stored or used.
    """

    def __init__(
        self,
        run: Run,
        lease: Lease,
        threads: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = run
        self.threads = threads
        self.students: list[str] = []
        self._lease = lease
        self._clock = clock
        self._asked_at: float | None = None
        self._is_over: bool | None = None
        self._checkpoint: Checkpoint | None = None
        self._unsent: dict[tuple[str, int], EpochRow] = {}
        self._was_enough, self._asked_enough_at = False, float("-inf")
        self._reported: tuple[float, str] = (float("-inf"), "")

    # --- for the kind of work -----------------------------------------------------------------

    def progress(self, share: float, what: str) -> None:
        """Say how far it is, in 0..1, and what is being done; cheap enough for every step."""
        at, before = self._reported
        now = self._clock()
        if what == before and now - at < _REPORT_EVERY_S:
            return
        self._reported = (now, what)
        self._attempt(lambda: self._lease.report(share, what))

    def check(self) -> None:
        """Stop here if the run was cancelled, paused, or is somebody else's by now.

        A step that saves states is given a moment to save one more, unless the run was cancelled.

        Raises:
            Cancelled: To stop.
        """
        if self._asked_at is None:
            return
        if self._clock() - self._asked_at > _LAST_SAVE_S or not self._may_save():
            raise Cancelled

    def checkpoint(self, step: str) -> Checkpoint:
        """Return where a step keeps its states."""
        self._checkpoint = Checkpoint(
            checkpoints_of(self._lease.store.kept, self.run.id),
            step,
            self._lease.fence,
            on_history=self._record,
            on_damage=lambda message: self.event(message, "warning"),
            is_urgent=self._is_urgent,
            clock=self._clock,
        )
        return self._checkpoint

    def record(self, step: str, figures: Mapping[str, float]) -> None:
        """Record the figures of an epoch; ``figures["epoch"]`` counts from 1.

        Raises:
            Cancelled: As :meth:`check`, if the run is no longer this worker's.
        """
        values = {name: float(value) for name, value in figures.items() if name != "epoch"}
        row = EpochRow(step, int(figures["epoch"]), values, self._lease.store.clock())
        if self._checkpoint is not None and self._checkpoint.step == step:
            row = self._checkpoint.remember(row)
        self._record([row])

    def event(self, message: str, level: str = "info") -> None:
        """Say that something happened."""
        self._attempt(lambda: self._lease.event(message, level))

    def publish(self, content: Mapping[str, Any]) -> None:
        """Show what there is so far, plain data: see :meth:`RunStore.live`.

        It is gone once the run has finished and has a result.
        """
        try:
            self._lease.store.publish(self.run.id, content)
        except OSError as error:
            _LOG.warning("not shown: %s", error)

    def is_enough(self) -> bool:
        """Whether somebody wants the result that can be had now; cheap enough for every step."""
        now = self._clock()
        if not self._was_enough and now - self._asked_enough_at >= _ENOUGH_EVERY_S:
            self._asked_enough_at = now
            try:
                self._was_enough = self._lease.store.is_enough(self.run.id)
            except OSError as error:  # asked again in a moment
                _LOG.warning("cannot be told to end: %s", error)
        return self._was_enough

    def keep(self, name: str, content: bytes) -> Artefact:
        """Keep a file.

        Raises:
            RunError: If it cannot be written.
        """
        kept = keep(self._lease.store.kept, name, content)
        self._insist(lambda: self._lease.artefact(kept))
        return kept

    def trained(self, key: str) -> None:
        """Say that the run has stored or used a trained result (see :mod:`optim.stored`)."""
        self.students.append(key)
        self._insist(lambda: self._lease.student(self.run.owner, key))

    # --- for the process ----------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Let the next :meth:`check` stop the work."""
        self._asked_at = self._clock()

    def start(self, environment: Mapping[str, Any]) -> None:
        """Say what it runs with."""
        self._attempt(lambda: self._lease.started(environment))

    def energy(self, joules: float) -> None:
        """Say how much energy it has used."""
        self._attempt(lambda: self._lease.energy(joules))

    def finish(self, result: Mapping[str, Any]) -> None:
        """Say what came of it.

        Raises:
            ConfigError: If the result is no plain data.
            RunError: If that cannot be stored for a long time.
        """
        self._insist(lambda: self._lease.finish(result, list(self._unsent.values())))

    def fail(self, error: Mapping[str, str]) -> None:
        """Say why nothing came of it."""
        self._insist(lambda: self._lease.fail(error, list(self._unsent.values())))

    # --- inside -------------------------------------------------------------------------------

    def _is_urgent(self) -> bool:
        """Whether a state should be saved before the work stops."""
        saved = self._checkpoint.saved_at if self._checkpoint else 0.0
        return self._asked_at is not None and saved < self._asked_at

    def _may_save(self) -> bool:
        if self._checkpoint is None or not self._is_urgent():
            return False
        if self._is_over is None:
            try:
                self._is_over = self._lease.store.get(self.run.id).state in ENDED
            except RunError as error:
                _LOG.warning("not known whether it was cancelled: %s", error)
                self._is_over = False
        return not self._is_over

    def _record(self, rows: Sequence[EpochRow]) -> None:
        self._unsent |= {(row.step, row.epoch): row for row in rows}

        def send() -> None:
            self._lease.epochs(list(self._unsent.values()))
            self._unsent.clear()

        self._attempt(send)

    def _attempt(self, write: Callable[[], None]) -> None:
        """Write what the work can go on without, or what is written again later."""
        try:
            write()
        except Cancelled:
            # No longer its own: time to stop, and perhaps to save.
            if self._asked_at is None:
                self.ask_to_stop()
            self.check()
        except RunError as error:
            _LOG.warning("not reported: %s", error)

    def _insist(self, write: Callable[[], None]) -> None:
        """Write what must not be lost: a store that is locked or full may recover."""
        patience = self._clock() + _PATIENCE_S
        while True:
            try:
                write()
                return
            except RunError as error:
                if self._clock() > patience:
                    raise
                _LOG.warning("tried again in a second: %s", error)
                time.sleep(1.0)


@dataclass(frozen=True)
class Kind:
    """A kind of work.

    Attributes:
        title: For a reader.
        work: Does it, and returns what came of it as plain data; raises to fail.
        prepare: Loads what every piece of such work needs, before there is one.
    """

    title: str
    work: Callable[[Work], Mapping[str, Any]]
    prepare: Callable[[], None] = lambda: None
