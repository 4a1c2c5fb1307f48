"""Trainings of a search, given to the engine of runs: :class:`optim.search.executor.Executor`.

Each is a run of its own, so that everything that is true of runs is true of it: it is done by
whoever works on the queue, here or on the nodes of a cluster, and goes on from its checkpoint when
that dies. A search that was killed and is started again takes up the runs it had asked for. What
has ended well is removed from the list of runs: what it trained lies under its key.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from optim.errors import ConfigError, OptimError
from optim.runs.engine import Engine, engine
from optim.runs.exchange import take_students
from optim.runs.run import ACTIVE, Run, State
from optim.runs.store import RunStore
from optim.runs.tidy import purge
from optim.search.executor import Order, Outcome
from optim.stored import stored_file

__all__ = ["MOST_PLACES", "QueuedTrainings"]

_LOG = logging.getLogger(__name__)
MOST_PLACES = 64
_POLL_S = 0.2
_ENSURE_EVERY_S = 5.0
_ARRIVES_S = 30.0
"""How long what was trained elsewhere may take to be here."""


class QueuedTrainings:
    """Trains by runs.

    Args:
        store: Where they are queued.
        places: How many at once.
        base: Folder of data that are files; empty if only what is registered is asked for.
        search: Name of the search; only what it has asked for itself is taken up again.
        say: Called with a sentence when something happened to one of them.
        works: Who sees that they are done; the engine that ``OPTIM_ENGINE`` names by default.
        clock: Monotonic seconds.

    Raises:
        ConfigError: If there are no such places, or there is no such engine.
        RunError: If the engine cannot be started.
    """

    def __init__(
        self,
        store: RunStore,
        places: int,
        *,
        base: str = "",
        search: str = "",
        say: Callable[[str], None] = lambda text: None,
        works: Engine | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 1 <= places <= MOST_PLACES:
            raise ConfigError(
                f"parallel must be from 1 to {MOST_PLACES}: got {places!r}.", field="parallel"
            )
        self.places = places
        self._store = store
        self._about = {"base": base} if base else {}
        self._about |= {"asked_by": search} if search else {}
        self._say = say
        self._engine = works or engine()
        self._clock = clock
        self._runs: dict[str, Order] = {}
        self._told: dict[str, int] = {}
        self._ensured_at = float("-inf")
        self._ensure()

    def begin(self, order: Order) -> None:
        """Queue a training, unless an earlier attempt of the search did."""
        spec = {**order.spec, **self._about}
        run = self._known(order, spec) or self._store.submit(order.kind, spec, title=order.title)
        self._runs[run.id] = order
        self._ensure()

    def ended(self, wait_s: float) -> list[Outcome]:
        """Return what has ended since it was last asked; waits for the first at most so long."""
        until = self._clock() + wait_s
        while True:
            self._ensure()
            found = [one for run_id in list(self._runs) if (one := self._outcome(run_id))]
            if found or not self._runs or self._clock() >= until:
                return found
            time.sleep(_POLL_S)

    def withdraw(self) -> None:
        """Cancel all that has not ended, and forget it."""
        for run_id in list(self._runs):
            del self._runs[run_id]
            try:
                if self._store.get(run_id).state in ACTIVE:
                    self._store.cancel(run_id)
                self._store.delete(run_id)
            except OptimError as error:
                _LOG.warning("a training is not taken back: %s", error)

    # --- inside -------------------------------------------------------------------------------

    def _ensure(self) -> None:
        """See that somebody works on the queue; who did may have died."""
        now = self._clock()
        if now - self._ensured_at >= _ENSURE_EVERY_S:
            self._ensured_at = now
            self._engine.ensure()

    def _known(self, order: Order, spec: Mapping[str, Any]) -> Run | None:
        """Return the run of an earlier attempt that does or did the same training."""
        states = {*ACTIVE, State.FINISHED}
        for run in self._store.runs(states=states, text=order.kind, owner=""):
            if run.kind == order.kind and dict(run.spec) == spec and run.id not in self._runs:
                return run
        return None

    def _outcome(self, run_id: str) -> Outcome | None:
        order = self._runs[run_id]
        try:
            run = self._store.get(run_id)
        except ConfigError:
            del self._runs[run_id]
            return Outcome(order.key, problem=f"Its run {run_id} was removed.")
        self._tell(run)
        if run.state in ACTIVE:
            return None
        del self._runs[run_id]
        if run.state is not State.FINISHED or run.result is None:
            said = str((run.error or {}).get("message", ""))
            return Outcome(order.key, problem=said or f"Its run {run.id} is {run.state}.")
        if not self._arrived(run.result["keys"]):
            return Outcome(order.key, problem="What was trained elsewhere did not arrive here.")
        # Of all attempts: the last one counts only what it trained itself.
        seconds = sum(row.figures.get("seconds", 0.0) for row in self._store.epochs(run_id))
        self._remove(run_id)
        return Outcome(order.key, max(seconds, float(run.result["seconds"])))

    def _arrived(self, keys: list[str]) -> bool:
        """Wait until what was trained on another machine is here."""
        until = self._clock() + _ARRIVES_S
        while not all(stored_file(key) for key in keys):
            if self._clock() >= until:
                return False
            try:
                take_students(self._store.kept)
            except OSError as error:
                _LOG.warning("what was trained is not fetched: %s", error)
            time.sleep(_POLL_S)
        return True

    def _remove(self, run_id: str) -> None:
        try:
            purge(self._store, [run_id])
        except OptimError as error:
            _LOG.warning("a finished training stays in the list: %s", error)

    def _tell(self, run: Run) -> None:
        """Say what went wrong with a training and was set right."""
        events = self._store.events(run.id)
        for event in events[self._told.get(run.id, 0) :]:
            if event.level == "warning":
                self._say(f"{run.title}: {event.message}")
        self._told[run.id] = len(events)
