"""Kill workers, supervisors and database connections at random moments, and lose nothing.

The moments come from a seed and are logged with what was killed, so that a failure can be read.
"""

import itertools
import logging
import random
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from optim.runs.artefacts import is_intact
from optim.runs.engine import LocalEngine
from optim.runs.queue import Queue
from optim.runs.run import State
from optim.runs.store import RunStore
from tests.optim.runs.kinds import PATH, chain

LOG = logging.getLogger(__name__)
RUNS = 52
KILLS = 80
SEED = 3
LIMIT_S = 170
GARBAGE = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA busy_timeout=10000")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE studio_runs SET title = 'garbage', state = 'cancelled', fence = 0")
connection.execute("DELETE FROM studio_epochs")
print("in the middle", flush=True)
time.sleep(600)
"""
"""A program that is killed while it changes everything."""


class Chaos:
    """A store, an engine, and ways to hurt them."""

    def __init__(self, store, seed):
        self.store = store
        self.random = random.Random(seed)
        self.engine = LocalEngine(options=("--jobs", PATH, "--slots", "3", "--idle", "2"))
        self.began = time.monotonic()
        self.killed = {"job": 0, "supervisor": 0, "database": 0}
        self.finished = {}

    def say(self, what):
        LOG.info("%7.3f s  %s", time.monotonic() - self.began, what)

    def pause(self, low, high):
        time.sleep(self.random.uniform(low, high))
        assert time.monotonic() - self.began < LIMIT_S

    def kill(self, kind, pid):
        try:
            psutil.Process(pid).send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return
        self.killed[kind] += 1
        self.say(f"SIGKILL {kind} {pid}")

    def kill_job(self):
        working = [run for run in Queue(self.store).active() if run.state is State.RUNNING]
        if working:
            self.kill("job", int(self.random.choice(working).worker.split(":")[2]))

    def kill_supervisor(self):
        for process in psutil.process_iter(["cmdline"]):
            if "optim.runs.supervisor" in (process.info["cmdline"] or []) and self.is_ours(process):
                self.kill("supervisor", process.pid)
                self.pause(0, 0.3)

    def is_ours(self, process):
        try:
            return process.environ().get("OPTIM_STORE") == str(self.store.database.url)
        except psutil.Error:
            return False

    def kill_database(self):
        """Kill a process in the middle of a change to every run."""
        path = self.store.database.url.database
        process = subprocess.Popen([sys.executable, "-c", GARBAGE, path], stdout=subprocess.PIPE)
        process.stdout.readline()
        self.pause(0, 0.3)
        self.kill("database", process.pid)
        process.communicate()

    def hurt(self):
        harm = self.random.choices(
            [self.kill_job, self.kill_supervisor, self.kill_database], weights=[8, 2, 2]
        )
        harm[0]()

    def look(self):
        """Remember what has finished: it must never be anything else again."""
        for run in self.store.runs():
            if run.id in self.finished:
                assert run == self.finished[run.id]
            elif run.state is State.FINISHED:
                self.finished[run.id] = run


def submit(store, number, seed):
    """Queue the runs of one user: short ones, some of which lose their connections as well."""
    draw = random.Random(seed)
    for i in range(number):
        steps = draw.randint(4, 12)
        spec = {
            "steps": steps,
            "seconds": draw.uniform(0.01, 0.04),
            "size": draw.choice([1, 1000]),
            "loses": draw.sample(range(1, steps + 1), draw.choice([0, 0, 2])),
        }
        store.submit("count", spec, title=f"{seed}-{i}", priority=draw.randint(0, 2))


@pytest.mark.chaos
@pytest.mark.timeout(LIMIT_S + 10)
def test_nothing_is_lost_whatever_is_killed(own_home, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger=__name__)
    monkeypatch.delenv("OPTIM_STORE", raising=False)
    store = RunStore.open()
    chaos = Chaos(store, SEED)
    users = [threading.Thread(target=submit, args=(store, RUNS // 2, seed)) for seed in (1, 2)]
    for user in users:
        user.start()
    chaos.engine.ensure()
    for user in users:
        user.join()
    interrupted = set()
    for round_ in itertools.count():
        chaos.engine.ensure()
        chaos.look()
        stopped = store.runs(states={State.INTERRUPTED})
        for run in stopped:
            assert run.is_resumable
            assert run.error["hint"]
            interrupted.add(run.id)
            chaos.say(f"resume {run.title}")
            store.resume(run.id)
        if not stopped and not store.has_active():
            break
        if sum(chaos.killed.values()) < KILLS:
            chaos.hurt()
        chaos.pause(0.1, 0.5)
        assert round_ < 5000
    chaos.say(f"killed {chaos.killed}, interrupted {len(interrupted)}")
    assert min(chaos.killed.values()) >= 5
    found = store.runs()
    assert len(found) == RUNS
    for run in found:
        steps = run.spec["steps"]
        assert (run.state, run.result) == (State.FINISHED, {"value": chain(steps)}), run
        assert run.title != "garbage"
        assert [row.epoch for row in store.epochs(run.id)] == list(range(1, steps + 1))
        [file] = store.artefacts(run.id)
        assert is_intact(file)
        assert file.path.read_text() == chain(steps) * run.spec["size"]
    chaos.kill_supervisor()
    store.database.close()
