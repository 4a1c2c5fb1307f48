"""Kinds of work for tests: they need no torch, and do as they are told."""

import hashlib
import io
import json
import os
import signal
import time

from optim.errors import RunError
from optim.runs import checkpoint
from optim.runs.work import Kind

PATH = "tests.optim.runs.kinds:KINDS"


def link(value, i):
    """Return the next value of a chain: equal only if no step was left out or made twice."""
    return hashlib.sha256(f"{value}{i}".encode()).hexdigest()[:16]


def chain(steps):
    """Return what :func:`_count` arrives at."""
    value = ""
    for i in range(1, steps + 1):
        value = link(value, i)
    return value


def _without_torch():
    """Write checkpoints as JSON: importing torch would take longer than these jobs."""
    head = checkpoint._HEAD

    def packed(content):
        body = json.dumps(content).encode()
        return head + hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    def unpacked(data):
        first, _, body = data.partition(b"\n")
        if first != head + hashlib.sha256(body).hexdigest().encode():
            raise ValueError("the checksum does not match")
        return json.load(io.BytesIO(body))

    checkpoint._packed, checkpoint._unpacked = packed, unpacked


def lose_connection(database):
    """Close the connection under the feet of whoever uses it next."""
    with database.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
    raw.close()


def _count(work):
    """Walk along a chain, one epoch a step, and keep the end of it as a file."""
    steps, seconds = work.run.spec["steps"], work.run.spec.get("seconds", 0.0)
    states = work.checkpoint("count")
    state = states.load() or {"i": 0, "value": ""}
    for i in range(state["i"] + 1, steps + 1):
        work.check()
        if work.run.spec.get("dies_at") == i and work._lease.fence <= work.run.spec["times"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if i in work.run.spec.get("loses", ()):
            lose_connection(work._lease.store.database)
        time.sleep(seconds)
        state = {"i": i, "value": link(state["value"], i)}
        work.record("count", {"epoch": i, "loss": 1 / i})
        states.save(state)
        work.progress(i / steps, f"step {i}")
    work.keep("value.txt", state["value"].encode() * work.run.spec.get("size", 1))
    return {"value": state["value"]}


def _fail(work):
    if work.run.spec.get("known"):
        raise RunError("The loss became nan.", hint="Lower the learning rate.")
    raise ZeroDivisionError("by nothing")


def _stuck(work):
    """Notice nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    work.progress(0.5, "stuck")
    time.sleep(600)


KINDS = {
    "count": Kind("Count", _count, _without_torch),
    "fail": Kind("Fail", _fail),
    "stuck": Kind("Stuck", _stuck),
    "odd": Kind("Odd", lambda work: {"value": {1, 2}}),
}
