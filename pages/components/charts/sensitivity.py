"""What single layers can spare, as a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pages.components.drawing import figure as _figure
from pages.components.drawing import plain as _plain

__all__ = ["sensitivities"]

_HARM = [[0, "#eef3fb"], [0.35, "#f6d9a8"], [0.7, "#ec9a6b"], [1, "#d95f55"]]


def sensitivities(
    cells: Sequence[Mapping[str, Any]], rows: Sequence[str], levels: Sequence[str], title: str
) -> go.Figure:
    """Draw what each level costs on each row of layers; darker is worse.

    Args:
        cells: ``row``, ``level``, ``harm`` (0 for none, 1 for the worst there is), ``short`` and
            ``text`` (what is written and told of it).
        rows: From top to bottom.
        levels: From left to right, mildest first.
        title: What the levels are.
    """
    at = {(cell["row"], cell["level"]): cell for cell in cells}
    figure = _figure(title, "Layer", max(180, 26 * len(rows) + 70))
    found = [[at.get((row, level)) for level in levels] for row in rows]
    figure.add_heatmap(
        z=[[cell["harm"] if cell else None for cell in line] for line in found],
        text=[[cell["short"] if cell else "" for cell in line] for line in found],
        customdata=[[cell["text"] if cell else "" for cell in line] for line in found],
        x=[_plain(level) for level in levels],
        y=[_plain(row) for row in rows],
        colorscale=_HARM,
        zmin=0,
        zmax=1,
        showscale=False,
        texttemplate="%{text}",
        textfont={"size": 11, "color": "#101418"},
        hovertemplate="%{y}, %{x}: %{customdata}<extra></extra>",
        hoverongaps=False,
        xgap=2,
        ygap=2,
    )
    figure.update_xaxes(type="category", showgrid=False, side="top")
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return figure
