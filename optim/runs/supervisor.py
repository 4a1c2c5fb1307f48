"""The process that looks after all others: ``python -m optim.runs.supervisor``, one a store.

It starts a child for every run that is to be worked on, notices at once when one dies, stops those
whose run was cancelled or paused, and computes nothing itself. One child that has loaded everything
waits for the next run, so that a run starts without delay.

It ends by itself when there was nothing to do for a while; :mod:`optim.runs.engine` starts it
again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil

from optim.errors import RunError
from optim.hashing import digest
from optim.processes import child_environment
from optim.runs.checkpoint import forget_checkpoints
from optim.runs.job import JOBS_PATH
from optim.runs.lock import Lock
from optim.runs.queue import Active, Queue
from optim.runs.run import State
from optim.runs.store import RunStore
from optim.runs.tidy import tidy

__all__ = [
    "CORES_A_JOB",
    "GRACE_S",
    "IDLE_S",
    "POLL_S",
    "STALE_S",
    "Attendant",
    "Supervisor",
    "attend",
    "default_slots",
    "main",
    "place_of",
    "work",
]

_LOG = logging.getLogger(__name__)
POLL_S = 0.2
"""How often the store is asked what has changed."""
GRACE_S = 1.5
"""How long a child may take to stop before it is killed."""
BEAT_S = 10.0
STALE_S = 60.0
"""After so long without a sign of life a run of another machine is taken over."""
IDLE_S = 900.0
WARM_AFTER_S = 5.0
"""A waiting child is started only when nothing else starts: loading takes the same cores."""
CORES_A_JOB = 4
MEMORY_A_JOB = 1_500_000_000


def default_slots() -> int:
    """Return how many jobs this machine does at once: one for every four cores."""
    return max(1, (os.cpu_count() or 1) // CORES_A_JOB)


@dataclass(eq=False)
class _Child:
    """A process that does one job, or waits for one.

    Attributes:
        process: The process.
        worker: Its name in the store.
        run_id: What it works on; empty while it waits.
        fence: Its attempt.
        stopped_at: When it was asked to stop.
    """

    process: subprocess.Popen[str]
    worker: str
    run_id: str = ""
    fence: int = 0
    stopped_at: float | None = None


class Supervisor:
    """Does what the queue says, one :meth:`tick` after the other.

    Args:
        store: Where runs are kept.
        slots: Most jobs at once.
        threads: Threads a job computes with; by default all cores but one, shared by the slots.
        jobs: ``module:name`` of the kinds of work.
        warm: Whether one child is kept waiting.
        only: Id of the run to do; all that wait if empty.
        place: What its workers' names begin with, as ``host:place:``; made of this machine and
            its folder if empty.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        store: RunStore,
        *,
        slots: int | None = None,
        threads: int | None = None,
        jobs: str = JOBS_PATH,
        warm: bool = True,
        only: str = "",
        place: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue = Queue(store, only)
        self.slots = slots or default_slots()
        self.threads = threads or max(1, ((os.cpu_count() or 1) - 1) // self.slots)
        self.children: list[_Child] = []
        self.busy_at = clock()
        # Two supervisors of one database have different folders, or are on different machines.
        self._place = place or place_of(store)
        self._command = [sys.executable, "-m", "optim.runs.job", "--jobs", jobs]
        self._environment = {
            **child_environment(),
            "OPTIM_STORE": store.database.url.render_as_string(hide_password=False),
        }
        self._warm = warm
        self._clock = clock
        self._started_at = self._beaten_at = clock()
        self._ended = threading.Event()

    # --- one round --------------------------------------------------------------------------

    def tick(self, *, takes: bool = True) -> None:
        """Look once at children and store, and act.

        Args:
            takes: Whether runs that wait are begun.

        Raises:
            RunError: If the store cannot be reached; children go on meanwhile.
        """
        self._kill_stuck()
        self._reap()
        active = self.queue.active()
        self._adopt(active)
        self._follow({run.id: run for run in active})
        if takes:
            self._start([run for run in active if run.state is State.QUEUED])
        self._keep_warm()
        self._beat()
        if active or self._busy:
            self.busy_at = self._clock()

    def wait(self) -> None:
        """Wait until the next round is due, or a child has ended."""
        deadlines = [c.stopped_at + GRACE_S for c in self.children if c.stopped_at is not None]
        until = min([self._clock() + POLL_S, *deadlines])
        self._ended.wait(max(0.0, until - self._clock()))
        self._ended.clear()

    def shut_down(self) -> None:
        """Stop all children; their runs wait for the next supervisor."""
        for child in self.children:
            self._stop(child)
        while any(child.process.poll() is None for child in self.children):
            self._kill_stuck()
            self.wait()
        try:
            for child in self._busy:
                why = "The supervisor was stopped."
                self.queue.give_back(child.run_id, child.fence, why, counts=False)
        except RunError as error:
            _LOG.warning("the next supervisor has to find out: %s", error)
        for child in self.children:
            _close(child.process)
        self.children.clear()

    def _adopt(self, active: list[Active]) -> None:
        """Give back the runs of an earlier supervisor of this place, or of a machine gone."""
        mine = {child.worker for child in self._busy}
        for run in active:
            if run.state is not State.RUNNING or run.worker in mine:
                continue
            if run.worker.startswith(self._place):
                _end_leftover(run.worker)
            elif self.queue.store.clock() - run.seen_at < STALE_S:
                continue
            why = "Its supervisor was gone."
            self.queue.give_back(run.id, run.fence, why, until=run.seen_at)

    # --- children ---------------------------------------------------------------------------

    @property
    def _busy(self) -> list[_Child]:
        return [child for child in self.children if child.run_id]

    @property
    def _waiting(self) -> list[_Child]:
        return [c for c in self.children if not c.run_id and c.stopped_at is None]

    def _reap(self) -> None:
        """Let go of children that have ended; a run that did not end with its child is requeued."""
        for child in list(self.children):
            code = child.process.poll()
            if code is None:
                continue
            if child.run_id:
                self._give_back(child, code)
            elif child.stopped_at is None:
                _LOG.warning("a waiting child ended with code %d", code)
            self.children.remove(child)
            _close(child.process)

    def _give_back(self, child: _Child, code: int) -> None:
        cause = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        state = self.queue.give_back(child.run_id, child.fence, f"Its worker {cause}.")
        if state is None and self.queue.has_finished(child.run_id):
            forget_checkpoints(self.queue.store.kept, child.run_id)

    def _follow(self, active: dict[str, Active]) -> None:
        """Stop children whose run is no longer theirs, or has had its time."""
        for child in self._busy:
            run = active.get(child.run_id)
            if run is None or run.state is not State.RUNNING or run.fence != child.fence:
                self._stop(child)
            elif run.is_over_budget:
                self.queue.interrupt(
                    child.run_id,
                    child.fence,
                    f"Its time budget of {run.budget_s:g} s is used up.",
                    "Resume it to go on for as long again.",
                )
                self._stop(child)

    def _start(self, waiting: list[Active]) -> None:
        """Start what is first in the queue, as far as there is room."""
        taken = {child.run_id for child in self._busy}
        for run in waiting:
            if not self._has_room():
                return
            if run.id in taken:
                continue  # its last worker is still stopping
            child = next(iter(self._waiting), None) or self._spawn()
            fence = self.queue.take(run, child.worker)
            if fence is None:
                continue
            child.run_id, child.fence = run.id, fence
            threads = run.environment.get("threads") or self.threads
            self._order(child, {"run": run.id, "fence": fence, "threads": threads})
            self._started_at = self._clock()

    def _has_room(self) -> bool:
        busy = len(self._busy)
        if not busy:
            return True
        return busy < self.slots and psutil.virtual_memory().available > MEMORY_A_JOB

    def _keep_warm(self) -> None:
        if (
            self._warm
            and not self._waiting
            and self._clock() - self._started_at > WARM_AFTER_S
            and psutil.virtual_memory().available > 2 * MEMORY_A_JOB
        ):
            self._started_at = self._clock()
            self._spawn()

    def _spawn(self) -> _Child:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=sys.stderr,
                text=True,
                encoding="utf-8",
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise RunError(f"A worker cannot be started: {error.strerror}.") from error
        child = _Child(process, f"{self._place}{_name_of(process.pid)}")
        self.children.append(child)
        threading.Thread(target=self._announce_end, args=(process,), daemon=True).start()
        return child

    def _announce_end(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        self._ended.set()

    def _order(self, child: _Child, order: dict[str, object]) -> None:
        assert child.process.stdin is not None
        try:
            child.process.stdin.write(json.dumps(order) + "\n")
            child.process.stdin.flush()
        except OSError:
            _LOG.warning("the worker of run %s died before it began", child.run_id)

    def _stop(self, child: _Child) -> None:
        """Ask a child to stop; :meth:`_kill_stuck` sees to it that it does."""
        if child.stopped_at is None:
            child.stopped_at = self._clock()
            child.process.terminate()

    def _kill_stuck(self) -> None:
        for child in self.children:
            if child.stopped_at is not None and self._clock() - child.stopped_at >= GRACE_S:
                _kill(child.process)

    def _beat(self) -> None:
        if self._busy and self._clock() - self._beaten_at >= BEAT_S:
            self._beaten_at = self._clock()
            self.queue.beat([child.run_id for child in self._busy])


def work(
    *,
    slots: int | None = None,
    threads: int | None = None,
    jobs: str = JOBS_PATH,
    warm: bool = True,
    idle_s: float | None = None,
) -> bool:
    """Work on the queue of the store until asked to stop, or idle for too long.

    Args:
        slots: See :class:`Supervisor`.
        threads: See :class:`Supervisor`.
        jobs: See :class:`Supervisor`.
        warm: See :class:`Supervisor`.
        idle_s: End after so long with nothing to do; None to go on for ever.

    Returns:
        Whether it did; False if another process does already.
    """
    store = RunStore.open()
    return attend(
        store,
        lambda: Supervisor(store, slots=slots, threads=threads, jobs=jobs, warm=warm),
        idle_s,
    )


class Attendant(Protocol):
    """Whoever does what the queue of a store says."""

    busy_at: float

    def tick(self) -> None:
        """Do one round."""
        ...

    def wait(self) -> None:
        """Wait for the next one."""
        ...

    def shut_down(self) -> None:
        """Stop what runs; it waits for the next attendant."""
        ...


def attend(store: RunStore, begin: Callable[[], Attendant], idle_s: float | None) -> bool:
    """Let one attendant work, the only one of this store on this machine; see :func:`work`."""
    with Lock(store.files / "supervisor.lock") as lock:
        if not lock.take():
            return False
        supervisor = begin()
        stop: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: stop.append(number))
        try:
            tidy(store)
        except (RunError, OSError) as error:
            _LOG.warning("not tidied: %s", error)
        # Whoever removes the folder of the store needs no supervisor any more.
        while not stop and lock.path.exists():
            _round(supervisor)
            if idle_s is not None and time.monotonic() - supervisor.busy_at > idle_s:
                # Whoever submits from here on finds the lock free and starts another.
                lock.release()
                if not store.has_active() or not lock.take():
                    break
                supervisor.busy_at = time.monotonic()
            supervisor.wait()
        supervisor.shut_down()
    return True


def _round(supervisor: Attendant) -> None:
    """Do one round; a store that cannot be reached is asked again in the next."""
    try:
        supervisor.tick()
    except RunError as error:
        _LOG.warning("%s", error)
        time.sleep(1.0)


def place_of(store: RunStore) -> str:
    """Return what the names of workers begin with that this machine starts for a store."""
    return f"{platform.node()}:{digest(str(store.files.resolve()))[:8]}:"


def _name_of(pid: int) -> str:
    """Return what tells a process from a later one with the same number."""
    try:
        return f"{pid}:{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return f"{pid}:gone"


def _end_leftover(worker: str) -> None:
    """Kill the process of a worker if it is still there."""
    pid, _, started = worker.split(":", 2)[2].partition(":")
    if _name_of(int(pid)) == f"{pid}:{started}":
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(int(pid)).kill()


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a child and what it has started."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _close(process: subprocess.Popen[str]) -> None:
    """Close the input of a child that has ended; an order it did not read is lost with it."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()


def main(arguments: list[str] | None = None) -> None:
    """Work on the queue in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m optim.runs.supervisor")
    parser.add_argument("--jobs", default=JOBS_PATH, help="module:name of the kinds of work")
    parser.add_argument("--slots", type=int, help="most jobs at once")
    parser.add_argument("--threads", type=int, help="threads a job computes with")
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds idle before it ends")
    parser.add_argument("--cold", action="store_true", help="keep no child waiting")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s supervisor: %(message)s")
    work(
        slots=options.slots,
        threads=options.threads,
        jobs=options.jobs,
        warm=not options.cold,
        idle_s=options.idle,
    )


if __name__ == "__main__":
    main()
