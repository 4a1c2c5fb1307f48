"""The process that does one job: ``python -m optim.runs.job``, started by the supervisor.

It loads what every job needs and waits. Then it reads one line of JSON from standard input, does
what it says, and ends. Its input stays open as long as the supervisor lives: when that is gone, the
process ends at once, and the run goes on from its checkpoint under the next supervisor.

=========  ======================================================================
in         ``{"run": id, "fence": attempt, "threads": n}``
exit code  0: the store knows what came of it; else the attempt has failed
=========  ======================================================================
"""

from __future__ import annotations

import argparse
import errno
import faulthandler
import importlib
import json
import logging
import os
import platform
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from optim import __version__
from optim.errors import Cancelled, ConfigError, OptimError, RunError
from optim.measure.energy import EnergyMeter
from optim.runs.lease import Lease
from optim.runs.store import RunStore
from optim.runs.work import Kind, Work

__all__ = ["JOBS_PATH", "kinds_of", "main", "perform"]

_LOG = logging.getLogger(__name__)
JOBS_PATH = "optim.runs.jobs:JOBS"
NICENESS = 10
_ORPHANED = 3
_LOOK_EVERY_S = 1.0
_NOT_WRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Faults of a disk that no part of a technique knows about."""
_PACKAGES = ("torch", "numpy", "onnx", "onnxruntime")


def main(arguments: list[str] | None = None) -> None:
    """Prepare, wait for an order, carry it out."""
    parser = argparse.ArgumentParser(prog="python -m optim.runs.job")
    parser.add_argument("--jobs", default=JOBS_PATH, help="module:name of the kinds of work")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="job %(process)d: %(message)s")
    faulthandler.enable()
    if hasattr(os, "nice"):
        # Pages and sliders come first.
        os.nice(NICENESS)
    parent = os.getppid()
    kinds = kinds_of(options.jobs)
    for kind in kinds.values():
        kind.prepare()
    store = RunStore.open()
    line = sys.stdin.readline()
    if not line:
        return
    threading.Thread(target=_end_with_supervisor, args=(parent,), daemon=True).start()
    order = json.loads(line)
    lease = Lease(store, order["run"], order["fence"])
    work = Work(store.get(order["run"]), lease, order["threads"])
    signal.signal(signal.SIGTERM, lambda number, frame: work.ask_to_stop())
    perform(work, kinds)
    # All is stored, and to take down torch in good order would take half a second.
    sys.stdout.flush()
    logging.shutdown()
    os._exit(0)


def perform(work: Work, kinds: Mapping[str, Kind]) -> None:
    """Do one job and store what came of it, whatever that is.

    Raises:
        RunError: If the store could not be reached for a long time.
    """
    try:
        work.start(_environment(work.threads))
        if work.run.kind not in kinds:
            raise ConfigError(
                f"There is no kind of work {work.run.kind!r}.",
                hint=f"Kinds are: {', '.join(kinds)}.",
            )
        meter = EnergyMeter.start()
        result = kinds[work.run.kind].work(work)
        if meter and (energy := meter.stop()):
            work.energy(energy.value)
    except Cancelled:
        _LOG.info("run %s: stopped", work.run.id)
    except Exception as error:
        # Whatever it was, the reader of the run must learn of it.
        _LOG.warning("run %s failed", work.run.id, exc_info=True)
        _fail(work, error)
    else:
        _finish(work, result)


def kinds_of(path: str) -> Mapping[str, Kind]:
    """Return the index of kinds at ``module:name``."""
    module, _, name = path.partition(":")
    kinds: Mapping[str, Kind] = getattr(importlib.import_module(module), name)
    return kinds


def _finish(work: Work, result: Mapping[str, Any]) -> None:
    """Store the result; a store that cannot be reached makes a failed attempt, not a failed run."""
    try:
        work.finish(result)
    except Cancelled:
        _LOG.info("run %s: stopped", work.run.id)
    except ConfigError as error:
        _fail(work, error)


def _fail(work: Work, error: Exception) -> None:
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        error = RunError(
            f"A file cannot be written: {error.strerror}.",
            hint="Free some space, or make the folder writable; then resume the run.",
        )
    known = isinstance(error, OptimError)
    try:
        work.fail(
            {
                "kind": type(error).__name__,
                "message": error.message if isinstance(error, OptimError) else _sentence(error),
                "hint": error.hint if isinstance(error, OptimError) else "",
                "traceback": "" if known else "".join(traceback.format_exception(error)),
            }
        )
    except Cancelled:
        _LOG.info("run %s: stopped", work.run.id)


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": .") + "."


def _environment(threads: int) -> dict[str, Any]:
    return {
        "optim": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "host": platform.node(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": os.environ.get("OPTIM_DEVICE") or "auto",
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _end_with_supervisor(parent: int) -> None:
    """End the process when its supervisor is gone: nobody would stop it any more.

    Its input closes then. Where something else keeps that open, its parent is another one.
    """
    closed = threading.Event()

    def read() -> None:
        # Not through sys.stdin: its lock, held by a thread, would disturb the end of the process.
        while os.read(sys.stdin.fileno(), 1024):
            pass
        closed.set()

    threading.Thread(target=read, daemon=True).start()
    while not closed.wait(_LOOK_EVERY_S) and os.getppid() == parent:
        pass
    os._exit(_ORPHANED)


if __name__ == "__main__":
    main()
