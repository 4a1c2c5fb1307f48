"""What a Ray cluster costs against the local engine, and how soon runs of a dead node go on.

Two nodes with one core each and a head without, on this machine, each with a folder of its own; the
store is SQLite, files are shared by a folder. Nodes die by a SIGKILL of their raylet. Submissions
to both engines take turns; neither keeps a process warm. Jobs load torch as recipes do, and train
nothing. What is asked of the store is asked every 5 ms.

    make ray && .venv/bin/python bench/cluster.py
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
from common import ROOT, record
from runs import EPOCH_S, gone, summary, until

from optim.runs.engine import LocalEngine
from optim.runs.queue import Queue
from optim.runs.ray_engine import RayEngine
from optim.runs.run import Run, State
from optim.runs.store import RunStore
from tests.optim.runs.ray_nodes import Held

STARTS = 10
KILLS = 6
CANCELS = 6
JOBS = ("--jobs", "runs:KINDS")


class Side:
    """A store and its engine."""

    def __init__(self, url: str, engine: LocalEngine | RayEngine) -> None:
        self.store = RunStore.open(url)
        self.engine = engine

    def submit(self, epochs: int = 10**6, kind: str = "count") -> Run:
        """Queue something, and see that it is worked on."""
        run = self.store.submit(kind, {"epochs": epochs}, max_attempts=100)
        self.engine.ensure()
        return run

    def worker(self, run: Run) -> psutil.Process:
        """Return the process that works on a run."""
        [active] = [a for a in Queue(self.store).active() if a.id == run.id]
        return psutil.Process(int(active.worker.split(":")[2]))

    def progressed(self, run: Run) -> Callable[[], bool]:
        """Return whether there are more figures than now."""
        before = len(self.store.epochs(run.id))
        return lambda: len(self.store.epochs(run.id)) > before

    def cancel(self, run: Run) -> float:
        """Return the time from a cancellation until the process is gone."""
        worker = self.worker(run)
        self.store.cancel(run.id)
        return until(gone(worker.pid))

    def end(self) -> None:
        """Stop what looks after the queue."""
        for process in psutil.process_iter(["cmdline"]):
            module = {"optim.runs.supervisor", "optim.runs.ray_driver"} & set(
                process.info["cmdline"] or []
            )
            with contextlib.suppress(psutil.Error):
                if module and process.environ().get("OPTIM_STORE") == self.engine.url:
                    process.terminate()
                    process.wait(30)
        self.store.database.close()


def start(side: Side) -> float:
    """Return the time from a submission until the work has begun."""
    run = side.submit()
    taken = until(lambda: bool(side.store.get(run.id).environment))
    side.cancel(run)
    time.sleep(1.0)
    return taken


def cancel(side: Side, kind: str) -> float:
    run = side.submit(kind=kind)
    until(lambda: side.store.get(run.id).progress > 0)
    return side.cancel(run)


def kill_node(side: Side, nodes: Held) -> tuple[float, float]:
    """Return the times from the death of a node until its run waits, and until it progresses."""
    run = side.submit()
    until(side.progressed(run))
    home = side.worker(run).environ()["OPTIM_HOME"]
    events = len(side.store.events(run.id))
    nodes.kill(home)
    requeued = until(lambda: len(side.store.events(run.id)) > events)
    assert side.store.events(run.id)[-1].message.startswith("Its node died.")
    taken = requeued + until(side.progressed(run))
    side.cancel(run)
    nodes.add()
    return requeued, taken


def equal_after_kills(side: Side, nodes: Held) -> bool:
    """Return whether a run whose node was killed twice ends as one whose node was not."""
    unbroken = side.submit(12)
    until(lambda: side.store.get(unbroken.id).state is State.FINISHED)
    broken = side.submit(12)
    for _ in range(2):
        until(side.progressed(broken))
        nodes.kill(side.worker(broken).environ()["OPTIM_HOME"])
        nodes.add()
    until(lambda: side.store.get(broken.id).state is State.FINISHED)
    figures = [[(r.epoch, r.figures) for r in side.store.epochs(x.id)] for x in (unbroken, broken)]
    same = side.store.get(unbroken.id).result == side.store.get(broken.id).result
    return same and figures[0] == figures[1] and len(figures[0]) == 12


@contextlib.contextmanager
def prepared(home: Path) -> Iterator[tuple[Side, Side, Held]]:
    os.environ["OPTIM_HOME"] = str(home / "web")
    os.environ["OPTIM_FILES"] = str(home / "share")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "bench"), str(ROOT)])
    nodes = Held(home / "nodes", path=ROOT / "bench")
    os.environ["RAY_ADDRESS"] = nodes.address
    urls = [f"sqlite:///{home}/{name}.db" for name in ("local", "ray")]
    local = Side(urls[0], LocalEngine(urls[0], (*JOBS, "--slots", "1", "--cold")))
    ray = Side(urls[1], RayEngine(urls[1], JOBS))
    try:
        yield local, ray, nodes
    finally:
        local.end()
        ray.end()
        nodes.close()


def main() -> None:
    if find_spec("ray") is None:
        print("not run: ray is not installed (make ray)")
        return
    with tempfile.TemporaryDirectory() as folder, prepared(Path(folder)) as (local, ray, nodes):
        first = {"local": start(local), "ray": start(ray)}
        starts = [(start(local), start(ray)) for _ in range(STARTS)]
        locals_, rays = (list(times) for times in zip(*starts, strict=True))
        cancels = [cancel(ray, "count") for _ in range(CANCELS)]
        stuck_cancels = [cancel(ray, "stuck") for _ in range(CANCELS)]
        kills = [kill_node(ray, nodes) for _ in range(KILLS)]
        same = equal_after_kills(ray, nodes)
        ratio = summary(rays)["median_s"] / summary(locals_)["median_s"]
        results: dict[str, Any] = {
            "ray": version("ray"),
            "first_submission_until_begun_s": {k: round(v, 3) for k, v in first.items()},
            "submitted_until_begun": {"local": summary(locals_), "ray": summary(rays)},
            "ray_times_local": round(ratio, 2),
            "overhead_s": round(summary(rays)["median_s"] - summary(locals_)["median_s"], 3),
            "cancelled_until_gone": summary(cancels),
            "cancelled_until_gone_stuck": summary(stuck_cancels),
            "node_killed_until_requeued": summary([a for a, _ in kills]),
            "node_killed_until_progress": summary([b for _, b in kills]),
            "equal_after_two_dead_nodes": same,
            "epoch_s": EPOCH_S,
        }
        record("cluster", results)


if __name__ == "__main__":
    main()
