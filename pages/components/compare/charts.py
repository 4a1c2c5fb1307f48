"""Still charts of models side by side: plain data in, Plotly figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pages.components.drawing import JUST_ABOVE, OF, add_answer_, bars, figure, plain

__all__ = ["class_dots", "color_of", "compared_front", "descent", "layer_lines", "parallel_models"]

_COLORS = (
    "#1a8f5a",
    "#4678d8",
    "#e0872b",
    "#b04fc4",
    "#2aa5b8",
    "#c0392b",
    "#8a7a2c",
    "#6b7684",
)
"""One colour a model, told apart also by its name in every legend."""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "pentagon", "hexagon")
_FAINT = "rgba(128,140,155,0.45)"


def color_of(number: int) -> str:
    """Return the colour of a model by its position."""
    return _COLORS[number % len(_COLORS)]


def compared_front(
    points: Sequence[Mapping[str, Any]], budget: float | None, titles: Mapping[str, str]
) -> go.Figure:
    """Draw quality against cost: every model, the front, the knee, and a budget.

    Args:
        points: ``number``, ``name``, ``x``, ``y``, ``low``, ``high`` (of ``y``), ``text``,
            ``is_front``, ``is_knee``, ``is_taken``.
        budget: Most cost; None for none.
        titles: Of the axes ``x`` and ``y``.
    """
    found = figure(titles["x"], titles["y"], 400)
    for point in points:
        found.add_scatter(
            x=[point["x"]],
            y=[point["y"]],
            error_y=bars([point], at="y"),
            mode="markers+text" if point["is_knee"] else "markers",
            text=["knee"] if point["is_knee"] else None,
            textposition="bottom right",
            name=plain(point["name"]),
            marker={
                "color": color_of(point["number"]),
                "size": 11,
                "symbol": _SYMBOLS[point["number"] % len(_SYMBOLS)],
            },
            customdata=[plain(point["text"])],
            hovertemplate="%{customdata}<extra></extra>",
        )
    line = sorted((p for p in points if p["is_front"]), key=lambda p: p["x"])
    add_answer_(found, line, points, {"x": budget, "y": None})
    return found


def parallel_models(
    axes: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]
) -> go.Figure:
    """Draw models as lines over their figures; the better end of every axis is at the top.

    Args:
        axes: ``title``, ``top`` and ``bottom`` (texts of the ends).
        lines: ``number``, ``name``, ``positions`` from 0 (worst shown) to 1 (best shown) by axis,
            None where it is not measured; ``texts`` by axis.
    """
    found = figure("Figures, better is up", "", 380)
    for line in lines:
        number = line["number"]
        found.add_scatter(
            x=list(range(len(axes))),
            y=list(line["positions"]),
            mode="lines+markers",
            connectgaps=False,
            name=plain(line["name"]),
            line={"color": color_of(number), "width": 2},
            marker={"size": 9, "symbol": _SYMBOLS[number % len(_SYMBOLS)]},
            text=[plain(text) for text in line["texts"]],
            hovertemplate="%{text}<extra></extra>",
        )
    for position, axis in enumerate(axes):
        found.add_vline(x=position, line={"color": _FAINT, "width": 1})
        for y, name, shift in ((1, "top", 14), (0, "bottom", -14)):
            found.add_annotation(
                x=position, y=y, text=plain(axis[name]), showarrow=False, yshift=shift
            )
    found.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[plain(axis["title"]) for axis in axes],
        range=[-0.4, len(axes) - 0.6],
        showgrid=False,
        zeroline=False,
    )
    found.update_yaxes(visible=False, range=[-0.14, 1.14])
    found.update_layout(legend=JUST_ABOVE)
    return found


def class_dots(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the change of every class in every model, with its paired interval.

    Args:
        rows: ``number``, ``name`` (of the model), and ``classes``: each ``name``, ``value``,
            ``low``, ``high`` in points, ``text``.
    """
    names = list(dict.fromkeys(c["name"] for row in rows for c in row["classes"]))
    found = figure(
        "Accuracy of the class against the reference, points",
        "",
        max(260, (18 + 12 * len(rows)) * len(names) + 90),
    )
    shift = 0.7 / max(1, len(rows))
    for place, row in enumerate(rows):
        own = row["classes"]
        found.add_scatter(
            x=[c["value"] for c in own],
            y=[names.index(c["name"]) + shift * (place - (len(rows) - 1) / 2) for c in own],
            error_x=bars(own, thickness=1.2),
            mode="markers",
            name=plain(row["name"]),
            marker={
                "color": color_of(row["number"]),
                "size": 8,
                "symbol": _SYMBOLS[row["number"] % len(_SYMBOLS)],
            },
            text=[plain(c["text"]) for c in own],
            hovertemplate="%{text}<extra></extra>",
        )
    found.add_vline(x=0, line={"color": _FAINT, "width": 1})
    found.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[plain(name) for name in names],
        range=[len(names) - 0.4, -0.6],
    )
    found.update_layout(legend=JUST_ABOVE)
    return found


def layer_lines(layers: Sequence[str], rows: Sequence[Mapping[str, Any]], title: str) -> go.Figure:
    """Draw one figure of every layer in every model.

    Args:
        layers: Names in order of execution.
        rows: ``number``, ``name`` (of the model), ``values`` by layer, None where it has none.
        title: Of the figure.
    """
    found = figure("Layers, in order of execution", title, 400)
    for row in rows:
        found.add_scatter(
            x=[plain(layer) for layer in layers],
            y=list(row["values"]),
            mode="lines+markers",
            connectgaps=False,
            name=plain(row["name"]),
            line={"color": color_of(row["number"]), "width": 1.5, "shape": "hvh"},
            marker={"size": 8, "symbol": _SYMBOLS[row["number"] % len(_SYMBOLS)]},
            hovertemplate="%{x}: %{y:,.4~g}<extra>%{fullData.name}</extra>",
        )
    found.update_xaxes(type="category", tickangle=-45)
    found.update_yaxes(rangemode="tozero")
    found.update_layout(legend=JUST_ABOVE)
    return found


def descent(nodes: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw what came from what, ancestors on the left.

    Args:
        nodes: ``id``, ``title``, ``kind``, ``parents``, ``depth``, ``compared``.
    """
    columns: dict[int, list[Mapping[str, Any]]] = {}
    for node in nodes:
        columns.setdefault(node["depth"], []).append(node)
    tallest = max(map(len, columns.values()), default=1)
    places = {
        node["id"]: (depth, (tallest - 1) / 2 - (i - (len(column) - 1) / 2))
        for depth, column in columns.items()
        for i, node in enumerate(column)
    }
    found = figure("What came from what, ancestors on the left", "", max(200, 64 * tallest + 60))
    xs: list[float | None] = []
    ys: list[float | None] = []
    for node in nodes:
        for parent in node["parents"]:
            (x, y), (to_x, to_y) = places[parent], places[node["id"]]
            xs += [x, to_x, None]
            ys += [y, to_y, None]
    line = {"color": _FAINT, "width": 2}
    found.add_scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for name, kinds, color in (
        ("Model", ("model",), OF["before"]),
        ("Run", ("run",), OF["after"]),
        ("Recipe", ("preset", "snapshot", "recipe"), "#e0872b"),
    ):
        own = [node for node in nodes if node["kind"] in kinds]
        if not own:
            continue
        found.add_scatter(
            x=[places[node["id"]][0] for node in own],
            y=[places[node["id"]][1] for node in own],
            mode="markers+text",
            name=name,
            text=[_shortened(node["title"]) for node in own],
            textposition="bottom center",
            marker={
                "color": color,
                "size": [16 if node["compared"] else 10 for node in own],
                "line": {"width": [2 if node["compared"] else 0 for node in own], "color": color},
            },
            customdata=[plain(node["title"]) for node in own],
            hovertemplate="%{customdata}<extra></extra>",
        )
    deepest = max(columns, default=0)
    found.update_xaxes(
        showticklabels=False, showgrid=False, zeroline=False, range=[-0.5, deepest + 0.5]
    )
    found.update_yaxes(visible=False, range=[-0.8, tallest - 0.4])
    found.update_layout(legend=JUST_ABOVE)
    return found


def _shortened(title: str) -> str:
    return plain(title if len(title) <= 28 else f"{title[:27]}…")
