"""Charts of weights: how they are spread, and what they take on disk."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from pages.components.drawing import OF as _OF
from pages.components.drawing import figure as _figure

__all__ = ["size_bars", "weight_histogram"]

_SIZES = {
    "dense": "Float32",
    "bit_width": "At bit-width",
    "sparse": "Zeros left out",
    "entropy": "Entropy-coded",
    "file": "ONNX file",
}


def weight_histogram(info: Mapping[str, Any]) -> go.Figure:
    """Draw the weights of one layer before and after, batch norm folded in."""
    edges = info["edges"]
    centres = [(a + b) / 2 for a, b in pairwise(edges)]
    figure = _figure("Weight, batch norm folded in", "Number of weights")
    for key, title, opacity in (("before", "Original", 0.45), ("after", "Now", 0.75)):
        figure.add_bar(
            x=centres,
            y=info[key],
            name=title,
            marker={"color": _OF[key], "opacity": opacity, "line": {"width": 0}},
            hovertemplate="%{x:.3f}: %{y}<extra></extra>",
        )
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_yaxes(type="log", dtick=1)
    return figure


def size_bars(info: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Draw the encoded sizes and the file, original beside compressed."""
    figure = _figure("Kilobytes", "", 330)
    for model, title in (("original", "Original"), ("compressed", "Now")):
        sizes = info[model]
        figure.add_bar(
            y=list(_SIZES.values()),
            x=[sizes[key]["value"] / 1000 for key in _SIZES],
            text=[sizes[key]["text"] for key in _SIZES],
            textposition="outside",
            cliponaxis=False,
            name=title,
            orientation="h",
            marker={"color": _OF["before" if model == "original" else "after"]},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(barmode="group", bargap=0.25)
    return figure
