"""How soon runs are started, stopped, and going again after a kill.

Real processes and real SIGKILLs; jobs load torch as recipes do, and train nothing. What is asked
of the store is asked every 5 ms.

    python bench/runs.py
"""

from __future__ import annotations

import hashlib
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import psutil
from common import ROOT, record

from optim.runs.engine import LocalEngine
from optim.runs.jobs import JOBS
from optim.runs.queue import Queue
from optim.runs.run import Run, State
from optim.runs.store import RunStore
from optim.runs.supervisor import WARM_AFTER_S
from optim.runs.work import Kind, Work

ROUNDS = 10
LOOK_S = 0.005
EPOCH_S = 0.2
LIMIT_S = 60


def count(work: Work) -> dict[str, Any]:
    """Stand in for a training step: epochs, figures, checkpoints."""
    states = work.checkpoint("count")
    state = states.load() or {"epoch": 0, "value": ""}
    for epoch in range(state["epoch"] + 1, work.run.spec["epochs"] + 1):
        for _ in range(20):
            work.check()
            time.sleep(EPOCH_S / 20)
        value = hashlib.sha256(f"{state['value']}{epoch}".encode()).hexdigest()
        state = {"epoch": epoch, "value": value}
        work.record("count", {"epoch": epoch, "loss": 1 / epoch})
        states.save(state)
        work.progress(epoch / work.run.spec["epochs"], f"epoch {epoch}")
    return {"value": state["value"]}


def stuck(work: Work) -> dict[str, Any]:
    """Notice nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    work.progress(0.5, "stuck")
    time.sleep(600)
    return {}


KINDS = {
    name: Kind(name, do, JOBS["recipe"].prepare)
    for name, do in [("count", count), ("stuck", stuck)]
}


class Bench:
    """A store of its own and its supervisor."""

    def __init__(self, url: str) -> None:
        self.store = RunStore.open(url)
        self.engine = LocalEngine(url, ("--jobs", "runs:KINDS", "--slots", "1"))

    def submit(self, kind: str = "count", epochs: int = 10**6) -> Run:
        """Queue something that ends only when it is told to."""
        return self.store.submit(kind, {"epochs": epochs}, max_attempts=100)

    def worker(self, run: Run) -> int:
        """Return the process that works on a run."""
        [active] = [a for a in Queue(self.store).active() if a.id == run.id]
        return int(active.worker.split(":")[2])

    def supervisor(self) -> psutil.Process:
        """Return the supervisor's process."""
        found = [
            p
            for p in psutil.process_iter(["cmdline"])
            if "optim.runs.supervisor" in (p.info["cmdline"] or [])
            and p.environ().get("OPTIM_STORE") == self.engine.url
        ]
        return min(found, key=psutil.Process.create_time)  # a child that is just forked looks alike

    def waiting(self, run: Run | None = None) -> psutil.Process:
        """Return the child that has loaded everything and waits."""
        busy = self.worker(run) if run else 0
        found: list[psutil.Process] = []

        def idle() -> bool:
            found[:] = [p for p in self.supervisor().children() if p.pid != busy]
            try:
                return len(found) == 1 and found[0].cpu_percent(0.3) == 0 and rss(found[0]) > 150e6
            except psutil.NoSuchProcess:
                return False  # it was the one of the run before

        until(idle)
        return found[0]

    def progressed(self, run: Run) -> Callable[[], bool]:
        """Return whether there are more figures than now."""
        before = len(self.store.epochs(run.id))
        return lambda: len(self.store.epochs(run.id)) > before


def until(holds: Callable[[], bool]) -> float:
    """Return the seconds until something holds."""
    start = time.perf_counter()
    while not holds():
        time.sleep(LOOK_S)
        if time.perf_counter() - start > LIMIT_S:
            raise RuntimeError("it never happened")
    return time.perf_counter() - start


def rss(process: psutil.Process) -> int:
    return process.memory_info().rss


def gone(pid: int) -> Callable[[], bool]:
    def check() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return check


def summary(seconds: list[float]) -> dict[str, float]:
    return {
        "median_s": round(statistics.median(seconds), 3),
        "max_s": round(max(seconds), 3),
        "n": len(seconds),
    }


def start(bench: Bench, warm: bool) -> float:
    """Return the time from a submission until the work has begun."""
    if warm:
        bench.waiting()
    run = bench.submit()
    taken = until(lambda: bool(bench.store.get(run.id).environment))
    bench.store.cancel(run.id)
    until(lambda: not bench.supervisor().children() or not Queue(bench.store).active())
    return taken


def kill_job(bench: Bench, warm: bool) -> tuple[float, float]:
    """Return the times from a kill until the run waits again, and until it makes progress."""
    run = bench.submit()
    until(bench.progressed(run))
    if warm:
        bench.waiting(run)
    fence = Queue(bench.store).active()[0].fence
    events = len(bench.store.events(run.id))
    os.kill(bench.worker(run), signal.SIGKILL)
    again = bench.progressed(run)
    requeued = until(lambda: len(bench.store.events(run.id)) > events)
    taken = requeued + until(again)
    assert Queue(bench.store).active()[0].fence == fence + 1
    bench.store.cancel(run.id)
    return requeued, taken


def kill_supervisor(bench: Bench) -> tuple[float, float]:
    """Return the times from a kill until the job is gone, and from the next start to progress."""
    run = bench.submit()
    until(bench.progressed(run))
    worker = bench.worker(run)
    bench.supervisor().kill()
    orphan = until(gone(worker))
    again = bench.progressed(run)
    bench.engine.ensure()
    taken = until(again)
    bench.store.cancel(run.id)
    return orphan, taken


def cancel(bench: Bench, kind: str) -> float:
    """Return the time from a cancellation until the process is gone."""
    run = bench.submit(kind)
    until(lambda: bench.store.get(run.id).progress > 0)
    worker = bench.worker(run)
    bench.store.cancel(run.id)
    return until(gone(worker))


def equal_after_kills(bench: Bench) -> bool:
    """Return whether a run that was killed three times ends as one that was not."""
    unbroken, broken = bench.submit(epochs=12), bench.submit(epochs=12)
    until(lambda: bench.store.get(unbroken.id).state is State.FINISHED)
    for _ in range(3):
        until(bench.progressed(broken))
        os.kill(bench.worker(broken), signal.SIGKILL)
    until(lambda: bench.store.get(broken.id).state is State.FINISHED)
    figures = [[(r.epoch, r.figures) for r in bench.store.epochs(x.id)] for x in (unbroken, broken)]
    same = bench.store.get(unbroken.id).result == bench.store.get(broken.id).result
    return same and figures[0] == figures[1] and len(figures[0]) == 12


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["OPTIM_HOME"] = home
        os.environ["PYTHONPATH"] = str(ROOT / "bench")
        bench = Bench(f"sqlite:///{home}/runs.db")
        bench.engine.ensure()
        until(lambda: (bench.store.files / "supervisor.lock").exists())
        time.sleep(1)
        cold_start = start(bench, warm=False)
        time.sleep(WARM_AFTER_S)
        supervisor, waiting = bench.supervisor(), bench.waiting()
        memory = {"supervisor_bytes": rss(supervisor), "waiting_child_bytes": rss(waiting)}
        supervisor.cpu_percent()
        time.sleep(20)
        idle_cpu = supervisor.cpu_percent() / 100
        warm_starts = [start(bench, warm=True) for _ in range(ROUNDS)]
        warm_kills = [kill_job(bench, warm=True) for _ in range(ROUNDS)]
        cold_kills = [kill_job(bench, warm=False) for _ in range(ROUNDS)]
        cancels = [cancel(bench, "count") for _ in range(ROUNDS)]
        stuck_cancels = [cancel(bench, "stuck") for _ in range(ROUNDS)]
        supervisor_kills = [kill_supervisor(bench) for _ in range(ROUNDS)]
        same = equal_after_kills(bench)
        last = bench.supervisor()
        last.terminate()
        last.wait(LIMIT_S)
        bench.store.database.close()
        results = {
            "submitted_until_begun": {
                "waiting_child": summary(warm_starts),
                "no_waiting_child": summary([cold_start]),
            },
            "job_killed_until_requeued": summary([a for a, _ in warm_kills + cold_kills]),
            "job_killed_until_progress": {
                "waiting_child": summary([b for _, b in warm_kills]),
                "no_waiting_child": summary([b for _, b in cold_kills]),
            },
            "supervisor_killed_until_job_gone": summary([a for a, _ in supervisor_kills]),
            "supervisor_restarted_until_progress": summary([b for _, b in supervisor_kills]),
            "cancelled_until_gone": summary(cancels),
            "cancelled_until_gone_stuck": summary(stuck_cancels),
            "equal_after_three_kills": same,
            "memory": memory,
            "supervisor_idle_share_of_a_core": round(idle_cpu, 4),
            "epoch_s": EPOCH_S,
        }
        record("runs", results)


if __name__ == "__main__":
    main()
