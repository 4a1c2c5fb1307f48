"""One rung: does it fit, what is in the way, what would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from optim.recipe import Recipe
from pages.components import charts
from pages.components.devices.energy import energy
from pages.components.devices.sums import sums
from pages.components.devices.trying import try_in_lab

__all__ = ["detail"]

_UNKNOWN = {"text": "not known"}


def detail(
    found: Mapping[str, Any],
    shown: Sequence[Mapping[str, Any]],
    recipe: Recipe,
    *,
    is_ours: bool = True,
) -> None:
    """Draw the choice of one device and what there is to say about it.

    Args:
        found: The evaluator's answer to the question ``ladder``.
        shown: Rows of the chosen devices.
        recipe: What was asked about.
        is_ours: Whether it is about the model of the Lab, which can be changed there.
    """
    by_name = {row["name"]: row for row in shown}
    if not by_name:
        return
    # A device to begin with: the first on which the model does not fit has most to say.
    first = next((name for name, row in by_name.items() if not row["after"]["fits"]), None)
    names = list(by_name)
    with st.container(border=True, key="rung"):
        name = st.selectbox(
            "Device",
            names,
            index=names.index(first) if first else 0,
            format_func=lambda name: f"{by_name[name]['title']} · {by_name[name]['class_title']}",
            key=f"rung_{len(names)}_{names[0]}",
        )
        row = by_name[name]
        _rung(row, is_compressed=found["is_compressed"], is_ours=is_ours)
        if found["is_integer"] and row["has_vnni"] is False:
            sums(recipe, is_ours=is_ours)
        _notes(row)


def _rung(row: Mapping[str, Any], *, is_compressed: bool, is_ours: bool) -> None:
    after = row["after"]
    with st.container(horizontal=True, vertical_alignment="center"):
        if after["fits"] and after["is_certain"]:
            st.badge("fits", color="green", icon=":material/check:")
        elif after["fits"]:
            st.badge("memory not known", color="gray", icon=":material/question_mark:")
        else:
            st.badge(f"does not fit: {after['limit_title']}", color="red", icon=":material/block:")
        st.markdown(f"{after['text']} With {after['runtime']}.", width="content")
    left, right = st.columns(2)
    with left:
        _figures(row, is_compressed=is_compressed)
        if not after["fits"]:
            _change(row["change"], is_ours=is_ours)
    with right:
        if after["parts"]["compute"] > 0:
            sides = [("Now", after["parts"])]
            if is_compressed:
                sides.insert(0, ("Original", row["before"]["parts"]))
            st.markdown(
                "**What the time is spent on**"
                + (f": mostly {after['limit_title'].lower()}" if after["fits"] else "")
            )
            st.plotly_chart(
                charts.time_parts(sides), key="time_parts", config={"displayModeBar": False}
            )
    if st.toggle("Energy, battery and carbon", key="rung_energy"):
        energy(row, is_compressed=is_compressed)


def _notes(row: Mapping[str, Any]) -> None:
    for note in dict.fromkeys([*row["after"]["notes"], row["limits"], row["notes"]]):
        if note:
            st.caption(note[:1].upper() + note[1:])
    with st.expander("Where the figures of this device come from"):
        st.caption(f"{row['chip']}. " + "; ".join(row["sources"]) + ".")


def _figures(row: Mapping[str, Any], *, is_compressed: bool) -> None:
    """Draw latency and peak memory, of both models where there are two."""
    sides = [("Now", row["after"])]
    if is_compressed:
        sides.insert(0, ("Original", row["before"]))
    with st.container(horizontal=True):
        for title, rung in sides:
            text = (rung["latency"] or _UNKNOWN)["text"] if rung["fits"] else "does not fit"
            _figure(f"{title}, estimated", text)
    if row["after"]["problem"] == "support":
        return
    with st.container(horizontal=True):
        for title, rung in sides:
            _figure(f"Peak memory, {title.lower()}", (rung["memory"] or _UNKNOWN)["text"])
    known = "is estimated" if row["after"]["memory"] else "is not known"
    st.caption(f"Memory {known}: {row['after']['memory_about']}.")


def _figure(label: str, text: str) -> None:
    value, _, ends = text.partition(" (")
    with st.container(width="content", gap="xsmall"):
        st.metric(label, value)
        if ends:
            st.caption(ends.removesuffix(")"))


def _change(change: Mapping[str, Any] | None, *, is_ours: bool) -> None:
    if change is None:
        st.markdown(
            "**No change of this kind makes it fit.** Floating point, 8 bits and up to 90 % of the "
            "channels removed were tried, as far as the model allows; a smaller architecture is "
            "needed."
        )
        return
    quality = ""
    if change["quality"]:
        quality = f" It then reaches {change['quality']['text']} before any training"
        if change["difference"]:
            quality += f" ({change['difference']['text']})"
        quality += "."
    st.markdown(f"**The cheapest change with which it fits:** {change['text']}.{quality}")
    try_in_lab(change["link"], key="try_change", is_ours=is_ours)
