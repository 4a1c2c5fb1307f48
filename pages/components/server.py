"""The server around the pages: evaluator, store of runs, and the routes of the live panel."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from optim.access.settings import retention_days
from optim.belongings.removal import Removed, sweep
from optim.errors import OptimError
from optim.runs.engine import engine
from optim.runs.store import RunStore, store_url
from optim.whatif.evaluators import Evaluators

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

__all__ = [
    "ask_nobody",
    "evaluator",
    "lifespan",
    "pages_come_from_navigation",
    "panel_routes",
    "run_store",
    "wake_engine",
]

_LOG = logging.getLogger(__name__)
WATCH_S = 5.0
"""How often the server sees to it that somebody works on the runs that wait."""
SWEEP_S = 24 * 3600.0
"""How often what nobody has used for long is removed."""


@cache
def evaluator() -> Evaluators:
    """Return what evaluates for all visitors of this server."""
    return Evaluators()


def run_store() -> RunStore:
    """Return the store of runs of this server; it is opened when it is first asked for.

    Raises:
        OptimError: If it cannot be opened.
    """
    return _opened(store_url())


@cache
def _opened(url: str) -> RunStore:
    return RunStore.open(url)


def wake_engine() -> None:
    """See to it that somebody works on the queue of runs.

    Raises:
        OptimError: If nobody can be started.
    """
    engine().ensure()


def pages_come_from_navigation() -> None:
    """Tell Streamlit before the first visit that the folder ``pages/`` is not its old page list.

    It finds out by itself when ``st.navigation`` first runs. Until then, on a fresh server, a link
    to any page but the first would be answered with "Page not found".
    """
    from streamlit.runtime.pages_manager import PagesManager

    PagesManager.uses_pages_directory = False


def ask_nobody() -> None:
    """Keep Streamlit from asking the internet for this machine's addresses.

    It does when a connection comes from a foreign page, before it refuses it: that page could be
    the machine's own under another address. Which ones are, ``server.corsAllowedOrigins`` says.
    """
    from streamlit import net_util

    for name in ("get_external_ip", "get_internal_ip"):
        setattr(net_util, name, _no_address)


def _no_address() -> None:
    return None


def panel_routes() -> list[BaseRoute]:
    """Return the routes of the live panel."""
    from pages.components.live_panel.routes import routes

    return routes(evaluator())


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Start the evaluator with the server, so that it is warm when the first page opens.

    Runs that were queued or interrupted when the server ended go on as well; and as long as it
    serves, so do those whose supervisor died. What nobody has used for long is removed every day.
    """
    evaluator().start()
    try:
        wake_engine()
    except OptimError as error:
        _LOG.warning("runs have to wait: %s", error)
    tasks = [asyncio.create_task(_watch_runs()), asyncio.create_task(_sweep_daily())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        evaluator().stop()


async def _watch_runs() -> None:
    """Wake the engine whenever there is work; what keeps that from being done is logged once."""
    told = ""
    while True:
        await asyncio.sleep(WATCH_S)
        problem = await asyncio.to_thread(_keep_working)
        if problem and problem != told:
            _LOG.warning("runs have to wait: %s", problem)
        told = problem


def _keep_working() -> str:
    """Wake the engine if there is work; return what keeps it from being done."""
    try:
        if run_store().has_active():
            wake_engine()
    except OptimError as error:
        return str(error)
    return ""


async def _sweep_daily() -> None:
    """Remove what nobody has used for long, now and every day."""
    while True:
        await asyncio.to_thread(_swept)
        await asyncio.sleep(SWEEP_S)


def _swept() -> None:
    try:
        removed = sweep(run_store(), retention_days())
    except OptimError as error:
        _LOG.warning("what nobody uses is not removed: %s", error)
        return
    if removed != Removed():
        _LOG.info("removed, because nobody used it: %s", removed)
        evaluator().forget()
