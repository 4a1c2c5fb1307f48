"""What still charts have in common: an empty figure, and one colour for each of both models."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

__all__ = ["JUST_ABOVE", "OF", "TAKEN", "add_answer_", "bars", "figure", "plain"]

OF = {"before": "#1a8f5a", "after": "#4678d8"}
"""One colour for the original and one for the compressed model, everywhere."""


TAKEN = "#1a8f5a"
"""Colour of what a search takes."""
_LIMIT = {"color": "#c0392b", "dash": "dash", "width": 1.5}
JUST_ABOVE = {"y": 1, "yanchor": "bottom"}
"""Where the legend of a high chart stands: a share of its height would leave a gap."""


def bars(
    quantities: Iterable[Mapping[str, Any] | None],
    *,
    at: str = "value",
    factor: float = 1,
    thickness: float = 1.5,
    **look: Any,
) -> dict[str, Any]:
    """Return error bars of intervals, which need not be symmetric.

    Args:
        quantities: With ``low`` and ``high``; None has no bar.
        at: Name of the value in them.
        factor: What a value is multiplied with to be drawn.
        thickness: Of the line, in pixels.
        **look: Further properties of error bars in plotly.
    """
    ends = [(q["high"] - q[at], q[at] - q["low"]) if q else (0, 0) for q in quantities]
    return {
        "type": "data",
        "symmetric": False,
        "array": [factor * above for above, _ in ends],
        "arrayminus": [factor * below for _, below in ends],
        "thickness": thickness,
        **look,
    }


def figure(x_title: str, y_title: str, height: int = 320) -> go.Figure:
    """Return a figure without data; its colours and font come from the page's theme."""
    empty = go.Figure()
    empty.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.12, "x": 0},
        xaxis={"title": x_title, "automargin": True, "fixedrange": True},
        yaxis={"title": y_title, "automargin": True, "fixedrange": True},
    )
    return empty


def plain(text: str) -> str:
    """Return text that Plotly shows as it is written: names come from files."""
    return html.escape(text, quote=False)


def add_answer_(
    found: go.Figure,
    front: Sequence[Mapping[str, Any]],
    points: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float | None],
) -> None:
    """Draw front, what is taken, and limits into a chart of candidates.

    Args:
        found: What is drawn into; cost lies on ``x``.
        front: Points the line joins, cheapest first.
        points: ``x``, ``y``, ``low``, ``high`` (of ``y``), ``text``, ``is_taken``.
        limits: Of ``x`` and ``y``; None for none.
    """
    if front:
        found.add_scatter(
            x=[p["x"] for p in front],
            y=[p["y"] for p in front],
            mode="lines",
            name="Front",
            line={"color": OF["after"], "width": 1.5, "shape": "hv"},
            hoverinfo="skip",
        )
    taken = [p for p in points if p["is_taken"]]
    if taken:
        found.add_scatter(
            x=[p["x"] for p in taken],
            y=[p["y"] for p in taken],
            error_y=bars(taken, at="y"),
            mode="markers",
            name="Taken",
            marker={"color": TAKEN, "symbol": "star", "size": 16},
            text=[plain(p["text"]) for p in taken],
            hovertemplate="%{text}<extra></extra>",
        )
    if limits.get("x") is not None:
        found.add_vline(x=limits["x"], line=_LIMIT)
    if limits.get("y") is not None:
        found.add_hline(y=limits["y"], line=_LIMIT)
    found.update_layout(legend=JUST_ABOVE)
    found.update_xaxes(type="log", dtick="D2", tickformat="~s")
