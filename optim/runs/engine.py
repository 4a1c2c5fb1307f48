"""Who works on the queue. The store stays the only truth; an engine only sees that work is done."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

from optim.errors import ConfigError, MissingDependencyError, RunError
from optim.processes import child_environment
from optim.runs.lock import Lock
from optim.runs.store import files_of, store_url

__all__ = ["ENGINES", "Engine", "LocalEngine", "engine", "is_attended", "start_apart"]

_LOG_BYTES = 1_000_000


class Engine(Protocol):
    """Works on the queue of a store."""

    def ensure(self) -> None:
        """Make sure that somebody works on the queue; return at once."""
        ...


class LocalEngine:
    """Child processes on this machine, looked after by one supervisor a store.

    The supervisor is detached: it goes on when the web server ends. It ends by itself when there
    was nothing to do for a while.

    Args:
        url: Of the store; that of :func:`~optim.runs.store.store_url` by default.
        options: Passed on to ``python -m optim.runs.supervisor``.
    """

    def __init__(self, url: str | None = None, options: tuple[str, ...] = ()) -> None:
        self.url = url or store_url()
        self.options = options

    def ensure(self) -> None:
        """Start the supervisor if none runs.

        Raises:
            RunError: If it cannot be started.
        """
        if is_attended(self.url):
            return
        try:
            start_apart("optim.runs.supervisor", self.url, self.options)
        except OSError as error:
            raise RunError(
                f"The supervisor of runs cannot be started: {error.strerror}.",
                hint="Runs wait until it can; try: optim runs work",
            ) from error


def is_attended(url: str) -> bool:
    """Whether a process of this machine works on the queue of a store.

    Raises:
        RunError: If the folder of the store cannot be used.
    """
    return Lock(files_of(url) / "supervisor.lock").is_held()


def start_apart(module: str, url: str, options: tuple[str, ...]) -> None:
    """Start a module that works on the queue of a store, and outlives this process.

    Should two be started at once, one gets the lock and the other ends.

    Raises:
        OSError: If it cannot be started.
    """
    files = files_of(url)
    log = files / "supervisor.log"
    fresh = not log.exists() or log.stat().st_size > _LOG_BYTES
    with log.open("wb" if fresh else "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=files,
            env={**child_environment(), "OPTIM_STORE": url},
        )
    # It outlives this process or not; if not, it is not to stay as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()


def _ray() -> Engine:
    from optim.runs.ray_engine import RayEngine

    return RayEngine()


ENGINES: dict[str, Callable[[], Engine]] = {"local": LocalEngine, "ray": _ray}
_OPTIONAL = {"ray": "ray"}
"""Engines that need a package: its name."""


def engine() -> Engine:
    """Return the engine that ``OPTIM_ENGINE`` names; ``local`` if it names none.

    Raises:
        ConfigError: If there is no such engine.
        MissingDependencyError: If it needs a package that is not installed.
    """
    name = os.environ.get("OPTIM_ENGINE") or "local"
    package = _OPTIONAL.get(name)
    if package and find_spec(package) is None:
        raise MissingDependencyError(
            f"The engine {name!r} needs {package}, which is not installed.",
            hint=f"Install it: make {package}, or pip install {package}",
        )
    if name not in ENGINES:
        raise ConfigError(
            f"OPTIM_ENGINE must be one of {', '.join(ENGINES)}: got {name!r}.",
        )
    return ENGINES[name]()
