"""Charts of trainings: curves over epochs, and alternatives side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pages.components.drawing import OF as _OF
from pages.components.drawing import bars as _bars
from pages.components.drawing import figure as _figure

__all__ = ["accuracy_by_time", "epoch_curves", "gaps", "side_by_side"]

_CURVES = {
    "validation": {"color": _OF["after"], "width": 2.5},
    "training": {"color": "#e0872b", "width": 2, "dash": "dot"},
}
"""What is measured on validation samples and what on training samples, everywhere."""


def epoch_curves(info: Mapping[str, Any], y_title: str, unit: str = "") -> go.Figure:
    """Draw figures of every epoch, step after step; the newest is marked and named.

    Args:
        info: ``steps`` with title, start and end, ``curves`` with name and one list of points a
            step, ``end``: the last epoch planned. May hold ``reference``: value and text of the
            original model.
        y_title: Name of the axis, with its unit.
        unit: What follows a number.
    """
    figure = _figure("Epoch", y_title, 300)
    newest = [_newest(curve) for curve in info["curves"]]
    for curve, (x, y) in zip(info["curves"], newest, strict=True):
        points = [point for stretch in curve["stretches"] for point in [*stretch, (None, None)]]
        line = _CURVES[curve["name"]]
        figure.add_scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            mode="lines+markers",
            connectgaps=False,
            line=line,
            marker={"size": 4, "color": line["color"]},
            showlegend=False,
            hovertemplate=f"{curve['name']}, epoch %{{x}}: %{{y:.4g}}{unit}<extra></extra>",
        )
        figure.add_scatter(
            x=[x],
            y=[y],
            mode="markers",
            marker={"size": 10, "color": line["color"]},
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_annotation(
            x=x,
            y=y,
            text=f"{curve['name']} {y:.3g}{unit}",
            showarrow=False,
            xanchor="left",
            xshift=9,
            # Two names at one height would hide each other.
            yshift=0 if len(newest) < 2 else 7 if y == max(other for _, other in newest) else -7,
            font={"color": line["color"]},
        )
    if len(info["steps"]) > 1:
        for step in info["steps"]:
            _name_step(figure, step)
    if reference := info.get("reference"):
        figure.add_hline(
            y=reference["value"],
            line={"color": _OF["before"], "width": 1.5, "dash": "dash"},
            annotation={
                "text": reference["text"],
                "font": {"color": _OF["before"]},
                "xanchor": "left",
                "x": 0,
                "yanchor": "bottom",
            },
        )
    end = max(1, info["end"])
    every = -(-end // 8)
    figure.update_xaxes(range=[0, end * 1.02], tickvals=list(range(every, end + 1, every)))
    # Room on the right for the names of the newest points, whatever the width.
    figure.update_layout(margin={"r": 130})
    return figure


def _newest(curve: Mapping[str, Any]) -> tuple[float, float]:
    """Return the last point of a curve."""
    last: tuple[float, float] = [point for stretch in curve["stretches"] for point in stretch][-1]
    return last


def _name_step(figure: go.Figure, step: Mapping[str, Any]) -> None:
    if step["start"]:
        figure.add_vline(
            x=step["start"] + 0.5,
            line={"color": "rgba(128,140,155,0.6)", "width": 1, "dash": "dot"},
        )
    figure.add_annotation(
        x=step["start"] + 0.5,
        y=1.0,
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        text=step["title"],
        showarrow=False,
    )
    figure.update_layout(margin={"t": 26})


_ALTERNATIVES = (
    _OF["before"],
    _OF["after"],
    "#e0872b",
    "#a23fb0",
    "#5f6b7a",
    "#b8860b",
    "#0e8a9a",
    "#c05a7a",
)
"""The baseline in the colour of the original, then one colour an alternative, everywhere."""


def _color(index: int) -> str:
    return _ALTERNATIVES[index % len(_ALTERNATIVES)]


def side_by_side(alternatives: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw accuracy by epoch of several trainings: solid validation, dotted training samples."""
    figure = _figure("Epoch", "Accuracy, %", 360)
    for i, alternative in enumerate(alternatives):
        for kind, name, dash in (
            ("accuracy", "validation", "solid"),
            ("train_accuracy", "training", "dot"),
        ):
            points = alternative[kind]
            figure.add_scatter(
                x=[epoch for epoch, _ in points],
                y=[value for _, value in points],
                mode="lines+markers" if kind == "accuracy" else "lines",
                line={"color": _color(i), "width": 2, "dash": dash},
                marker={"size": 5, "color": _color(i)},
                name=alternative["title"],
                legendgroup=alternative["title"],
                showlegend=kind == "accuracy",
                hovertemplate=f"{alternative['title']}, {name}, epoch %{{x}}: %{{y:.1f}} %"
                "<extra></extra>",
            )
    end = max(
        epoch for alternative in alternatives for epoch, _ in alternative["accuracy"] or [(1, 0)]
    )
    every = -(-end // 8)
    figure.update_xaxes(tickvals=list(range(every, end + 1, every)))
    return figure


def gaps(outcomes: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the generalisation gap of every alternative with its interval, the baseline on top."""
    figure = _figure("Gap, points", "", max(220, 44 * len(outcomes) + 70))
    for i, outcome in enumerate(outcomes):
        gap = outcome["gap"]
        figure.add_scatter(
            x=[gap["value"]],
            y=[outcome["title"]],
            error_x=_bars([gap]),
            mode="markers",
            marker={"size": 11, "color": _color(i)},
            showlegend=False,
            hovertemplate="%{y}: %{x:.1f} points<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": "rgba(128,140,155,0.6)", "width": 1})
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def accuracy_by_time(outcomes: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw accuracy against training time, with both intervals, each point named."""
    figure = _figure("Training time, s", "Accuracy, %", max(220, 44 * len(outcomes) + 70))
    for i, outcome in enumerate(outcomes):
        seconds, accuracy = outcome["seconds"], outcome["accuracy"]
        figure.add_scatter(
            x=[seconds["value"]],
            y=[100 * accuracy["value"]],
            error_x=_bars([seconds]),
            error_y=_bars([accuracy], factor=100),
            mode="markers+text",
            text=[outcome["title"]],
            textposition="top right",
            textfont={"color": _color(i)},
            cliponaxis=False,
            marker={"size": 11, "color": _color(i)},
            showlegend=False,
            hovertemplate="%{text}: %{y:.1f} %, %{x:.1f} s<extra></extra>",
        )
    return figure
