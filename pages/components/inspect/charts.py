"""Still charts of the pages that look into a model: plain data in, Plotly figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pages.components.drawing import JUST_ABOVE, OF, bars, figure, plain

__all__ = [
    "FEW",
    "architecture",
    "class_losses",
    "corruption_curve",
    "histogram",
    "layer_errors",
    "norm_scales",
    "on_grid",
    "reliability",
]

FEW = 5
"""Bins of fewer samples say nothing about how often a model is right."""
_SIDES = (("before", "Original", "circle-open"), ("after", "Now", "circle"))
_FAINT = "rgba(128,140,155,0.6)"
_CLEAR = "rgba(0,0,0,0)"
_VERDICTS = {"better": "#1a8f5a", "worse": "#d64545", "same": "#808c9b"}


def class_losses(classes: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the change of every class with its interval, the largest loss at the top.

    Args:
        classes: ``name``, ``value``, ``low`` and ``high`` of the change in points, ``direction``
            and ``text``.
    """
    ordered = sorted(classes, key=lambda c: c["value"], reverse=True)
    found = figure("Change of accuracy, points", "Class", max(220, 26 * len(ordered) + 70))
    found.add_scatter(
        x=[c["value"] for c in ordered],
        y=[plain(c["name"]) for c in ordered],
        error_x=bars(ordered, color=_FAINT),
        customdata=[plain(c["text"]) for c in ordered],
        mode="markers",
        marker={"size": 9, "color": [_VERDICTS[c["direction"]] for c in ordered]},
        showlegend=False,
        hovertemplate="%{y}: %{customdata}<extra></extra>",
    )
    found.add_vline(x=0, line={"color": _FAINT, "width": 1})
    found.update_yaxes(type="category")
    return found


def reliability(confidence: Mapping[str, Any]) -> go.Figure:
    """Draw how often answers of a confidence are right, and how many there are, of both models.

    Args:
        confidence: What ``optim.inspect.confidence.Confidence.to_json`` has.
    """
    found = make_subplots(rows=2, cols=1, row_heights=[0.68, 0.32], vertical_spacing=0.2)
    found.update_layout(
        height=460,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor=_CLEAR,
        plot_bgcolor=_CLEAR,
        legend={"orientation": "h", "y": 1.1, "x": 0},
        barmode="overlay",
        bargap=0.1,
    )
    found.add_scatter(
        x=[0, 100],
        y=[0, 100],
        mode="lines",
        line={"color": _FAINT, "width": 1, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
        row=1,
        col=1,
    )
    for key, title, symbol in _SIDES:
        bins = confidence[key]["bins"]
        told = [one for one in bins if one["n"] >= FEW and one["accuracy"] is not None]
        found.add_scatter(
            x=[100 * one["confidence"] for one in told],
            y=[100 * one["accuracy"] for one in told],
            customdata=[one["n"] for one in told],
            mode="lines+markers",
            name=title,
            marker={"size": 8, "symbol": symbol, "color": OF[key]},
            line={"color": OF[key], "width": 1.5},
            hovertemplate=f"{title}: %{{y:.0f}} % right where %{{x:.0f}} % sure, "
            "%{customdata} samples<extra></extra>",
            row=1,
            col=1,
        )
        found.add_bar(
            x=[50 * (one["low"] + one["high"]) for one in bins],
            y=[one["n"] for one in bins],
            name=title,
            showlegend=not told,
            marker={"color": OF[key], "opacity": 0.5, "line": {"width": 0}},
            hovertemplate=f"{title}: %{{y}} samples about %{{x:.0f}} % sure<extra></extra>",
            row=2,
            col=1,
        )
    found.update_xaxes(title="Confidence, %", range=[0, 101], fixedrange=True, automargin=True)
    found.update_yaxes(fixedrange=True, automargin=True)
    found.update_yaxes(title="Right, %", range=[0, 102], row=1, col=1)
    found.update_yaxes(title="Samples", row=2, col=1)
    return found


def histogram(info: Mapping[str, Any], title: str) -> go.Figure:
    """Draw values of both models in the same bins.

    Args:
        info: ``edges``, ``before`` (which may be None) and ``after``.
        title: What the values are.
    """
    centres = [(a + b) / 2 for a, b in pairwise(info["edges"])]
    found = figure(title, "Number of values", 300)
    for key, name, opacity in (("before", "Original", 0.45), ("after", "Now", 0.75)):
        if info[key] is None:
            continue
        found.add_bar(
            x=centres,
            y=info[key],
            name=name,
            marker={"color": OF[key], "opacity": opacity, "line": {"width": 0}},
            hovertemplate="%{x:.3g}: %{y}<extra></extra>",
        )
    found.update_layout(barmode="overlay", bargap=0)
    found.update_yaxes(type="log", dtick=1)
    return found


_LINES = 32
"""A grid of more levels is drawn by its ends alone."""


def on_grid(info: Mapping[str, Any]) -> go.Figure:
    """Draw values before rounding, the integers they become, and the grid.

    Args:
        info: What ``optim.inspect.distributions.OnGrid.to_json`` has.
    """
    centres = [(a + b) / 2 for a, b in pairwise(info["edges"])]
    found = figure("Position on the grid, steps", "Number of values", 300)
    sides = (("before", "Before rounding", "#e0872b", 0.55), ("after", "Now", OF["after"], 0.75))
    for key, name, color, opacity in sides:
        if info[key] is None:
            continue
        found.add_bar(
            x=centres,
            y=info[key],
            name=name,
            marker={"color": color, "opacity": opacity, "line": {"width": 0}},
            hovertemplate=f"{name}, %{{x:.4g}}: %{{y}}<extra></extra>",
        )
    low, high = info["qmin"], info["qmax"]
    if high - low < _LINES:
        found.add_scatter(
            x=list(range(low, high + 1)),
            y=[1] * (high - low + 1),
            mode="markers",
            name="Levels",
            marker={"symbol": "line-ns", "size": 10, "line": {"width": 2, "color": "#808c9b"}},
            hovertemplate="level %{x}<extra></extra>",
        )
    for end in (low - 0.5, high + 0.5):
        found.add_vline(x=end, line={"color": "#d64545", "width": 1.5, "dash": "dash"})
    found.update_layout(barmode="overlay", bargap=0)
    found.update_yaxes(type="log", dtick=1)
    first, last = info["edges"][0], info["edges"][-1]
    room = 0.03 * (last - first)
    found.update_xaxes(range=[first - room, last + room])
    return found


def layer_errors(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the SQNR along the network, against the original and of rounding alone.

    Args:
        rows: In order of execution: ``layer``, ``sqnr`` and ``rounding`` (each a value in dB with
            its interval, or None).
    """
    names = [plain(row["layer"]) for row in rows]
    found = figure("Layer, in order", "SQNR, dB", 320)
    for key, title, color, dash in (
        ("sqnr", "To the original", OF["after"], "solid"),
        ("rounding", "Of rounding alone", "#e0872b", "dot"),
    ):
        told = [row[key] for row in rows]
        if not any(told):
            continue
        found.add_scatter(
            x=names,
            y=[one["value"] if one else None for one in told],
            error_y=bars(told, thickness=1, width=2),
            mode="lines+markers",
            name=title,
            connectgaps=False,
            marker={"size": 6, "color": color},
            line={"color": color, "width": 1.5, "dash": dash},
            hovertemplate=f"%{{x}}: %{{y:.1f}} dB, {title.lower()}<extra></extra>",
        )
    found.update_xaxes(
        type="category", categoryorder="array", categoryarray=names, tickangle=-60, nticks=40
    )
    found.update_layout(legend=JUST_ABOVE)
    return found


def norm_scales(norms: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the scales of every batch norm: from the least to the largest, and the middle half.

    Args:
        norms: ``norm``, ``before`` (which may be None) and ``after``: ``channels``, ``quartiles``
            and ``faint``.
    """
    found = figure("Scale, absolute", "", 34 * len(norms) + 90)
    names = [plain(one["norm"]) for one in norms]
    for shift, (key, title, symbol) in zip((-0.16, 0.16), _SIDES, strict=True):
        there = [(i, one[key]) for i, one in enumerate(norms) if one[key]]
        for width, first, last in ((1.5, 0, 4), (5, 1, 3)):
            x: list[float | None] = []
            y: list[float | None] = []
            for i, one in there:
                x += [one["quartiles"][first], one["quartiles"][last], None]
                y += [i + shift, i + shift, None]
            found.add_scatter(
                x=x,
                y=y,
                mode="lines",
                line={"color": OF[key], "width": width},
                showlegend=False,
                hoverinfo="skip",
            )
        found.add_scatter(
            x=[one["quartiles"][2] for _, one in there],
            y=[i + shift for i, _ in there],
            customdata=[
                f"{names[i]}, {title.lower()}: {one['channels']} channels, {one['faint']} next to "
                f"zero, median {one['quartiles'][2]:.3g}"
                for i, one in there
            ],
            mode="markers",
            name=title,
            marker={"size": 9, "symbol": symbol, "color": OF[key]},
            hovertemplate="%{customdata}<extra></extra>",
        )
    found.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
    )
    found.update_layout(legend=JUST_ABOVE)
    return found


def corruption_curve(
    points: Sequence[Mapping[str, Any]], y_title: str, ends: tuple[float, float]
) -> go.Figure:
    """Draw the figure of both models by the severity of one corruption.

    Args:
        points: ``severity``, and of both models, as ``before`` and ``after``, value, low, high and
            text, or None.
        y_title: Name of the figure, with its unit.
        ends: Of the axis, the same for every corruption.
    """
    found = figure("Severity", y_title, 280)
    for key, title, symbol in _SIDES:
        told = [(point["severity"], point[key]) for point in points if point[key]]
        found.add_scatter(
            x=[severity for severity, _ in told],
            y=[q["value"] for _, q in told],
            error_y=bars([q for _, q in told], thickness=1, width=3, color=OF[key]),
            customdata=[q["text"] for _, q in told],
            mode="lines+markers",
            name=title,
            marker={"size": 8, "symbol": symbol, "color": OF[key]},
            line={"color": OF[key], "width": 2},
            hovertemplate=f"{title}, severity %{{x}}: %{{customdata}}<extra></extra>",
        )
    found.update_xaxes(
        tickvals=list(range(6)), ticktext=["none", *map(str, range(1, 6))], range=[-0.3, 5.3]
    )
    found.update_yaxes(range=list(ends))
    return found


_SYMBOLS = {"layer": "circle", "end": "square-open", "other": "diamond"}
_UNKNOWN = "#b9c0c9"
_JUDGED = [[0, "#4678d8"], [0.5, "#e9d8a6"], [1, "#c8443c"]]
_PLAIN = [[0, "#cfdcf7"], [1, "#1f4fc0"]]
"""From good to bad, and from little to much; both stand out from light and dark pages."""
_NAMED = 60
"""Nodes up to which each has its name beside it."""
_LARGEST = 30


def architecture(info: Mapping[str, Any], colour: Mapping[str, Any]) -> go.Figure:
    """Draw the layers of a model as a graph: sized by cost, coloured by what was chosen.

    Args:
        info: ``nodes``: ``x``, ``y``, ``role`` ("layer", "end" or "other"), ``title``, ``text``
            (both for the reader), ``size`` in 0..1 and ``value`` (or None); ``edges``: ``path``;
            ``width`` and ``height``.
        colour: ``title`` of the scale, whether high values are ``judged`` bad, or low ones if it is
            ``reversed``, and ``ends``, the values of its ends.
    """
    nodes = info["nodes"]
    rows = info["height"]
    found = figure("", "", int(min(900, max(260, 34 * rows + 60))))
    x: list[float | None] = []
    y: list[float | None] = []
    for edge in info["edges"]:
        x += [*(point[0] for point in edge["path"]), None]
        y += [*(point[1] for point in edge["path"]), None]
    found.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": "rgba(128,140,155,0.55)", "width": 1.2},
        hoverinfo="skip",
        showlegend=False,
    )
    small = len(nodes) > _NAMED
    largest = _LARGEST * (0.6 if small else 1.0)
    for known in (False, True):
        shown = [node for node in nodes if (node["value"] is not None) == known]
        if not shown:
            continue
        low, high = colour["ends"]
        scale = {
            "color": [node["value"] for node in shown],
            "colorscale": _JUDGED if colour["judged"] else _PLAIN,
            "reversescale": bool(colour["reversed"]),
            "cmin": low,
            "cmax": high,
            "showscale": True,
            "colorbar": {
                "title": {"text": colour["title"], "side": "top"},
                "orientation": "h",
                "thickness": 10,
                "outlinewidth": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "len": 0.6,
                "x": 0,
                "xanchor": "left",
            },
        }
        found.add_scatter(
            x=[node["x"] for node in shown],
            y=[node["y"] for node in shown],
            mode="markers" if small else "markers+text",
            text=["\u2002" + plain(node["title"]) for node in shown],
            textposition="middle right",
            textfont={"size": 11},
            cliponaxis=False,
            customdata=[node["text"] for node in shown],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
            marker={
                "symbol": [_SYMBOLS[node["role"]] for node in shown],
                "size": [7 + (largest - 7) * node["size"] for node in shown],
                "line": {"width": 1, "color": "rgba(128,140,155,0.9)"},
                "opacity": 1,
                **(scale if known else {"color": _UNKNOWN}),
            },
        )
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False, "fixedrange": False}
    room = 0.6 if small else 1.6
    found.update_xaxes(
        title={
            "text": "Input at the top; columns go on from left to right",
            "font": {"size": 11},
            "standoff": 14,
        },
        range=[-0.6, info["width"] - 1 + room],
        **hidden,
    )
    found.update_yaxes(range=[rows - 0.05, -0.9], **hidden)
    found.update_layout(dragmode="pan")
    return found
