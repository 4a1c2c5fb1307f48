"""Charts of devices: how fast a model is on each, and what takes the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pages.components.drawing import JUST_ABOVE as _JUST_ABOVE
from pages.components.drawing import OF as _OF
from pages.components.drawing import bars as _bars
from pages.components.drawing import figure as _figure
from pages.components.drawing import plain as _plain

__all__ = ["energy_parts", "ladder", "layer_times", "sweet_spots", "time_parts"]


def ladder(rows: Sequence[Mapping[str, Any]], *, both: bool = True) -> go.Figure:
    """Draw the latency of one model on devices, original and now; where it does not fit, why.

    Args:
        rows: ``title``, ``before`` and ``after`` (quantities with text, or None), ``problem``.
        both: Whether original and present model differ.
    """
    figure = _figure("Latency, ms", "", 38 * len(rows) + 110)
    names = [_plain(row["title"]) for row in rows]
    sides = [("before", "Original", "circle-open"), ("after", "Now", "circle")]
    for key, title, symbol in sides if both else sides[1:]:
        there = [(name, row[key]) for name, row in zip(names, rows, strict=True) if row[key]]
        figure.add_scatter(
            x=[quantity["value"] for _, quantity in there],
            y=[name for name, _ in there],
            error_x=_bars([q for _, q in there], thickness=1.2, width=3),
            text=[quantity["text"] for _, quantity in there],
            mode="markers",
            name=title,
            showlegend=both,
            marker={"size": 10, "symbol": symbol, "color": _OF[key]},
            hovertemplate=f"%{{y}}, {title.lower()}: %{{text}}<extra></extra>",
        )
    # Names stand above their rung, not beside it: a phone has no room for both.
    for name, row in zip(names, rows, strict=True):
        words = row["problem"] or ("" if row["after"] else "not known")
        for text, x, side, color in (
            (name, 0, "left", None),
            (_plain(words), 1, "right", "#d64545" if row["problem"] else "#808c9b"),
        ):
            figure.add_annotation(
                x=x,
                xref="paper",
                y=name,
                yshift=12,
                text=text,
                showarrow=False,
                xanchor=side,
                font={"color": color, "size": 11},
            )
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=names,
        range=[len(rows) - 0.5, -0.9],
        showticklabels=False,
    )
    figure.update_xaxes(type="log", dtick=1, tickformat="~g", tickangle=0)
    figure.update_layout(legend=_JUST_ABOVE)
    return figure


_PARTS = (
    ("overhead", "Starting operators", "#5f6b7a"),
    ("compute", "Multiplying", "#4678d8"),
    ("padding", "Filling blocks of channels", "#a23fb0"),
    ("memory", "Moving bytes", "#e0872b"),
)


def time_parts(sides: Sequence[tuple[str, Mapping[str, float]]]) -> go.Figure:
    """Draw what an inference is spent on, each model in percent of its own time.

    Args:
        sides: Name of a model and its parts in milliseconds, see ``optim.devices.parts``.
    """
    figure = _figure("Share of the time, %", "", 70 * len(sides) + 110)
    for key, title, color in _PARTS:
        shares = [100 * parts[key] / (sum(parts.values()) or 1.0) for _, parts in sides]
        figure.add_bar(
            x=shares,
            y=[name for name, _ in sides],
            orientation="h",
            name=title,
            marker={"color": color},
            hovertemplate=f"{title}: %{{x:.0f}} %<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.4, legend={"y": -0.6, "traceorder": "normal"})
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(range=[0, 100])
    return figure


def energy_parts(sides: Sequence[tuple[str, Mapping[str, float]]]) -> go.Figure:
    """Draw the energy of an inference, split into arithmetic and moving bytes.

    Args:
        sides: Name of a model, and joules of ``compute`` and ``movement``.
    """
    figure = _figure("Microjoules", "", 60 * len(sides) + 110)
    for key, title, color in (
        ("compute", "Arithmetic and instructions", "#4678d8"),
        ("movement", "Moving bytes", "#e0872b"),
    ):
        figure.add_bar(
            x=[1e6 * parts[key] for _, parts in sides],
            y=[name for name, _ in sides],
            orientation="h",
            name=title,
            marker={"color": color},
            hovertemplate=f"{title}: %{{x:.3g}} µJ<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.4)
    figure.update_yaxes(autorange="reversed")
    return figure


_LAYERS_SHOWN = 16


def layer_times(
    layers: Sequence[Mapping[str, Any]], measured: Mapping[str, Sequence[float]]
) -> go.Figure:
    """Draw the time of the longest layers without and with a step, estimated and measured.

    Args:
        layers: ``layer``, ``before_ms`` and ``after_ms``.
        measured: ``{layer: (without, with)}`` in milliseconds; may be empty.
    """
    longest = sorted(layers, key=lambda row: -max(row["before_ms"], row["after_ms"]))
    kept = {row["layer"] for row in longest[:_LAYERS_SHOWN]}
    rows = [row for row in layers if row["layer"] in kept]
    names = [_plain(row["layer"]) for row in rows]
    figure = _figure("Microseconds", "", max(240, 34 * len(rows) + 90))
    for index, (key, title, color) in enumerate(
        (("before_ms", "Without the step", "before"), ("after_ms", "With it", "after"))
    ):
        figure.add_bar(
            x=[1e3 * row[key] for row in rows],
            y=names,
            orientation="h",
            name=title,
            marker={"color": _OF[color], "opacity": 0.8},
            offsetgroup=str(index),
            hovertemplate=f"%{{y}}, {title.lower()}: %{{x:.1f}} µs<extra></extra>",
        )
        there = [row["layer"] for row in rows if row["layer"] in measured]
        if there:
            figure.add_scatter(
                x=[1e3 * measured[name][index] for name in there],
                y=[_plain(name) for name in there],
                mode="markers",
                name=f"{title}, measured",
                marker={
                    "symbol": "x-thin",
                    "size": 9,
                    "line": {"width": 2, "color": _OF[color]},
                },
                offsetgroup=str(index),
                hovertemplate=f"%{{y}}, measured {title.lower()}: %{{x:.1f}} µs<extra></extra>",
            )
    figure.update_layout(barmode="group", scattermode="group", bargap=0.25, legend=_JUST_ABOVE)
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


_SCALE = [[0, "#eaf0fd"], [1, "#7ea2ee"]]


_TOO_SLOW = [[0, "#9aa3af"], [1, "#9aa3af"]]
"""Both are light enough for dark figures, whatever the page's theme."""


def sweet_spots(
    cells: Sequence[Mapping[str, Any]], rows: Sequence[str], batches: Sequence[int]
) -> go.Figure:
    """Draw throughput by batch and setting; too slow ones are grey, and the best is framed.

    Args:
        cells: ``row``, ``batch``, ``value`` (samples a second), ``short`` and ``text`` (what is
            written and told of it), ``is_within`` a limit, and ``is_best``.
        rows: Settings from top to bottom.
        batches: Samples at once, from left to right.
    """
    at = {(cell["row"], cell["batch"]): cell for cell in cells}
    figure = _figure("Batch, samples", "Runtime × threads", max(200, 40 * len(rows) + 90))
    for is_within, scale in ((True, _SCALE), (False, _TOO_SLOW)):
        shown = [
            [c if (c := at.get((row, batch))) and c["is_within"] == is_within else None
             for batch in batches]
            for row in rows
        ]  # fmt: skip
        figure.add_heatmap(
            z=[[cell["value"] if cell else None for cell in row] for row in shown],
            text=[[cell["short"] if cell else "" for cell in row] for row in shown],
            customdata=[[cell["text"] if cell else "" for cell in row] for row in shown],
            x=[str(batch) for batch in batches],
            y=[_plain(row) for row in rows],
            colorscale=scale,
            showscale=False,
            texttemplate="%{text}",
            textfont={"size": 11, "color": "#101418"},
            hovertemplate="%{y}, batch %{x}: %{customdata}<extra></extra>",
            hoverongaps=False,
            xgap=2,
            ygap=2,
        )
    for cell in cells:
        if cell["is_best"]:
            x, y = list(batches).index(cell["batch"]), list(rows).index(cell["row"])
            line = {"color": "#e0872b", "width": 4}
            figure.add_shape(x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line=line)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return figure
