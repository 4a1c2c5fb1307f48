"""The list of runs: filter, sort, select, and act on what is selected."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

import streamlit as st

from optim.data.added import DataCard, data_cards
from optim.models.cards import ModelCard, model_cards
from optim.runs.figures import highest_of, quality_of
from optim.runs.run import ACTIVE, Run, State
from pages.components import access, state
from pages.components.runs import actions
from pages.components.runs.compare import compare_button
from pages.components.runs.polled import polled
from pages.components.runs.words import (
    STATES,
    age,
    doing,
    duration,
    left,
    names_any,
    plain,
    subject_of,
)
from pages.components.server import run_store

__all__ = ["FILTERS", "LAB", "RUN", "SORTS", "draw_outcome", "run_list", "runs_seen"]

LAB, RUN = "pages/lab/lab.py", "pages/runs/run.py"
"""Scripts of the pages a run leads to."""
_ROWS = 20
_WIDTHS = (0.25, 4.2, 1.2, 3.2, 1.1, 0.9)

FILTERS: dict[str, frozenset[State] | None] = {
    "All": None,
    "Active": ACTIVE,
    "Finished": frozenset({State.FINISHED}),
    "Stopped": frozenset({State.PAUSED, State.INTERRUPTED, State.CANCELLED}),
    "Failed": frozenset({State.FAILED}),
    "Deleted": None,
}
"""Choices of the filter and the states they stand for."""

SORTS: dict[str, Callable[[Run], tuple[float | str, ...]]] = {
    "Newest first": lambda run: (-run.created_at,),
    "Active first": lambda run: (run.state not in ACTIVE, -run.created_at),
    "Most accurate first": lambda run: (-_accuracy(run), -run.created_at),
    "Longest first": lambda run: (-run.seconds, -run.created_at),
    "By title": lambda run: (run.title.casefold(), -run.created_at),
}
"""Choices of the order and what they sort by."""


def run_list() -> None:
    """Draw the list with everything that belongs to it."""
    models, data = model_cards(), data_cards()
    chosen, text, order = _choices()
    wanted = FILTERS[chosen]

    places: dict[str, int] = {}

    def read() -> list[Run]:
        """Return what stands in this session's list; the link of a run opens it anyway."""
        seen = runs_seen(models, data, wanted, text.strip(), deleted=chosen == "Deleted")
        if not places:
            seen.sort(key=SORTS[order])
            places.update({run.id: place for place, run in enumerate(seen)})
        # A row keeps its place while somebody looks, even where runs are ordered by their time.
        return sorted(seen, key=lambda run: places.get(run.id, -1))

    def subject(run: Run) -> str:
        return subject_of(run, models, data)

    _undo_line()
    polled(read, lambda runs: _draw(runs, subject, filtered=chosen != "All" or bool(text)))


def runs_seen(
    models: Mapping[str, ModelCard],
    data: Mapping[str, DataCard],
    states: Collection[State] | None = None,
    text: str = "",
    *,
    deleted: bool = False,
) -> list[Run]:
    """Return the runs that stand in this session's lists.

    Args:
        models: All models.
        data: All data.
        states: Only those in one of these.
        text: Only those that have it in their title, kind or id.
        deleted: Those in the bin.
    """
    hidden = models.keys() - access.visible(models).keys()
    hidden |= data.keys() - access.visible(data).keys()
    found = run_store().runs(states=states, text=text, deleted=deleted)
    return [
        run
        for run in found
        if access.may_see_run(run) and (run.owner or not names_any(run, hidden))
    ]


def _choices() -> tuple[str, str, str]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.segmented_control(
            "State",
            list(FILTERS),
            default="All",
            key="runs_filter",
            persist_state="session",
            required=True,
            wrap=True,
        )
        text = st.text_input(
            "Search",
            key="runs_text",
            persist_state="session",
            placeholder="Title or id",
            icon=":material/search:",
            width=240,
        )
        order = st.selectbox(
            "Order", list(SORTS), key="runs_order", persist_state="session", width=200
        )
    return chosen, text or "", order


def _undo_line() -> None:
    run_ids = state.deleted()
    if not run_ids:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="runs_undo"):
        st.caption(f"{_count(len(run_ids))} deleted.", width="content")
        st.button(
            "Undo", icon=":material/undo:", on_click=actions.restore, args=(run_ids,), key="undo"
        )
        st.button(
            "Dismiss", type="tertiary", on_click=state.deleted, args=((),), key="undo_dismiss"
        )


def _draw(runs: list[Run], subject: Callable[[Run], str], *, filtered: bool) -> None:
    if not runs:
        _nothing(filtered=filtered)
        return
    _toolbar([run for run in runs if st.session_state.get(_key(run))])
    pages = -(-len(runs) // _ROWS)
    page = min(int(st.session_state.get("runs_page", 1)), pages)
    with st.container(border=True, gap="xsmall", key="runs_rows"):
        for run in runs[(page - 1) * _ROWS : page * _ROWS]:
            _row(run, subject(run))
    if pages > 1:
        st.pagination(pages, key="runs_page")


def _toolbar(picked: list[Run]) -> None:
    """Draw what can be done with the selected runs; nothing moves when nothing is selected."""
    ids = tuple(run.id for run in picked)
    bin_only = bool(picked) and all(run.deleted for run in picked)

    def button(label: str, icon: str, can: Callable[[Run], bool], act: Callable[..., None]) -> None:
        able = tuple(run.id for run in picked if can(run))
        st.button(label, icon=icon, disabled=not able, on_click=act, args=(able,))

    with st.container(horizontal=True, vertical_alignment="center", key="runs_toolbar"):
        st.caption(
            f"{_count(len(ids))} selected" if ids else "Select runs to compare or to act on them",
            width="content",
        )
        st.space("stretch")
        compare_button(ids)
        if access.is_presentation():
            return
        button("Pause", ":material/pause:", actions.can_pause, actions.pause)
        button("Resume", ":material/play_arrow:", actions.can_resume, actions.resume)
        button("Cancel", ":material/stop:", actions.can_cancel, actions.cancel)
        if bin_only:
            button("Restore", ":material/undo:", actions.can_restore, actions.restore)
        else:
            button("Delete", ":material/delete:", actions.can_delete, actions.delete)


def _row(run: Run, subject: str) -> None:
    pick, title, badge, result, time_, when = st.columns(
        _WIDTHS, vertical_alignment="center", gap="small"
    )
    look = STATES[run.state]
    with pick:
        st.checkbox(f"Select {plain(run.title)}", key=_key(run), label_visibility="collapsed")
    with title, st.container(gap=None):
        st.page_link(RUN, label=plain(run.title), query_params={"id": run.id})
        if subject:
            st.caption(subject)
    with badge:
        st.badge(look.title, color=look.color, icon=look.icon, help=look.about)
    with result:
        draw_outcome(run)
    with time_:
        st.caption(left(run) or (f"took {duration(run.seconds)}" if run.seconds else ""))
    with when:
        st.caption(age(time.time() - run.created_at))


def draw_outcome(run: Run) -> None:
    """Draw how far a run is, what it reached, or why it stopped."""
    figure = quality_of(run)
    if run.state is State.RUNNING:
        st.progress(min(1.0, run.progress), text=f"{100 * run.progress:.0f} % · {doing(run)}")
    elif figure is not None:
        change = f", {figure.change.verdict()}" if figure.change else ""
        what = f" {figure.name.lower()}" if figure.is_relative else ""
        st.markdown(f"**{figure.reached}**{what}{change}")
    elif run.error is not None:
        st.caption(str(run.error.get("message", "")))
    elif run.state is State.QUEUED:
        st.caption(doing(run))
    else:
        st.caption(highest_of(run) or f"stands at {100 * run.progress:.0f} %")


def _nothing(*, filtered: bool) -> None:
    with st.container(border=True, horizontal_alignment="center", key="runs_empty"):
        if filtered:
            st.markdown("**No run matches**")
            st.button("Show all runs", on_click=_show_all)
            return
        st.markdown("**No runs yet**")
        st.caption(
            "In the Lab, choose how small the network shall become, and press *Recover accuracy*: "
            "it trains in the background, and goes on when the tab is closed."
        )
        st.page_link(LAB, label="Open the Lab", icon=":material/tune:")


def _show_all() -> None:
    st.session_state["runs_filter"] = "All"
    st.session_state["runs_text"] = ""


def _key(run: Run) -> str:
    return f"pick_{run.id}"


def _count(number: int) -> str:
    return f"{number} run{'s' if number != 1 else ''}"


def _accuracy(run: Run) -> float:
    figure = quality_of(run)
    return figure.after.value if figure and figure.after and not figure.is_relative else -1.0
