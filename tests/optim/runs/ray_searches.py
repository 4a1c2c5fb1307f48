"""A search from the command line whose trainings are done on a cluster, and a node that dies."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import psutil

from optim.runs.queue import Queue
from optim.runs.run import State
from tests.optim.runs.ray_nodes import ROOT


@dataclass
class Searched:
    """What a search came to.

    Attributes:
        code: With which it ended.
        answer: What it printed; empty if that is no JSON.
        told: What it said meanwhile.
        by_node: Trainings that were seen on each node, by its folder.
        killed: The node that was killed; empty if none was.
        again_s: Seconds from the death of the node until the training that it did went on.
        seconds: In all.
    """

    code: int
    answer: dict
    told: str
    by_node: dict
    killed: str
    again_s: float | None
    seconds: float


def searched(store, nodes, folder, *arguments):
    """Run a search on a cluster of two nodes, and kill the first that has trained an epoch."""
    environment = {
        **os.environ,
        "OPTIM_ENGINE": "ray",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    began = time.monotonic()
    seen, killed, victim, died_at, again = {}, "", "", 0.0, None
    with (folder / "said").open("w") as said, (folder / "answer").open("w") as answer:
        process = subprocess.Popen(
            [sys.executable, "-m", "optim", *arguments, "--parallel", "2", "--json"],
            cwd=folder,
            env=environment,
            stdout=answer,
            stderr=said,
        )
        try:
            while process.poll() is None:
                for run in store.runs(states={State.RUNNING}):
                    home = home_of(store, run) if run.kind.endswith("training") else ""
                    if not home:
                        continue
                    seen.setdefault(home, set()).add(run.id)
                    if not killed and store.epochs(run.id):
                        killed, victim = home, run.id
                        nodes.kill(home)
                        died_at = time.monotonic()
                        nodes.add()
                    elif again is None and run.id == victim and home != killed:
                        again = time.monotonic() - died_at
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
    text = (folder / "answer").read_text()
    return Searched(
        process.returncode,
        json.loads(text) if text.startswith("{") else {},
        (folder / "said").read_text(),
        {home: len(runs) for home, runs in seen.items()},
        killed,
        again,
        time.monotonic() - began,
    )


def home_of(store, run):
    """Return the folder of the node that works on a run; empty if it has just ended."""
    active = [active for active in Queue(store).active() if active.id == run.id]
    if not active or active[0].worker.count(":") < 2:
        return ""
    try:
        return psutil.Process(int(active[0].worker.split(":")[2])).environ()["OPTIM_HOME"]
    except (psutil.Error, KeyError, ValueError):
        return ""
