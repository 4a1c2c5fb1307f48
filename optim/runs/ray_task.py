"""What a node of a Ray cluster does: one attempt at one run.

The task is a supervisor for a single run. It starts the same child process as the local engine,
follows the store, and stops the child when the run is cancelled or paused; so nothing of that needs
messages between nodes. When its node dies, the child's input closes and the child ends.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from optim import __version__
from optim.errors import OptimError, RunError
from optim.runs.exchange import Offer, accept, give_students, take_students
from optim.runs.run import State
from optim.runs.store import RunStore
from optim.runs.supervisor import Supervisor
from optim.storage import store_home

__all__ = ["Order", "attempt", "this_home"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """What a task carries.

    Attributes:
        run: Id of the run.
        spec: What to do, plain data: of kind ``"recipe"`` the recipe.
        fence: Of the run when the task was made; another has taken the run since if it differs.
        driver: Who sends it; part of the worker's name.
        version: Of the sender's program.
        store: URL of the store.
        files: Where artefacts and checkpoints are kept: a path or a URL.
        probe: Name and content of a file that was put there.
        home: The sender's machine and folder.
        offers: Added models and data that the run names.
        jobs: ``module:name`` of the kinds of work.
        threads: How many threads to compute with.
    """

    run: str
    spec: Mapping[str, Any]
    fence: int
    driver: str
    version: str
    store: str
    files: str
    probe: tuple[str, str]
    home: tuple[str, str]
    offers: tuple[Mapping[str, Any], ...]
    jobs: str
    threads: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` wrote."""
        return cls(**data)


def this_home() -> tuple[str, str]:
    """Return this machine and its folder: what both have in common need not be carried."""
    return platform.node(), str(store_home().resolve())


def attempt(data: Mapping[str, Any]) -> str:
    """Do a run; what came of it is in the store.

    Args:
        data: An order as plain data.

    Returns:
        Why it could not begin here; empty if it did, or if somebody else has the run.
    """
    version = data.get("version")
    if version != __version__:
        return (
            f"Node {platform.node()} has version {__version__} of the program, and not {version}. "
            "Install the same on all nodes."
        )
    order = Order.from_json(data)
    os.environ |= {"OPTIM_STORE": order.store, "OPTIM_FILES": order.files}
    try:
        store = _opened(order)
        try:
            return _attempt(order, store)
        finally:
            store.database.close()
    except OptimError as error:
        return f"Node {platform.node()}: {error}"


def _opened(order: Order) -> RunStore:
    """Open the store, and make sure that it and its files are those of the sender."""
    elsewhere = order.home[0] != platform.node()
    if elsewhere and order.store.startswith("sqlite"):
        raise RunError(
            f"The store is a SQLite file of {order.home[0]}, which only that machine may open.",
            hint="Name a PostgreSQL database by OPTIM_STORE: docs/deploy.md.",
        )
    store = RunStore.open(order.store)
    name, content = order.probe
    try:
        seen = store.kept.read(name).decode()
    except OSError as error:
        seen = error.strerror or str(error)
    if seen != content:
        raise RunError(
            f"It does not find the files of runs at {order.files!r} ({seen}).",
            hint="Name a place that all nodes reach by OPTIM_FILES: docs/deploy.md.",
        )
    base = order.spec.get("base")
    if isinstance(base, str) and not Path(base).is_dir():
        raise RunError(
            f"It does not have the folder of the recipe, {base!r}.",
            hint="Put it where all nodes find it, or add model and data and name those.",
        )
    return store


def _attempt(order: Order, store: RunStore) -> str:
    at_home = this_home() == tuple(order.home)
    if not at_home:
        accept(store.kept, [Offer.from_json(offer) for offer in order.offers])
        _exchanged(lambda: take_students(store.kept))
    supervisor = Supervisor(
        store,
        slots=1,
        threads=order.threads,
        jobs=order.jobs,
        warm=False,
        only=order.run,
        place=f"{platform.node()}:{order.driver}:",
    )
    try:
        waiting = supervisor.queue.active()
        if [(run.state, run.fence) for run in waiting] != [(State.QUEUED, order.fence)]:
            return ""
        supervisor.tick()
        while supervisor.children:
            supervisor.wait()
            try:
                supervisor.tick(takes=False)
            except RunError as error:
                _LOG.warning("%s", error)
                time.sleep(1.0)
    finally:
        supervisor.shut_down()
    if not at_home:
        _exchanged(lambda: give_students(store.kept))
    return ""


def _exchanged(exchange: Callable[[], None]) -> None:
    """Carry what saves work and is not needed."""
    try:
        exchange()
    except OSError as error:
        _LOG.warning("trained steps are not exchanged: %s", error)
