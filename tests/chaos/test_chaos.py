"""Kill workers, supervisors, the server and database connections at random, and lose nothing.

The moments come from a seed and are logged with what was killed, so that a failure can be read.
The quick test kills what works on the runs; the slow one has the real app as well, which is killed
too, and alone sees to it that runs go on. Both print what they did.
"""

import itertools
import json
import logging
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import psutil
import pytest

from optim.runs.artefacts import is_intact
from optim.runs.engine import LocalEngine
from optim.runs.queue import Queue
from optim.runs.run import ACTIVE, State
from optim.runs.store import RunStore
from tests.optim.runs.kinds import PATH, chain

LOG = logging.getLogger(__name__)
SERVER = Path(__file__).with_name("server.py")
OPTIONS = ("--jobs", PATH, "--slots", "3", "--idle", "5")
CHANGE_ALL = """
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


@dataclass(frozen=True)
class Plan:
    """How much is done, and what is hurt how often.

    Attributes:
        runs: At least so many are submitted.
        kills: At least so many processes are killed.
        least: Of each kind at least so many.
        harms: ``{what is hurt: weight}``.
        step_s: Shortest and longest time that a step of a run takes; it has four to twelve.
        held_s: Longest time for which the database is held before its holder is killed.
        limit_s: It takes no longer.
        seed: Of everything that is drawn.
    """

    runs: int
    kills: int
    least: int
    harms: dict[str, int]
    step_s: tuple[float, float]
    held_s: float
    limit_s: float
    seed: int = 3


QUICK = Plan(
    runs=20,
    kills=20,
    least=2,
    harms={"job": 8, "supervisor": 2, "database": 2},
    step_s=(0.01, 0.04),
    held_s=0.3,
    limit_s=150,
)
WHOLE = Plan(
    runs=60,
    kills=80,
    least=6,
    harms={"job": 8, "supervisor": 2, "database": 2, "server": 2},
    step_s=(0.05, 0.2),
    held_s=7.0,  # longer than SQLite waits: everybody is told that it is locked
    limit_s=900,
)
WAITING = 6
"""So many runs are active at once: one more is submitted when one has ended."""


class Server:
    """The app, started again by hand after it was killed."""

    def __init__(self, home):
        self.log = home / "server.log"
        self.process = None
        self.started = 0

    def start(self):
        """Start it, and wait until it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(SERVER), str(port)], stdout=log, stderr=log
            )
        self.started += 1
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).read()
                return
            except (URLError, OSError):
                time.sleep(0.1)
        raise AssertionError(f"the app did not start: {self.log.read_text()}")

    def children(self):
        """Return what ends with it; the supervisor does not."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in found if "optim.whatif.service" in child.cmdline()]

    def stop(self):
        """End it in good order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)


class Chaos:
    """A store, whoever sees to it that its runs go on, and ways to hurt them."""

    def __init__(self, store, plan, server=None):
        self.store, self.plan, self.server = store, plan, server
        self.random = random.Random(plan.seed)
        self.engine = LocalEngine(options=OPTIONS)
        self.began = time.monotonic()
        self.killed = Counter()
        self.finished = {}
        self.alone, self.is_over = 0, False

    def say(self, what):
        LOG.info("%7.3f s  %s", time.monotonic() - self.began, what)

    def pause(self, low, high):
        time.sleep(self.random.uniform(low, high))
        assert time.monotonic() - self.began < self.plan.limit_s, dict(self.killed)

    def keep_going(self):
        """Do what a person would who finds the program gone."""
        if self.server is None:
            self.engine.ensure()
        elif self.server.process is None or self.server.process.poll() is not None:
            self.server.start()
            self.say("the server is back")

    def is_enough(self):
        """Return whether all harm of the plan is done."""
        least = min(self.killed[kind] for kind in self.plan.harms)
        return self.killed.total() >= self.plan.kills and least >= self.plan.least

    # --- harm -----------------------------------------------------------------------------------

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
        for process in self.supervisors():
            self.kill("supervisor", process.pid)
            self.pause(0, 0.3)

    def kill_database(self):
        """Kill a process in the middle of a change to every run."""
        path = self.store.database.url.database
        process = subprocess.Popen([sys.executable, "-c", CHANGE_ALL, path], stdout=subprocess.PIPE)
        process.stdout.readline()
        self.pause(0, self.random.choice([0.3, self.plan.held_s]))
        self.kill("database", process.pid)
        process.communicate()

    def kill_server(self):
        """Kill the app, and see that runs go on without it and its children do not."""
        children = self.server.children()
        before = self.progress()
        self.kill("server", self.server.process.pid)
        self.server.process.wait()
        _, left = psutil.wait_procs(children, timeout=30)
        assert not left
        self.pause(0, 1)
        self.alone += self.progress() > before

    def supervisors(self):
        found = [process for process in psutil.process_iter() if self.is_supervisor(process)]
        # A child that was just forked still looks like its parent.
        return [process for process in found if process.ppid() not in {p.pid for p in found}]

    def is_supervisor(self, process):
        try:
            return "optim.runs.supervisor" in process.cmdline() and process.environ().get(
                "OPTIM_STORE"
            ) == str(self.store.database.url)
        except psutil.Error:
            return False

    def hurt(self):
        names, weights = zip(*self.plan.harms.items(), strict=True)
        getattr(self, f"kill_{self.random.choices(names, weights)[0]}")()

    # --- what must hold at any time ---------------------------------------------------------------

    def progress(self):
        return sum(len(self.store.epochs(run.id)) for run in self.store.runs())

    def look(self):
        """Remember what has finished: it must never be anything else again."""
        for run in self.store.runs():
            if run.id in self.finished:
                assert run == self.finished[run.id]
            elif run.state is State.FINISHED:
                self.finished[run.id] = run
                [file] = self.store.artefacts(run.id)
                assert is_intact(file)

    def until_all_have_ended(self, is_busy):
        """Hurt, look and resume until all is done and nobody submits; return what was resumed."""
        resumed = set()
        while True:
            self.keep_going()
            self.look()
            stopped = self.store.runs(states={State.INTERRUPTED})
            for run in stopped:
                assert run.is_resumable
                assert run.error["hint"]
                resumed.add(run.id)
                self.say(f"resume {run.title}")
                self.store.resume(run.id)
            if not self.is_enough():
                self.hurt()
            elif not stopped and not is_busy() and not self.store.has_active():
                return resumed
            self.pause(0.1, 0.5)


def submit(chaos, number, seed):
    """Submit the runs of one user as long as anything is hurt; return how many.

    Some lose their connections while they work.
    """
    store, plan, draw = chaos.store, chaos.plan, random.Random(seed)
    for i in itertools.count():
        while not chaos.is_over and len(store.runs(states=ACTIVE)) >= WAITING:
            time.sleep(0.05)
        if chaos.is_over or (i >= number and chaos.is_enough()):
            return i
        steps = draw.randint(4, 12)
        spec = {
            "steps": steps,
            "seconds": draw.uniform(*plan.step_s),
            "size": draw.choice([1, 1000]),
            "loses": draw.sample(range(1, steps + 1), draw.choice([0, 0, 2])),
        }
        store.submit("count", spec, title=f"{seed}-{i}", priority=draw.randint(0, 2))


def survive(store, plan, server=None):
    """Let two users submit and everything be killed; return what happened."""
    chaos = Chaos(store, plan, server)
    with ThreadPoolExecutor(2) as pool:
        users = [pool.submit(submit, chaos, plan.runs // 2, seed) for seed in (1, 2)]
        try:
            resumed = chaos.until_all_have_ended(lambda: not all(user.done() for user in users))
        finally:
            chaos.is_over = True
        submitted = sum(user.result() for user in users)
    chaos.look()
    found = store.runs()
    assert len(found) == submitted >= plan.runs
    corrupt, lost = [], []
    for run in found:
        steps = run.spec["steps"]
        if (run.state, run.result) != (State.FINISHED, {"value": chain(steps)}):
            lost.append(run)
        assert run.title != "garbage"
        assert [row.epoch for row in store.epochs(run.id)] == list(range(1, steps + 1))
        [file] = store.artefacts(run.id)
        if not is_intact(file) or file.path.read_text() != chain(steps) * run.spec["size"]:
            corrupt.append(file)
    attempts = [e for run in found for e in store.events(run.id) if e.message.startswith("Started")]
    for process in chaos.supervisors():
        process.kill()
    report = {
        "runs": len(found),
        "finished": len(chaos.finished),
        "lost": len(lost),
        "corrupt artefacts": len(corrupt),
        "attempts": len(attempts),
        "interrupted and resumed": len(resumed),
        "killed": dict(chaos.killed),
        "connections dropped": sum(len(run.spec["loses"]) for run in found),
        "seconds": round(time.monotonic() - chaos.began),
        "seed": plan.seed,
    }
    if server is not None:
        report |= {"servers started": server.started, "runs went on without one": chaos.alone}
    chaos.say(json.dumps(report))
    assert (lost, corrupt) == ([], [])
    return report


@pytest.fixture
def store(own_home, monkeypatch, caplog):
    """An empty store, and a log of every kill that is shown when something fails."""
    caplog.set_level(logging.INFO, logger=__name__)
    monkeypatch.delenv("OPTIM_STORE", raising=False)
    monkeypatch.delenv("OPTIM_ENGINE", raising=False)
    store = RunStore.open()
    yield store
    store.database.close()


@pytest.fixture
def told(capsys):
    """Return a function that prints a report although pytest keeps what tests print."""

    def told(report):
        with capsys.disabled():
            print(f"\nchaos: {json.dumps(report)}")  # noqa: T201

    return told


@pytest.mark.chaos
@pytest.mark.timeout(QUICK.limit_s + 10)
def test_nothing_is_lost_when_workers_supervisors_and_connections_are_killed(store, told):
    report = survive(store, QUICK)
    told(report)
    assert report["connections dropped"] >= 4


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(WHOLE.limit_s + 10)
def test_nothing_is_lost_when_the_server_is_killed_as_well(store, told, own_home):
    server = Server(own_home)
    try:
        report = survive(store, WHOLE, server)
    finally:
        server.stop()
    told(report)
    assert report["connections dropped"] >= 20
    assert report["servers started"] == report["killed"]["server"] + 1
    assert report["runs went on without one"]
