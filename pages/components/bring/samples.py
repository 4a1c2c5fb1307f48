"""Samples of data: pictures, lines, rows."""

from __future__ import annotations

import base64
from typing import Any

import pandas as pd
import streamlit as st

from pages.components import charts
from pages.components.runs.words import plain

__all__ = ["samples"]

_SERIES = 6


def samples(look: dict[str, Any]) -> None:
    """Draw samples as the model will see them, with what they are.

    Args:
        look: Of :func:`optim.first_look.data.look_at_data`.
    """
    shown = look["samples"]
    if all("image" in sample for sample in shown):
        _pictures(shown)
    elif len(look["input_shape"]) == 2:
        st.plotly_chart(
            charts.small_lines(shown[:_SERIES]),
            key="bring_series",
            config={"displayModeBar": False},
        )
    elif len(look["input_shape"]) == 1:
        _rows(shown, look["columns"], "class" if look["classes"] else "target")
    else:
        st.caption("These samples are neither pictures nor series, and are not drawn.")
    st.caption(_about(look))


def _pictures(shown: list[dict[str, Any]]) -> None:
    with st.container(horizontal=True, gap="small"):
        for sample in shown:
            label = sample["label"]
            st.image(
                base64.b64decode(sample["image"].partition(",")[2]),
                caption=None if label is None else plain(label),
                width=96,
                alt="Sample" if label is None else f"Sample of class {label}",
            )


def _rows(shown: list[dict[str, Any]], columns: list[str], target: str) -> None:
    values = [sample["values"][0] for sample in shown]
    names = columns[: len(values[0])] or [f"feature {i + 1}" for i in range(len(values[0]))]
    table = pd.DataFrame(values, columns=names)
    if shown[0]["label"] is not None:
        table.insert(0, target, [sample["label"] for sample in shown], allow_duplicates=True)
    st.dataframe(table, hide_index=True, key="bring_rows", height=240, alt="Samples of the table")


def _about(look: dict[str, Any]) -> str:
    """Say how many samples there are, of which classes, and what reaches the model."""
    parts = ", ".join(
        f"{count:,} samples" if part == "all" else f"{count:,} {part}"
        for part, count in look["parts"].items()
    )
    pieces = [f"{parts}."]
    if look["classes"]:
        pieces.append(f"{len(look['classes'])} classes.")
    if seen := look["seen"]:
        pieces.append(
            f"What reaches the model lies in {seen['low']:g} to {seen['high']:g}, mean "
            f"{seen['mean']:g}, deviation {seen['std']:g}."
        )
        drawn = len(look["samples"][0].get("values", [[]])[0])
        if len(look["input_shape"]) == 2 and drawn < look["input_shape"][1]:
            pieces.append(f"Drawn are the first {drawn} of {look['input_shape'][1]:,} values.")
        if any("image" in sample for sample in look["samples"]):
            dark, bright = seen["window"]
            pieces.append(f"Black is {dark:g}, white {bright:g}.")
    return " ".join(pieces)
