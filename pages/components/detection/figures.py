"""Figures of the Detection page: precision of both models, and what is found and missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

__all__ = ["SIDES", "count_table", "in_words", "tiles"]

SIDES = {"original": "Original", "compressed": "Compressed"}
"""Names of both models by the evaluator's."""
_COLORS: dict[str, Any] = {"better": "green", "worse": "red", "same": "gray"}


def tiles(found: Mapping[str, Any]) -> None:
    """Draw a tile for each metric, the change of the first one, and what was left out."""
    with st.grid(2, min_column_width=240):
        for i, figure in enumerate(found["figures"]):
            change = found["change"] if i == 0 else None
            with st.container(border=True, gap="xxsmall"):
                st.metric(
                    f"{figure['title']} :gray-badge[{figure['after']['how']}]",
                    figure["after"]["text"],
                    change["text"] if change else None,
                    delta_color=_COLORS[change["direction"]] if change else "off",
                    delta_arrow="off",
                    help=figure["about"],
                )
                beside = f"; {change['verdict']}" if change else ""
                st.caption(
                    f"was {figure['before']['text']} on {figure['after']['n']:,} scenes{beside}"
                )
    if found["omitted"]:
        st.caption(
            "Training steps of the recipe are left out: no trained model is stored for them."
        )


def in_words(answer: Mapping[str, Any]) -> str:
    """Say what a model finds in one scene.

    Example:
        >>> in_words({"boxes": [{"is_right": True}, {"is_right": False}], "missed": []})
        '1 found, 0 missed, 1 false'
    """
    right = sum(box["is_right"] for box in answer["boxes"])
    false = len(answer["boxes"]) - right
    return f"{right} found, {len(answer['missed'])} missed, {false} false"


def count_table(counts: Mapping[str, Mapping[str, Any]], score: float) -> None:
    """Draw what both models find in all scenes from a score on."""
    st.markdown(f"**All scenes**, boxes of a score of at least {score:.2f}")
    rows = [
        {
            "": title,
            "Objects found": counts[name]["found"]["text"],
            "Objects missed": counts[name]["missed"]["text"],
            "False boxes": counts[name]["false"]["text"],
        }
        for name, title in SIDES.items()
    ]
    st.table(rows, border="horizontal", hide_index=True)
    st.caption(
        "An object is found by a box of its class that overlaps it by one half (IoU); each counts "
        "once."
    )
