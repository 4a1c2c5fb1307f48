"""The card of the run that is followed: how far it is, what it reached, what can be done about it.

A run is followed by the address of the page, so that a reload or another browser shows the same.
"""

from __future__ import annotations

import streamlit as st

from optim.errors import ConfigError, OptimError
from optim.recipe import Recipe
from optim.runs.figures import quality_of, verdict_of
from optim.runs.run import ACTIVE, EpochRow, Run, State
from pages.components import state
from pages.components.runs import actions
from pages.components.runs.polled import polled
from pages.components.runs.words import STATES, doing, left, plain
from pages.components.server import run_store

__all__ = ["finished_run", "show_followed"]

_RUN = "pages/runs/run.py"
"""Script of the page that shows all of a run."""


def finished_run() -> str:
    """Return the id of the followed run once it has finished; before that an empty text."""
    run = _followed()
    return run.id if run is not None and run.state is State.FINISHED else ""


def show_followed(recipe: Recipe) -> None:
    """Draw the card of the run that is followed; nothing if none is."""
    run = _followed()
    if run is None:
        return
    with st.container(border=True, key="followed_card", gap="xsmall"):
        polled(lambda: [run_store().get(run.id)], lambda runs: _card(runs[0], recipe))


def _followed() -> Run | None:
    """Return the followed run; a link may name one that is not here, which is then forgotten."""
    run_id = state.followed()
    if not run_id:
        return None
    try:
        return run_store().get(run_id)
    except ConfigError as error:
        state.follow("")
        state.notice(error)
        return None


def _card(run: Run, recipe: Recipe) -> None:
    look = STATES[run.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(look.title, color=look.color, icon=look.icon, help=look.about)
        st.markdown(f"**{plain(run.title)}**", width="content")
        st.space("stretch")
        _buttons(run, recipe)
    if run.state in ACTIVE:
        st.progress(min(1.0, run.progress), text=_so_far(run))
    elif run.state is State.FINISHED:
        figure = quality_of(run)
        reached = f" {figure.name} {figure.reached}." if figure else ""
        st.markdown(f"{verdict_of(run)}{reached}")
    elif run.error is not None:
        st.markdown(f"{run.error.get('message', '')} {run.error.get('hint', '')}".strip())
    else:
        st.caption(f"Stands at {100 * run.progress:.0f} %. {look.about}")


def _so_far(run: Run) -> str:
    epochs = run_store().epochs(run.id)
    words = [f"{100 * run.progress:.0f} %", doing(run), _newest_accuracy(epochs), left(run)]
    return " · ".join(filter(None, words))


def _newest_accuracy(epochs: list[EpochRow]) -> str:
    found = [row.figures["accuracy"] for row in epochs if "accuracy" in row.figures]
    return f"validation accuracy so far {100 * found[-1]:.1f} %" if found else ""


def _buttons(run: Run, recipe: Recipe) -> None:
    is_shown = actions.is_of(run, recipe)
    # The card runs by itself; what changes the recipe, or ends the card, is seen by the whole page.
    if (
        run.state is State.FINISHED
        and not is_shown
        and st.button(
            "Show in the Lab",
            icon=":material/tune:",
            type="primary",
            on_click=_show,
            args=(run,),
            key="followed_show",
        )
    ):
        st.rerun()
    if actions.can_resume(run):
        st.button(
            "Resume",
            icon=":material/play_arrow:",
            on_click=actions.resume,
            args=((run.id,),),
            key="followed_resume",
        )
    if actions.can_cancel(run):
        st.button(
            "Cancel",
            icon=":material/stop:",
            on_click=actions.cancel,
            args=((run.id,),),
            key="followed_cancel",
        )
    st.page_link(_RUN, label="Details", query_params={"id": run.id})
    if run.state not in ACTIVE and st.button(
        "Close", type="tertiary", on_click=state.follow, args=("",), key="followed_close"
    ):
        st.rerun()


def _show(run: Run) -> None:
    """Show the run's recipe in the Lab."""
    try:
        if (recipe := run.recipe) is not None:
            state.commit(recipe)
    except OptimError as error:
        state.notice(error)
