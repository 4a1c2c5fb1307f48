"""Pictures with the objects that detectors find in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pages.components.drawing import figure as _figure

__all__ = ["scene"]

_BOXES = {
    "found": ("#ffffff", "solid"),
    "false": ("#ffd166", "dash"),
    "missed": ("#7fdbff", "dot"),
}
"""Colour and line of boxes by what became of them; each line has a dark one below it."""


def scene(answer: Mapping[str, Any], model: str) -> go.Figure:
    """Draw a picture with the boxes of one model and the objects it missed.

    Args:
        answer: The evaluator's answer to the question ``scene``.
        model: ``original`` or ``compressed``.
    """
    height, width = answer["size"]
    figure = _figure("Column, pixels", "Row, pixels", 360)
    figure.update_layout(legend={"bgcolor": "#101418", "font": {"color": "#ffffff"}})
    if answer["picture"]:
        figure.add_layout_image(
            source=f"data:image/png;base64,{answer['picture']}",
            **{"xref": "x", "yref": "y", "x": 0, "y": 0, "sizex": width, "sizey": height},
            **{"sizing": "stretch", "layer": "below"},
        )
    boxes = answer[model]["boxes"]
    kinds = {
        "found": [
            (b["corners"], f"{b['name']} · {b['score']:.2f}") for b in boxes if b["is_right"]
        ],
        "false": [
            (b["corners"], f"{b['name']}? · {b['score']:.2f}") for b in boxes if not b["is_right"]
        ],
        "missed": [(b["corners"], f"{b['name']} missed") for b in answer[model]["missed"]],
    }
    for kind, shown in kinds.items():
        colour, dash = _BOXES[kind]
        x, y = _outlines([corners for corners, _ in shown])
        for line in ({"color": "#101418", "width": 5}, {"color": colour, "width": 2, "dash": dash}):
            is_below = "dash" not in line
            figure.add_scatter(
                x=x,
                y=y,
                mode="lines",
                line=line,
                name=kind,
                legendgroup=kind,
                hoverinfo="skip",
                showlegend=not is_below,
            )
        figure.add_scatter(
            x=[corners[0] for corners, _ in shown],
            y=[corners[1] for corners, _ in shown],
            text=[f"<b>{label}</b>" for _, label in shown],
            mode="text",
            textposition="bottom right",
            textfont={"color": colour, "size": 12, "shadow": "0 0 3px #000, 0 0 3px #000"},
            showlegend=False,
            legendgroup=kind,
            hoverinfo="skip",
        )
    plain = {"showgrid": False, "zeroline": False}
    figure.update_xaxes(range=[0, width], constrain="domain", **plain)
    figure.update_yaxes(range=[height, 0], scaleanchor="x", constrain="domain", **plain)
    return figure


def _outlines(boxes: Sequence[Sequence[float]]) -> tuple[list[float | None], list[float | None]]:
    """Return boxes as one line that is broken between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    for left, top, right, bottom in boxes:
        x += [left, right, right, left, left, None]
        y += [top, top, bottom, bottom, top, None]
    return x, y
