"""The process that gives the queue to a Ray cluster: ``python -m optim.runs.ray_driver``.

It makes Ray tasks of the runs that are first in the queue, a few ahead of what the cluster has room
for, so that one submitted later with a higher priority still comes first. A task takes its run when
it begins; until then the run waits in the store. A run whose task or node died is given back, and
goes on from its checkpoint elsewhere. Ray itself retries nothing.

It ends by itself when there was nothing to do for a while, as the local supervisor does.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from optim import __version__
from optim.errors import OptimError, RunError
from optim.hashing import digest
from optim.runs.exchange import Offer, offers, take_students
from optim.runs.files import LocalFiles, files_url
from optim.runs.job import JOBS_PATH
from optim.runs.queue import Active, Queue
from optim.runs.ray_cluster import Cluster, Needs, RayCluster, needs_of_environment
from optim.runs.ray_task import Order, this_home
from optim.runs.run import State
from optim.runs.store import RunStore
from optim.runs.supervisor import (
    CORES_A_JOB,
    GRACE_S,
    IDLE_S,
    POLL_S,
    STALE_S,
    attend,
    place_of,
)

__all__ = ["Driver", "main"]

_LOG = logging.getLogger(__name__)
LOOKAHEAD = 4
"""How many tasks may wait for room in the cluster."""
FORCE_S = 2 * GRACE_S + 2.0
"""How long a task whose run was taken away may need to end before Ray kills it."""
HOLD_S = 10.0
"""How long a run waits that could not begin on some node."""
SILENT_S = 3.0
"""How long a run may wait for room before it is said."""


@dataclass(eq=False)
class _Task:
    """A task of the cluster, and the attempt it will make or makes."""

    handle: object
    run_id: str
    fence: int
    submitted_at: float
    has_begun: bool = False
    stopped_at: float | None = None
    is_forced: bool = False


class Driver:
    """Does what the queue says by a cluster, one :meth:`tick` after the other.

    Args:
        store: Where runs are kept.
        cluster: Who works.
        needs: What a run is given.
        jobs: ``module:name`` of the kinds of work.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        store: RunStore,
        cluster: Cluster,
        *,
        needs: Needs | None = None,
        jobs: str = JOBS_PATH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue = Queue(store)
        self.id = digest(place_of(store))[:8]
        self.busy_at = clock()
        self._store = store
        self._cluster = cluster
        self._needs = needs or Needs()
        self._jobs = jobs
        self._clock = clock
        self._tasks: list[_Task] = []
        self._held: dict[str, float] = {}
        self._probe = (f"probes/{self.id}", "")

    # --- one round --------------------------------------------------------------------------

    def tick(self) -> None:
        """Look once at tasks and store, and act.

        Raises:
            RunError: If store, files or cluster cannot be reached; what runs goes on meanwhile.
        """
        try:
            self._connect()
        except OptimError as error:
            self._explain(str(error))
            raise RunError(error.message, hint=error.hint) from error
        self._reap()
        active = self.queue.active()
        self._adopt(active)
        self._follow({run.id: run for run in active})
        self._submit([run for run in active if run.state is State.QUEUED])
        if active or self._tasks:
            self.busy_at = self._clock()

    def wait(self) -> None:
        """Wait until the next round is due, or a task has ended."""
        self._cluster.wait(POLL_S)

    def shut_down(self) -> None:
        """Stop all tasks; their runs wait for the next driver."""
        try:
            for task in self._tasks:
                why = "The driver of the cluster was stopped."
                self.queue.give_back(task.run_id, task.fence, why, counts=False)
                if not task.has_begun:
                    self._cluster.withdraw(task.handle, force=False)
            until = self._clock() + FORCE_S
            while self._tasks and self._clock() < until:
                over = {end.handle for end in self._cluster.ended()}
                self._tasks = [task for task in self._tasks if task.handle not in over]
                self._cluster.wait(POLL_S)
        except RunError as error:
            _LOG.warning("the next driver has to find out: %s", error)
        self._tasks.clear()
        self._cluster.close()

    def _connect(self) -> None:
        """Be connected, and have put a file where nodes look for it."""
        if not self._cluster.is_connected:
            self._explain("waits for the cluster to answer")
            self._cluster.connect()
        if self._probe[1]:
            return
        content = secrets.token_hex(8)
        try:
            self._store.kept.write(self._probe[0], content.encode())
        except OSError as error:
            raise RunError(
                f"Files of runs cannot be written to {self._store.kept.where('')!r}: "
                f"{error.strerror or error}.",
                hint="Make it writable, or name another place by OPTIM_FILES.",
            ) from error
        self._probe = (self._probe[0], content)

    def _explain(self, why: str) -> None:
        """Say to all that wait why they do."""
        waiting = [run.id for run in self.queue.active() if run.state is State.QUEUED]
        self.queue.explain(waiting, why)

    # --- tasks ------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Let go of tasks that have ended; a run that did not end with its task is requeued."""
        tasks = {task.handle: task for task in self._tasks}
        for end in self._cluster.ended():
            task = tasks.pop(end.handle, None)
            if task is None:
                continue
            self._tasks.remove(task)
            cause = end.lost or end.problem or "Its task ended."
            if self.queue.give_back(task.run_id, task.fence, cause):
                _LOG.warning("run %s: %s", task.run_id, cause)
            elif end.problem:
                _LOG.warning("run %s did not begin: %s", task.run_id, cause)
                self._held[task.run_id] = self._clock() + HOLD_S
                self.queue.explain([task.run_id], cause)
            elif not end.lost:
                self._fetch()

    def _fetch(self) -> None:
        """Fetch what was trained, for the Lab of this machine."""
        try:
            take_students(self._store.kept)
        except OSError as error:
            _LOG.warning("trained steps are not fetched: %s", error)

    def _adopt(self, active: list[Active]) -> None:
        """Give back the runs of an earlier driver, and those of nodes that are silent."""
        mine = {(task.run_id, task.fence) for task in self._tasks}
        for run in active:
            if run.state is not State.RUNNING:
                continue
            if self.queue.store.clock() - run.seen_at >= STALE_S:
                why = f"There was no sign of life from its node for {STALE_S:.0f} s."
            elif run.worker.split(":")[1:2] == [self.id] and (run.id, run.fence) not in mine:
                why = "Its driver was gone."
            else:
                continue
            self.queue.give_back(run.id, run.fence, why, until=run.seen_at)

    def _follow(self, active: dict[str, Active]) -> None:
        """Stop tasks whose run is no longer theirs; most have noticed it themselves."""
        now = self._clock()
        for task in self._tasks:
            run = active.get(task.run_id)
            if run and (run.state, run.fence) == (State.RUNNING, task.fence):
                task.has_begun, task.stopped_at = (
                    True,
                    None,
                )  # also one that began as it was withdrawn
            elif not (run and (run.state, run.fence) == (State.QUEUED, task.fence - 1)):
                self._stop(task)
            elif now - task.submitted_at > SILENT_S and not task.has_begun:
                self.queue.explain([run.id], "waits for room in the cluster")
            if task.stopped_at is not None and not task.is_forced:
                task.is_forced = now - task.stopped_at > FORCE_S
                if task.is_forced:
                    self._cluster.withdraw(task.handle, force=True)

    def _stop(self, task: _Task) -> None:
        """Let a task end: one that has begun sees for itself that its run was taken away."""
        if task.stopped_at is None:
            task.stopped_at = self._clock()
            if not task.has_begun:
                self._cluster.withdraw(task.handle, force=False)

    def _submit(self, waiting: list[Active]) -> None:
        """Make tasks of what is first in the queue, and take back those of what no longer is."""
        now = self._clock()
        self._held = {run_id: until for run_id, until in self._held.items() if until > now}
        first = [run for run in waiting if run.id not in self._held][:LOOKAHEAD]
        tasks = {task.run_id: task for task in self._tasks}
        # Ray begins tasks in the order they came: what is behind a newcomer has to come again.
        newcomer = next((i for i, run in enumerate(first) if run.id not in tasks), len(first))
        in_order = {run.id for run in first[:newcomer]}
        for task in self._tasks:
            if not task.has_begun and task.run_id not in in_order:
                self._stop(task)
        for run in first:
            if run.id in tasks:
                continue
            try:
                spec = self._store.get(run.id).spec
                offered = offers(self._store.kept, spec)
            except OptimError as error:  # of this run alone: others must not wait for it
                self._held[run.id] = self._clock() + HOLD_S
                self.queue.explain([run.id], str(error))
                continue
            self._tasks.append(self._task_for(run, spec, offered))

    def _task_for(self, run: Active, spec: Mapping[str, Any], offered: list[Offer]) -> _Task:
        store, largest = self._store, self._cluster.largest()
        threads = self._needs.cpus or min(CORES_A_JOB, largest)
        # The same number as before, or its result would be another in the last bits.
        threads = run.environment.get("threads") or threads
        order = Order(
            run=run.id,
            spec=spec,
            fence=run.fence,
            driver=self.id,
            version=__version__,
            store=store.database.url.render_as_string(hide_password=False),
            files=self._files(),
            probe=self._probe,
            home=this_home(),
            offers=tuple(offer.to_json() for offer in offered),
            jobs=self._jobs,
            threads=threads,
        )
        needs = replace(self._needs, cpus=min(threads, largest))
        handle = self._cluster.submit(order, needs)
        return _Task(handle, run.id, run.fence + 1, self._clock())

    def _files(self) -> str:
        kept = self._store.kept
        return str(kept.root.resolve()) if isinstance(kept, LocalFiles) else files_url()


def main(arguments: list[str] | None = None) -> None:
    """Give the queue to the cluster, in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m optim.runs.ray_driver")
    parser.add_argument("--jobs", default=JOBS_PATH, help="module:name of the kinds of work")
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds idle before it ends")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s ray driver: %(message)s")
    store, needs = RunStore.open(), needs_of_environment()
    cluster = RayCluster(os.environ.get("RAY_ADDRESS", ""))
    attend(store, lambda: Driver(store, cluster, needs=needs, jobs=options.jobs), options.idle)


if __name__ == "__main__":
    main()
