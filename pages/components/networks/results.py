"""What the newest search about the present data shows: answer, front, networks, trust, story."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from optim.quantity import format_value
from optim.runs.run import ACTIVE, Run
from optim.search.figures import FIGURES, times_text
from pages.components.drawing import staircase
from pages.components.errors import shown_errors
from pages.components.networks import charts
from pages.components.networks.asking import searches_about
from pages.components.networks.chosen import network
from pages.components.networks.explored import sliders
from pages.components.networks.shown import (
    axes_and_lines,
    lineage_points,
    points_of,
    table_rows,
    trust_rows,
)
from pages.components.runs.polled import polled
from pages.components.runs.words import STATES
from pages.components.search.common import chosen_run, limits_text, story
from pages.components.search.results import header, verified_file
from pages.components.search.shown import answer_of, axis_title, found_of, row_of, why_taken
from pages.components.server import run_store

__all__ = ["results"]

_PLOT = {"displayModeBar": False}
_STORY = 340
_VIEWS = {"all": "Everything", "lineage": "Lineage"}


def results(data: str) -> None:
    """Draw the newest search, or what to do to have one.

    Args:
        data: What it is about.
    """
    found = searches_about(data)
    if not found:
        with st.container(border=True, horizontal_alignment="center", key="networks_empty"):
            st.markdown("**No architecture searched yet**")
            st.caption(
                "Choose a space and what must hold, and press *Start*. The first trained network "
                "is here in seconds."
            )
        return
    run = chosen_run("networks", found, _label)
    polled(lambda: [run_store().get(run.id)], lambda runs: _drawn(runs[0]))


def _label(run: Run) -> str:
    return " · ".join([str(run.spec.get("space")), *limits_text(run), STATES[run.state].title])


def _drawn(run: Run) -> None:
    """Draw one search as it stands."""
    found = found_of(run, run_store().live(run.id))
    with st.container(border=True, key="networks_state"):
        header(run, found)
        if found:
            _answer(run, found)
    if not found:
        return
    with st.container(border=True, key="networks_front"):
        _front(found)
    left, right = st.columns(2)
    with left, st.container(border=True, key="networks_trust"):
        _trust(found)
    with right, st.container(border=True, key="networks_story"):
        story(found, _STORY)
    if found.get("supernet"):
        with st.container(border=True, key="networks_shared"), shown_errors():
            sliders(found)
    with st.container(border=True, key="networks_network"):
        st.markdown("**One network**")
        with shown_errors():
            network(run, found)
    with st.container(border=True, key="networks_table"):
        _table(found)


def _answer(run: Run, found: dict[str, Any]) -> None:
    """Draw the network that is taken, or would be now."""
    if found.get("impossible"):
        st.markdown(f"**{found['impossible']}** Relax that limit, or choose another space.")
        return
    row = row_of(found, answer_of(found))
    yet = " yet" if run.state in ACTIVE else ""
    if row is None:
        more = "" if yet else " Give it more minutes, and start again."
        st.caption(f"No network was trained{yet}.{more}")
        return
    if found["chosen"] is not None:
        st.markdown(f"**{row['title']}** {why_taken(found)}")
    else:
        st.markdown(f"**No network keeps all limits{yet}.** Closest: {row['title']}.")
        st.caption(found["closest"]["text"])
    _metrics(found, row)
    doubts = [] if yet else found.get("doubts", [])
    if doubts:
        st.warning(" ".join([*doubts, _what_helps(run, row)]), icon=":material/warning:")
    verified_file(run, "secondary" if doubts else "primary")


def _what_helps(run: Run, row: dict[str, Any]) -> str:
    """Return what can be done about a network that speaks against itself."""
    if row["epochs"] < int(run.spec.get("epochs", 0)):
        return "Give the search more minutes, or press *Train to the end* below."
    return "Give the search more minutes, choose another space, or relax a limit of cost."


def _metrics(found: dict[str, Any], row: dict[str, Any]) -> None:
    accuracy = row["quality"]
    error = found.get("tests", {}).get(str(row["number"]))
    limits = found["goals"]["limits"]
    with st.grid(3, min_column_width=180):
        with st.container(border=True, gap="xxsmall", height="stretch"):
            st.metric(f"Accuracy :gray-badge[{accuracy['how']}]", accuracy["text"])
            n = f"{accuracy['n']:,} validation samples"
            st.caption(f"{n}; error on test {error['text']}" if error else n)
            if again := found.get("seeds", {}).get(str(row["number"])):
                times = times_text(again["n"])
                st.caption(f"Trained again {times}, from other weights: error {again['text']}")
        for cost in found["goals"]["objectives"][1:]:
            figure = row["figures"].get(cost)
            if figure is None:
                continue
            with st.container(border=True, gap="xxsmall", height="stretch"):
                value = format_value(figure["value"], figure["unit"]).removesuffix(" MACs")
                st.metric(
                    f"{FIGURES[cost].title} :gray-badge[{figure['how']}]",
                    value,
                    help=FIGURES[cost].about,
                )
                st.caption(_bounds(figure, limits.get(cost)))


def _bounds(figure: dict[str, Any], most: float | None) -> str:
    unit = figure["unit"]
    words = [] if most is None else [f"{format_value(most, unit)} allowed"]
    if figure["low"] < figure["high"]:
        low, high = (format_value(max(0.0, figure[end]), unit) for end in ("low", "high"))
        words.append(f"{low} to {high}")
    return "; ".join(words) or "no limit"


def _front(found: dict[str, Any]) -> None:
    costs = found["goals"]["objectives"][1:]
    st.markdown("**Trained networks**")
    # In a row beside the heading it would not wrap: on a phone the last would be cut off.
    view = st.segmented_control(
        "View",
        [*costs, *_VIEWS],
        default=costs[0],
        format_func=lambda name: _VIEWS[name] if name in _VIEWS else FIGURES[name].title,
        required=True,
        key="networks_view",
        label_visibility="collapsed",
    )
    if not any(row["outcome"] == "measured" for row in found["candidates"]):
        st.caption("Networks appear here as soon as the first was trained.")
        return
    if view == "all":
        axes, lines = axes_and_lines(found)
        st.plotly_chart(charts.parallel(axes, lines), key="networks_parallel", config=_PLOT)
        st.caption("One line a network, by its longest training. Costs and error: less is better.")
        return
    if view == "lineage":
        st.plotly_chart(
            charts.lineage(lineage_points(found), answer_of(found)),
            key="networks_lineage",
            config=_PLOT,
        )
        st.caption(
            "Lines lead from a network to those that evolution made of it, by crossing two or "
            "changing one, and to itself trained for longer. Networks without a line were drawn, "
            "or asked for at the start."
        )
        return
    limits = found["goals"]["limits"]
    points = points_of(found, view)
    st.plotly_chart(
        charts.network_front(
            points,
            {"x": limits.get(view), "y": limits.get("error")},
            {"x": axis_title(view), "y": "Error, % of validation samples"},
        ),
        key="networks_chart",
        config=_PLOT,
    )
    sized = sum(row["outcome"] == "sized" for row in found["candidates"])
    others = f" {sized} more would miss a limit of cost and were not trained." if sized else ""
    dashed = "Dashed: the limits. " if {view, "error"} & limits.keys() else ""
    front = [point for point in points if point["is_front"]]
    ringed = (
        " Ringed: on the front by another figure." if len(staircase(front)) < len(front) else ""
    )
    st.caption(f"{dashed}Darker and larger: trained for longer.{ringed}{others}")


def _trust(found: dict[str, Any]) -> None:
    st.markdown("**Can proxies be trusted here?**")
    rows = trust_rows(found)
    if not rows:
        st.caption(
            "Told as soon as eight networks were trained equally long: whether figures that need "
            "no training put them in the same order."
        )
        return
    st.plotly_chart(charts.trust_meter(rows), key="networks_trust_chart", config=_PLOT)
    n = rows[0]["tau"]["n"]
    st.caption(
        f"1: the order of the {n} networks that were trained for short; 0: no relation. A proxy "
        "that is not beyond the plain counts is not worth its time. Bars: 95 % intervals; "
        "Spearman's rho is told on hover."
    )


def _table(found: dict[str, Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**The front**, cheapest first", width="content")
        st.space("stretch")
        every = st.toggle("All that was tried", key="networks_all")
    rows = table_rows(found, None if every else found["front"])
    if not rows:
        st.caption("Nothing was trained yet.")
        return
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="networks_rows")
