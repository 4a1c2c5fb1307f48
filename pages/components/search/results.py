"""What the newest search about the present model shows: the answer, the front, the story."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Literal

import pandas as pd
import streamlit as st

from optim.errors import OptimError
from optim.recipe import Recipe
from optim.runs.run import ACTIVE, Run, State
from optim.search.figures import FIGURES
from pages.components import access, state
from pages.components.runs import actions
from pages.components.runs.polled import polled
from pages.components.runs.words import STATES, duration, plain
from pages.components.search.asking import searches_about
from pages.components.search.charts import search_front
from pages.components.search.common import chosen_run, limits_text, story
from pages.components.search.shown import (
    answer_of,
    axis_title,
    budget_text,
    found_of,
    front_shown,
    points_of,
    row_of,
    table_rows,
    under,
    why_taken,
)
from pages.components.server import run_store

__all__ = ["header", "results", "verified_file"]

_LAB, _RUN = "pages/lab/lab.py", "pages/runs/run.py"
_PLOT = {"displayModeBar": False}
_STORY = 470
_PICKS = {"knee": "Knee of the front", "under": "Best under a budget"}
"""How a candidate is picked, besides what is taken or came closest."""


def results(recipe: Recipe) -> None:
    """Draw the newest search, or what to do to have one."""
    found = searches_about(recipe)
    if not found:
        with st.container(border=True, horizontal_alignment="center", key="autopilot_empty"):
            st.markdown("**Nothing searched yet**")
            st.caption(
                "Say what must hold, and press *Start*. The first candidates are here in seconds."
            )
        return
    run = chosen_run("autopilot", found, _label)
    polled(lambda: [run_store().get(run.id)], lambda runs: _drawn(runs[0]))


def _label(run: Run) -> str:
    return f"{', '.join(limits_text(run)) or 'no limits'} · {STATES[run.state].title}"


def _drawn(run: Run) -> None:
    """Draw one search as it stands."""
    found = found_of(run, run_store().live(run.id))
    with st.container(border=True, key="autopilot_state"):
        header(run, found)
        if found:
            _answer(run, found)
    if not found:
        return
    if not found["candidates"]:
        with st.container(border=True, key="autopilot_story"):
            story(found, _STORY)
        return
    left, right = st.columns([5, 3])
    with left, st.container(border=True, key="autopilot_front"):
        _front(found)
    with right, st.container(border=True, key="autopilot_story"):
        story(found, _STORY)
    with st.container(border=True, key="autopilot_candidates"):
        _candidates(run, found)


def header(run: Run, found: dict[str, Any]) -> None:
    """Draw how far a search is, and what can be done about it."""
    look = STATES[run.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Search**", width="content")
        st.badge(look.title, color=look.color, icon=look.icon, help=look.about)
        st.space("stretch")
        if run.state is State.RUNNING and found.get("front") and access.may_change(run):
            st.button(
                "Take what it has",
                icon=":material/done:",
                on_click=_enough,
                args=(run.id,),
                help="Ends the search with the best so far, verified.",
            )
        for label, icon, can, act in (
            ("Pause", ":material/pause:", actions.can_pause, actions.pause),
            ("Resume", ":material/play_arrow:", actions.can_resume, actions.resume),
            ("Cancel", ":material/stop:", actions.can_cancel, actions.cancel),
        ):
            if can(run):
                st.button(label, icon=icon, on_click=act, args=([run.id],))
        st.page_link(_RUN, label="Details", query_params={"id": run.id})
    if run.state in ACTIVE:
        budget = float(run.spec.get("seconds", 0.0))
        spent = float(found.get("spent_s", 0.0))
        words = [
            f"{duration(spent)} of {duration(budget)}",
            run.message or "waits for a free worker",
            f"{len(found.get('candidates', ()))} candidates" if found else "",
        ]
        st.progress(min(1.0, run.progress), text=" · ".join(filter(None, words)))
    if run.error is not None and run.state is not State.FINISHED:
        st.error(f"{run.error.get('message', '')} {run.error.get('hint', '')}".strip())


def _enough(run_id: str) -> None:
    try:
        access.refuse_presentation()
        run_store().enough(run_id)
    except OptimError as error:
        state.notice(error)


# --- the answer -----------------------------------------------------------------------------------


def _answer(run: Run, found: dict[str, Any]) -> None:
    """Draw the candidate that is taken, or would be now."""
    if found.get("impossible"):
        st.markdown(f"**{found['impossible']}** Relax that limit, or choose another model.")
        return
    row = row_of(found, answer_of(found))
    if row is None:
        st.caption(
            "Nothing was measured to the end yet."
            if run.state in ACTIVE
            else "Nothing was measured to the end. Give it more minutes, and start again."
        )
        return
    if found["chosen"] is not None:
        st.markdown(f"**{plain(row['title'])}** {why_taken(found)}")
    else:
        st.markdown(
            f"**No candidate keeps all limits{' yet' if run.state in ACTIVE else ''}.** "
            f"Closest: {plain(row['title'])}."
        )
        st.caption(found["closest"]["text"])
    _metrics(found, row)
    verified_file(run)


def _metrics(found: dict[str, Any], row: dict[str, Any]) -> None:
    original = found["original"]
    test = found.get("tests", {}).get(str(row["number"]))
    loss = row["figures"]["loss"]
    with st.grid(3, min_column_width=180):
        with st.container(border=True, gap="xxsmall", height="stretch"):
            st.metric(
                f"Loss, points :gray-badge[{loss['how']}]", loss["text"].removesuffix(" points")
            )
            n = f"{loss['n']:,} validation samples" if loss["n"] else ""
            st.caption(f"{n}; on test {test['text']}" if test else n)
        for cost in found["goals"]["objectives"][1:]:
            after = row["figures"].get(cost)
            if after is None:
                continue
            with st.container(border=True, gap="xxsmall", height="stretch"):
                st.metric(
                    f"{FIGURES[cost].title} :gray-badge[{after['how']}]",
                    _figure_text(after["text"]),
                    help=FIGURES[cost].about,
                )
                before = original.get(cost)
                was = f"was {before['text']}" if before else "not known before"
                # The interval has no room beside the figure.
                is_exact = after["low"] == after["high"]
                st.caption(was if is_exact else f"{after['text']}; {was}")


def _figure_text(text: str) -> str:
    """Return a figure with its unit, without its interval and what its label says.

    Example:
        >>> [_figure_text(x) for x in ("53 ± 2 µs", "3 ms (1 ms to 20 ms)", "2 M MACs")]
        ['53 µs', '3 ms', '2 M']
    """
    return re.sub(r" ± \S+| \(.*\)| MACs$", "", text)


def verified_file(run: Run, look: Literal["primary", "secondary"] = "primary") -> None:
    """Draw the verified file of a search, once there is one.

    Args:
        run: The search.
        look: Of the button; secondary where something speaks against taking the file.
    """
    store = run_store()
    files = {file.name: file for file in store.artefacts(run.id)}
    name = next((n for n in ("model.onnx", "model.opack") if n in files), None)
    if run.state is not State.FINISHED or name is None or not store.has(files[name]):
        return
    file = files[name]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(
            "verified",
            color="green" if look == "primary" else "gray",
            icon=":material/check:",
            help="The file was run: it computes what the model computes that it was made of. How "
            "good that is stands above.",
        )
        st.download_button(
            "Download verified file",
            partial(store.read, file),
            file_name=name,
            type=look,
            icon=":material/download:",
            on_click=partial(access.note, "exported", file.hash, run=run.id),
            key=f"autopilot_file_{run.id}",
        )
        verification = (run.result or {}).get("verification") or {}
        if verification:
            st.caption(f"In {verification['runtime']}, {verification['bytes']['value']:,} bytes.")


# --- the front ------------------------------------------------------------------------------------


def _front(found: dict[str, Any]) -> None:
    costs = found["goals"]["objectives"][1:]
    st.markdown("**Loss against cost**, every candidate")
    cost = costs[0]
    if len(costs) > 1:
        cost = st.segmented_control(
            "Cost",
            costs,
            default=costs[0],
            format_func=lambda name: FIGURES[name].title,
            required=True,
            key="autopilot_cost",
            label_visibility="collapsed",
        )
    points = points_of(found, cost)
    if not points:
        st.caption("Candidates appear here as soon as the first was measured.")
        return
    limits = found["goals"]["limits"]
    st.plotly_chart(
        search_front(
            points,
            {"x": limits.get(cost), "y": limits.get("loss")},
            {"x": axis_title(cost), "y": "Loss, points"},
        ),
        key="autopilot_chart",
        config=_PLOT,
    )
    st.caption(
        "Dashed: the limits. The line joins what no other beats in the two figures shown; ringed "
        "is what no other beats in all that is weighed. "
        "Losses are against the original on the same samples, with paired intervals; what loses "
        "far more lies above the chart, and in the table of all candidates."
    )


# --- candidates -----------------------------------------------------------------------------------


def _candidates(run: Run, found: dict[str, Any]) -> None:
    st.markdown("**Candidates**")
    pick, number = _picked(found)
    row = row_of(found, number)
    if row is not None and row["recipe"] is not None:
        st.markdown(f"{row['title']}: {row['text']}")
        if not access.is_presentation() and st.button(
            "Open in the Lab", icon=":material/tune:", key="autopilot_open"
        ):
            state.commit(Recipe.from_json(row["recipe"]))
            st.switch_page(_LAB)
    elif pick == "under" and found["front"]:
        st.caption("Nothing on the front is within that budget.")
    else:
        yet = " yet" if run.state in ACTIVE else ""
        st.caption(f"There is none{yet}: nothing was measured to the end.")
    if rows := table_rows(found, front_shown(found)):
        st.dataframe(pd.DataFrame(rows), hide_index=True, key="autopilot_table")
        st.caption("The front, cheapest first.")
    baselines = [row["number"] for row in found["candidates"] if row["is_baseline"]]
    if baselines:
        st.markdown("**What else could be done**, on the same samples")
        st.dataframe(
            pd.DataFrame(table_rows(found, baselines)), hide_index=True, key="autopilot_baselines"
        )
    if st.toggle("All candidates", key="autopilot_all"):
        st.dataframe(pd.DataFrame(table_rows(found)), hide_index=True, key="autopilot_every")


def _picked(found: dict[str, Any]) -> tuple[str, int | None]:
    """Draw how a candidate is picked from the front; return that, and its number."""
    is_closest = found["chosen"] is None and found["closest"] is not None
    picks = {"answer": "Closest" if is_closest else "Taken", **_PICKS}
    pick = st.segmented_control(
        "Pick",
        list(picks),
        default="answer",
        format_func=picks.__getitem__,
        required=True,
        key="autopilot_pick",
        label_visibility="collapsed",
    )
    if pick == "knee":
        return pick, found["knee"]
    if pick == "under":
        return pick, _under_budget(found)
    return "answer", answer_of(found)


def _under_budget(found: dict[str, Any]) -> int | None:
    """Draw a budget of the first cost and return the number of the best within."""
    cost = found["goals"]["objectives"][1]
    front = front_shown(found)
    rows = [row for n in front if (row := row_of(found, n)) is not None]
    values = sorted({row["figures"][cost]["value"] for row in rows})
    if len(values) < 2:
        return front[0] if front else None
    most = st.select_slider(
        f"{FIGURES[cost].title} at most",
        values,
        values[-1],
        format_func=lambda value: budget_text(cost, value),
        key=f"autopilot_budget_{len(values)}",
    )
    return under(found, cost, most)
