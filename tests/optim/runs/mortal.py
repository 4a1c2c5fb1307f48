"""Recipes whose worker kills itself at a chosen point of a training, once an attempt.

``spec["dies"]`` lists the points, one an attempt: ``[place, step, n]`` dies when ``place`` is
reached for the ``n``-th time while ``step`` is at work. ``spec["hangs"]`` is a point at which the
first attempt computes for minutes, ``spec["waits"]`` one at which it goes on only when it has been
asked to stop. ``spec["every"]`` is the number of training steps between two
states that are saved in mid-epoch; it stands in for the minute of
:data:`optim.runs.checkpoint.INTERVAL_S`, for which a test need not wait. Where a step goes on is
noted as an event.

=============  ====================================================================
``begins``     a step asks for its states
``step``       the loop asks whether to stop, before every training step
``half saved`` a state is written to its temporary name, and not renamed
``saved``      the state of an epoch is saved, and its figures are not
``recorded``   its figures are
``stored``     the result of a step is
=============  ====================================================================
"""

import hashlib
import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from optim.models import checkpoint as models
from optim.runs.checkpoint import Checkpoint
from optim.runs.jobs import JOBS
from optim.runs.work import Work

PATH = "tests.optim.runs.mortal:KINDS"


class _Fate:
    """Where this attempt ends."""

    def __init__(self, work):
        spec, attempt = work.run.spec, work._lease.fence
        dies = dict(enumerate(spec.get("dies", []), 1))
        self.point, self.end = dies.get(attempt), _die
        for name, do in (("hangs", _hang), ("waits", _wait)):
            if name in spec and attempt == 1:
                self.point, self.end = spec[name], partial(do, work)
        self.step, self.reached, self.asked = "", 0, 0

    def reach(self, place):
        """End here if this is the point."""
        if self.point is None or [place, self.step] != self.point[:2]:
            return
        self.reached += 1
        if self.reached == self.point[2]:
            self.end()


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(work):
    """Stay inside one call, as a convolution would: Python cannot act on a signal meanwhile."""
    work.event("It is there.")
    hashlib.pbkdf2_hmac("sha256", b"long", b"step", 10**9)


def _wait(work):
    work.event("It is there.")
    while work._asked_at is None:
        time.sleep(0.01)


def _around(owner, name, before=lambda *args: None, after=lambda *args: None):
    """Let something happen around every call of a function."""
    plain = getattr(owner, name)

    def called(*args, **kwargs):
        before(*args)
        found = plain(*args, **kwargs)
        after(*args)
        return found

    setattr(owner, name, called)


def _mortal(kind):
    def work(work):
        fate, every = _Fate(work), work.run.spec["every"]

        def begins(self, step):
            fate.step = step
            fate.reach("begins")

        def renames(path, target):
            if Path(target).suffix == ".checkpoint":
                fate.reach("half saved")

        def due(self):
            fate.asked += 1
            return self._is_urgent() or fate.asked % every == 0

        def goes_on(self):
            state = load(self)
            if state is not None and "position" in state:
                work.event(f"{self.step} from epoch {state['epoch']}, step {state['position']}")
            return state

        load = Checkpoint.load
        Checkpoint.due, Checkpoint.load = due, goes_on
        _around(Work, "checkpoint", before=begins)
        _around(Work, "check", before=lambda self: fate.reach("step"))
        _around(Path, "replace", before=renames)
        _around(
            Work,
            "record",
            before=lambda self, *row: fate.reach("saved"),
            after=lambda self, *row: fate.reach("recorded"),
        )
        _around(models, "save_checkpoint", after=lambda *result: fate.reach("stored"))
        return kind.work(work)

    return replace(kind, work=work)


KINDS = {name: _mortal(kind) for name, kind in JOBS.items()}
