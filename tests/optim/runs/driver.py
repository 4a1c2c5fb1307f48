"""A supervisor that works in the process of a test, until something holds."""

import time

from optim.runs.supervisor import Supervisor
from tests.optim.runs.kinds import PATH

LIMIT_S = 240
"""A failure that would otherwise hang; a busy machine takes its time over eight workers."""


class Driver:
    """Lets a supervisor work in this process until something holds."""

    def __init__(self, store, *, jobs=PATH, **options):
        self.store = store
        self.supervisor = Supervisor(store, jobs=jobs, **{"slots": 1, "warm": False, **options})

    def until(self, holds):
        limit = time.monotonic() + LIMIT_S
        while not holds():
            assert time.monotonic() < limit, self.states()
            self.supervisor.tick()
            self.supervisor.wait()

    def until_idle(self):
        self.until(lambda: not self.store.has_active() and not self.supervisor.children)

    def until_state(self, run, state):
        self.until(lambda: self.store.get(run.id).state is state)

    def until_progress(self, run):
        self.until(lambda: self.store.get(run.id).progress > 0)

    def child(self, run):
        [child] = [c for c in self.supervisor.children if c.run_id == run.id]
        return child.process

    def states(self):
        return [(run.kind, str(run.state)) for run in self.store.runs()]

    def close(self):
        """End all workers, whatever they do."""
        for child in self.supervisor.children:
            child.process.kill()
            child.process.wait()
            child.process.stdin.close()
