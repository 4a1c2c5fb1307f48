"""Charts of single classes: how often each is right, and what it is taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pages.components.drawing import OF as _OF
from pages.components.drawing import figure as _figure

__all__ = ["class_changes", "confusion", "softened"]


def class_changes(classes: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the accuracy of each class before and after, joined by a line."""
    ordered = sorted(classes, key=lambda c: c["after"]["value"], reverse=True)
    names = [c["name"] for c in ordered]
    figure = _figure("Accuracy, %", "Class", max(260, 30 * len(names) + 70))
    for c in ordered:
        figure.add_scatter(
            x=[100 * c["before"]["value"], 100 * c["after"]["value"]],
            y=[c["name"]] * 2,
            mode="lines",
            line={"color": "rgba(128,140,155,0.6)", "width": 2},
            showlegend=False,
            hoverinfo="skip",
        )
    for key, title, symbol in (("before", "Original", "circle-open"), ("after", "Now", "circle")):
        figure.add_scatter(
            x=[100 * c[key]["value"] for c in ordered],
            y=names,
            text=[c[key]["text"] for c in ordered],
            hovertemplate="%{y}: %{text}<extra></extra>",
            mode="markers",
            name=title,
            marker={"size": 10, "symbol": symbol, "color": _OF[key]},
        )
    figure.update_yaxes(type="category")
    return figure


def confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> go.Figure:
    """Draw the confusion of the compressed model, each row in percent of its true class."""
    shares = [[100 * n / max(1, sum(row)) for n in row] for row in counts]
    figure = _figure("Predicted class", "True class", max(300, 26 * len(names) + 110))
    figure.add_heatmap(
        z=shares,
        x=list(names),
        y=list(names),
        customdata=[list(row) for row in counts],
        colorscale=[[0, "rgba(70,120,216,0.03)"], [0.15, "rgba(70,120,216,0.35)"], [1, "#2f5fd0"]],
        zmin=0,
        zmax=100,
        colorbar={"title": "%", "thickness": 10, "outlinewidth": 0},
        hovertemplate="%{y} taken for %{x}: %{z:.1f} % (%{customdata})<extra></extra>",
        xgap=1,
        ygap=1,
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return figure


def softened(info: Mapping[str, Any]) -> go.Figure:
    """Draw what teacher and student find likely for one sample, class by class."""
    figure = _figure("Class", "Share, %", 340)
    for model, title, color in (("teacher", "Teacher", "before"), ("student", "Student", "after")):
        shares = [100 * share for share in info[model]["shares"]]
        figure.add_bar(
            x=info["names"],
            y=shares,
            name=title,
            marker={"color": _OF[color]},
            hovertemplate=f"{title}, %{{x}}: %{{y:.1f}} %<extra></extra>",
        )
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_xaxes(type="category")
    figure.update_yaxes(range=[0, 100])
    return figure
