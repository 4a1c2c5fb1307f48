"""Draw something again every second, and only while a run is active."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from optim.runs.run import ACTIVE, Run
from pages.components import state
from pages.components.errors import shown_errors

__all__ = ["EVERY_S", "polled"]

EVERY_S = 1.0


def polled(read: Callable[[], list[Run]], draw: Callable[[list[Run]], None]) -> None:
    """Read runs and draw them; again every second as long as one of them is active.

    When the state of a run changes, the whole page runs again: buttons outside may depend on it,
    and nothing is asked of the store any more once nothing is active.

    Args:
        read: Returns the runs.
        draw: Draws them.
    """
    fresh = [read()]
    states = _states(fresh[0])
    active = any(run.state in ACTIVE for run in fresh[0])

    @st.fragment(run_every=EVERY_S if active else None)
    def shown() -> None:
        with shown_errors():
            runs = fresh.pop() if fresh else read()
            if _states(runs) != states or state.has_notice():
                st.rerun()
            draw(runs)

    shown()


def _states(runs: list[Run]) -> dict[str, str]:
    return {run.id: str(run.state) for run in runs}
