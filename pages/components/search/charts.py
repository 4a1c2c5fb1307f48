"""Still charts of searches: plain data in, Plotly figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pages.components.drawing import OF, add_answer_, figure, joined_, plain

__all__ = ["search_front"]

_STAGES = {
    "without training": ("Without training", "#8fa3bf", "circle"),
    "refined": ("Refined", "#5f6b7a", "circle"),
    "trained before": ("Trained", OF["after"], "circle"),
    "short training": ("Trained", OF["after"], "circle"),
    "long training": ("Trained", OF["after"], "circle"),
    "baseline": ("Baselines", "#e0872b", "x-thin"),
}
"""Name, colour and mark of candidates by the stage of a search."""


def search_front(
    points: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float | None],
    titles: Mapping[str, str],
) -> go.Figure:
    """Draw candidates of a search: what each costs and loses, the front, and the limits.

    Args:
        points: ``x``, ``y``, ``low``, ``high`` (of ``y``), ``stage``, ``text`` (told on hover),
            ``is_front``, ``is_taken``, ``is_closest``.
        limits: Of ``x`` and ``y``; None for none.
        titles: Of the axes ``x`` and ``y``.
    """
    found = figure(titles["x"], titles["y"], 400)
    for name in dict.fromkeys(title for title, _, _ in _STAGES.values()):
        own = [p for p in points if _STAGES.get(p["stage"], ("", "", ""))[0] == name]
        if not own:
            continue
        _, color, symbol = _STAGES[own[0]["stage"]]
        found.add_scatter(
            x=[p["x"] for p in own],
            y=[p["y"] for p in own],
            mode="markers",
            name=name,
            marker={
                "color": color,
                "symbol": symbol,
                "size": 8,
                "line": {"width": 2 if symbol == "x-thin" else 0, "color": color},
            },
            text=[plain(p["text"]) for p in own],
            hovertemplate="%{text}<extra></extra>",
        )
    line = joined_(found, [p for p in points if p["is_front"]])
    add_answer_(found, line, points, limits)
    # Two beside each other in half a page: one below the other they would take the chart's room.
    found.update_layout(legend={"entrywidth": 80, "font": {"size": 10}})
    if points:
        # What loses everything would leave no room for what matters.
        top = max(
            10.0,
            4 * (limits.get("y") or 0.0),
            *(1.5 * p["high"] for p in points if p["is_taken"] or p["is_closest"]),
        )
        lowest = min(p["y"] for p in points)
        found.update_yaxes(range=[min(-0.08 * top, 1.2 * lowest), top])
    return found
