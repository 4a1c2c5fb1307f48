"""The report of a run, made when somebody asks for it."""

from __future__ import annotations

import logging
from typing import Any

from optim.errors import OptimError
from optim.recipe import Recipe
from optim.report.facts import facts_of
from optim.report.page import report_zip
from pages.components.server import evaluator, run_store

__all__ = ["report_of"]

_LOG = logging.getLogger(__name__)


def report_of(run_id: str, owner: str) -> bytes:
    """Return the archive of a report; it is called beside the page, where nothing can be drawn.

    Args:
        run_id: Of a finished run.
        owner: Id of who asks: whose runs are drawn beside it, and whose devices are asked.
    """
    store = run_store()
    run = store.get(run_id)
    others = [other for other in store.runs() if other.owner in ("", owner)]
    return report_zip(facts_of(run, others, _ladder(run.recipe, owner)), run.result or {})


def _ladder(recipe: Recipe | None, owner: str) -> dict[str, Any] | None:
    """Return what every device would do; None where that cannot be told any more."""
    assert recipe is not None
    try:
        found: dict[str, Any] = evaluator().ask("ladder", recipe, owner=owner)
    except OptimError as error:
        _LOG.warning("No devices in the report: %s", error)
        return None
    return found
