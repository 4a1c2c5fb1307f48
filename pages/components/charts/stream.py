"""Charts of a stream: what was answered when, and how noise is borne."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pages.components.drawing import OF as _OF
from pages.components.drawing import bars as _bars
from pages.components.drawing import figure as _figure

__all__ = ["answer_times", "noise_curves", "played"]

_MODELS = {
    "original": ("Original", _OF["before"], "circle-open"),
    "compressed": ("Now", _OF["after"], "circle"),
}
"""Name, colour and mark of both models by the evaluator's name."""


def played(info: Mapping[str, Any], quiet: str, frame_ms: float) -> go.Figure:
    """Draw a series window by window, with what both models say; it plays in the browser.

    Args:
        info: The evaluator's answer to the question ``stream``.
        quiet: The class that raises no alarm.
        frame_ms: How long a window is shown.
    """
    values, targets = info["windows"]["values"], info["windows"]["targets"]
    names, step = info["classes"], info["windows"]["step"]
    figure = make_subplots(rows=2, cols=1, row_heights=[0.55, 0.45], vertical_spacing=0.18)
    figure.update_layout(
        height=460,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.1, "x": 0},
    )
    at = [i * step for i in range(len(values[0]))]
    figure.add_scatter(x=at, y=values[0], mode="lines", line={"width": 1}, showlegend=False)
    rows = {"true": targets, **{name: info[name]["choices"] for name in _MODELS}}
    titles = {"true": "true class", "original": "Original", "compressed": "Now"}
    for name, classes in rows.items():
        alarm = [names[c] != quiet for c in classes]
        colour = _MODELS[name][1] if name in _MODELS else "#5f6b7a"
        figure.add_scatter(
            x=list(range(1, len(classes) + 1)),
            y=[titles[name]] * len(classes),
            customdata=[names[c] for c in classes],
            mode="markers",
            marker={
                "color": colour,
                "size": 8,
                "symbol": ["triangle-up" if a else "circle-open" for a in alarm],
            },
            hovertemplate="window %{x}: %{customdata}<extra></extra>",
            name=titles[name],
            showlegend=False,
            row=2,
            col=1,
        )
    figure.add_scatter(
        x=[1, 1],
        y=["true class", "Now"],
        mode="lines",
        line={"color": "rgba(128,140,155,0.8)", "width": 2, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
        row=2,
        col=1,
    )
    figure.frames = [
        go.Frame(data=[{"y": window}, {"x": [k, k]}], traces=[0, 4], name=str(k))
        for k, window in enumerate(values, start=1)
    ]
    still = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate"}
    figure.update_layout(
        updatemenus=[
            {
                "type": "buttons",
                "showactive": False,
                "direction": "left",
                **{"x": 0, "y": 1.12, "xanchor": "left", "yanchor": "bottom"},
                "buttons": [
                    {
                        "label": "Play",
                        "method": "animate",
                        "args": [
                            None,
                            {
                                "frame": {"duration": frame_ms, "redraw": False},
                                "transition": {"duration": 0},
                                "fromcurrent": True,
                            },
                        ],
                    },
                    {"label": "Pause", "method": "animate", "args": [[None], still]},
                ],
            }
        ],
        margin={"t": 48},
    )
    # Of a series of zeros, the line lies in the middle.
    most = max(abs(value) for window in values for value in window) or 1.0
    figure.update_xaxes(
        title="Sample of the window", automargin=True, fixedrange=True, row=1, col=1
    )
    figure.update_yaxes(
        title="Value", range=[-most, most], automargin=True, fixedrange=True, row=1, col=1
    )
    figure.update_xaxes(title="Window", automargin=True, fixedrange=True, row=2, col=1)
    figure.update_yaxes(automargin=True, fixedrange=True, row=2, col=1)
    return figure


def answer_times(info: Mapping[str, Any], deadline_ms: float) -> go.Figure:
    """Draw how long each answer of both models took, with the deadline as a line."""
    figure = _figure("Window", "Time of an answer, ms", 280)
    for name, (title, colour, symbol) in _MODELS.items():
        times = info[name]["times_ms"]
        figure.add_scatter(
            x=list(range(1, len(times) + 1)),
            y=times,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 6},
            name=title,
            hovertemplate="window %{x}: %{y:.3f} ms<extra></extra>",
        )
    figure.add_hline(y=deadline_ms, line={"color": "#c0392b", "dash": "dash", "width": 1.5})
    figure.add_annotation(
        text="deadline", xref="paper", x=1, xanchor="right", yanchor="bottom", showarrow=False,
        y=math.log10(deadline_ms),
    )  # fmt: skip
    figure.update_yaxes(type="log")
    return figure


def noise_curves(points: Sequence[Mapping[str, Any]], level: float) -> go.Figure:
    """Draw the accuracy of both models over added noise, with the present level marked."""
    figure = _figure("Added noise, standard deviations of each channel", "Accuracy, %", 280)
    for name, (title, colour, symbol) in _MODELS.items():
        of = [point[name] for point in points]
        figure.add_scatter(
            x=[point["level"] for point in points],
            y=[100 * f["value"] for f in of],
            error_y=_bars(of, thickness=1, color=colour, factor=100),
            text=[f["text"] for f in of],
            mode="lines+markers",
            marker={"color": colour, "symbol": symbol, "size": 8},
            line={"color": colour, "width": 2},
            name=title,
            hovertemplate="%{x}: %{text}<extra></extra>",
        )
    figure.add_vline(x=level, line={"color": "rgba(128,140,155,0.8)", "dash": "dot"})
    return figure
