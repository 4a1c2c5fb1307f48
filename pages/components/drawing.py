"""What still charts have in common: an empty figure, and one colour for each of both models."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

__all__ = [
    "CLOSEST",
    "JUST_ABOVE",
    "OF",
    "TAKEN",
    "add_answer_",
    "bars",
    "figure",
    "joined_",
    "plain",
    "staircase",
]

OF = {"before": "#1a8f5a", "after": "#4678d8"}
"""One colour for the original and one for the compressed model, everywhere."""


TAKEN = "#1a8f5a"
"""Colour of what a search takes."""
CLOSEST = "#8e5bb5"
"""Colour of what came closest to limits that nothing keeps."""
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


def staircase(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the points that no other beats in the two figures of a chart, cheapest first.

    A front of three figures has others as well: what costs more of one may cost less of another.

    Args:
        points: ``x`` and ``y``; less is better.

    Example:
        >>> staircase([{"x": 2, "y": 4}, {"x": 3, "y": 6}, {"x": 5, "y": 1}])
        [{'x': 2, 'y': 4}, {'x': 5, 'y': 1}]
    """
    found: list[Mapping[str, Any]] = []
    for point in sorted(points, key=lambda p: (p["x"], p["y"])):
        if not found or point["y"] < found[-1]["y"]:
            found.append(point)
    return found


def joined_(found: go.Figure, front: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the points of a front that a line joins, and ring the others in the chart.

    Args:
        found: What is drawn into; cost lies on ``x``.
        front: ``x`` and ``y`` of what no other beats in all figures.
    """
    line = staircase(front)
    if others := [p for p in front if p not in line]:
        found.add_scatter(
            x=[p["x"] for p in others],
            y=[p["y"] for p in others],
            mode="markers",
            name="Front by another figure",
            marker={"color": OF["after"], "symbol": "circle-open", "size": 14},
            hoverinfo="skip",
            showlegend=False,  # the line below a chart says it; on a phone a legend has no room
        )
    return line


def add_answer_(
    found: go.Figure,
    front: Sequence[Mapping[str, Any]],
    points: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float | None],
) -> None:
    """Draw front, what is taken or came closest, and limits into a chart of candidates.

    Args:
        found: What is drawn into; cost lies on ``x``.
        front: Points the line joins, cheapest first.
        points: ``x``, ``y``, ``low``, ``high`` (of ``y``), ``text``, ``is_taken``; ``is_closest``
            where nothing may be taken.
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
    for name, key, color, symbol in (
        ("Taken", "is_taken", TAKEN, "star"),
        ("Closest", "is_closest", CLOSEST, "diamond"),
    ):
        own = [p for p in points if p.get(key)]
        if own:
            found.add_scatter(
                x=[p["x"] for p in own],
                y=[p["y"] for p in own],
                error_y=bars(own, at="y"),
                mode="markers",
                name=name,
                marker={"color": color, "symbol": symbol, "size": 16 if symbol == "star" else 13},
                text=[plain(p["text"]) for p in own],
                hovertemplate="%{text}<extra></extra>",
            )
    if limits.get("x") is not None:
        found.add_vline(x=limits["x"], line=_LIMIT)
    if limits.get("y") is not None:
        found.add_hline(y=limits["y"], line=_LIMIT)
    found.update_layout(legend=JUST_ABOVE)
    found.update_xaxes(type="log", dtick="D2", tickformat="~s")
