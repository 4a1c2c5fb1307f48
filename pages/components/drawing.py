"""What still charts have in common: an empty figure, and one colour for each of both models."""

from __future__ import annotations

import html

import plotly.graph_objects as go

__all__ = ["OF", "figure", "plain"]

OF = {"before": "#1a8f5a", "after": "#4678d8"}
"""One colour for the original and one for the compressed model, everywhere."""


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
