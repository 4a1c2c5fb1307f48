"""What the newest search about the present model shows: the answer, the front, the story."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

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
    axis_title,
    budget_text,
    found_of,
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
_PICKS = {"taken": "Taken", "knee": "Knee of the front", "under": "Best under a budget"}


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
    closest = found["closest"]
    row = row_of(found, found["chosen"]) or (row_of(found, closest["number"]) if closest else None)
    if row is None:
        st.caption("Nothing was measured to the end yet.")
        return
    if found["chosen"] is not None:
        st.markdown(f"**{plain(row['title'])}** {why_taken(found)}")
    else:
        st.markdown(
            f"**No candidate keeps all limits{' yet' if run.state in ACTIVE else ''}.** "
            f"Closest: {row['title']}."
        )
        st.caption(closest["text"])
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


def verified_file(run: Run) -> None:
    """Draw the verified file of a search, once there is one."""
    store = run_store()
    files = {file.name: file for file in store.artefacts(run.id)}
    name = next((n for n in ("model.onnx", "model.opack") if n in files), None)
    if run.state is not State.FINISHED or name is None or not store.has(files[name]):
        return
    file = files[name]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge("verified", color="green", icon=":material/check:")
        st.download_button(
            "Download verified file",
            partial(store.read, file),
            file_name=name,
            type="primary",
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
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Loss against cost**, every candidate", width="content")
        st.space("stretch")
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
        "Dashed: the limits. The line joins what no other beats in everything that is weighed. "
        "Losses are against the original on the same samples, with paired intervals; what loses "
        "far more lies above the chart, and in the table of all candidates."
    )


# --- candidates -----------------------------------------------------------------------------------


def _candidates(run: Run, found: dict[str, Any]) -> None:
    st.markdown("**Candidates**")
    number = _picked(found)
    row = row_of(found, number)
    if row is not None and row["recipe"] is not None:
        st.markdown(f"{row['title']}: {row['text']}")
        if not access.is_presentation() and st.button(
            "Open in the Lab", icon=":material/tune:", key="autopilot_open"
        ):
            state.commit(Recipe.from_json(row["recipe"]))
            st.switch_page(_LAB)
    elif found["candidates"]:
        st.caption("Nothing on the front is within that budget.")
    st.dataframe(
        pd.DataFrame(table_rows(found, found["front"])), hide_index=True, key="autopilot_table"
    )
    st.caption("The front, cheapest first.")
    baselines = [row["number"] for row in found["candidates"] if row["is_baseline"]]
    if baselines:
        st.markdown("**What else could be done**, on the same samples")
        st.dataframe(
            pd.DataFrame(table_rows(found, baselines)), hide_index=True, key="autopilot_baselines"
        )
    if st.toggle("All candidates", key="autopilot_all"):
        st.dataframe(pd.DataFrame(table_rows(found)), hide_index=True, key="autopilot_every")


def _picked(found: dict[str, Any]) -> int | None:
    """Draw how a candidate is picked from the front and return its number."""
    pick = st.segmented_control(
        "Pick",
        list(_PICKS),
        default="taken",
        format_func=_PICKS.__getitem__,
        required=True,
        key="autopilot_pick",
        label_visibility="collapsed",
    )
    if pick == "knee":
        return found["knee"]
    if pick == "under":
        cost = found["goals"]["objectives"][1]
        rows = [row for n in found["front"] if (row := row_of(found, n)) is not None]
        values = sorted({row["figures"][cost]["value"] for row in rows})
        if len(values) < 2:
            return found["front"][0] if found["front"] else None
        most = st.select_slider(
            f"{FIGURES[cost].title} at most",
            values,
            values[-1],
            format_func=lambda value: budget_text(cost, value),
            key=f"autopilot_budget_{len(values)}",
        )
        return under(found, cost, most)
    closest = found["closest"]
    return found["chosen"] if found["chosen"] is not None else closest and closest["number"]
