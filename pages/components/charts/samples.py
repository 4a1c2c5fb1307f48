"""Charts of samples that are no images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pages.components.drawing import OF as _OF
from pages.components.drawing import figure as _figure
from pages.components.drawing import plain as _plain

__all__ = ["series", "small_lines"]


def series(values: Sequence[float]) -> go.Figure:
    """Draw the numbers of one sample that is no image."""
    figure = _figure("Position", "Value", 240)
    figure.add_scatter(y=list(values), mode="lines", line={"color": _OF["before"]})
    return figure


_CHANNELS = ("#2f5fd0", "#e0872b", "#1a8f5a", "#a23fb0", "#5f6b7a")
"""One colour a channel, in every sample the same."""


def small_lines(samples: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw series side by side, each with its class above it.

    Args:
        samples: ``values``, one list of numbers a channel, and ``label``, which may be None.
    """
    columns = min(3, len(samples))
    rows = -(-len(samples) // columns)
    titles = [sample["label"] or f"Sample {sample['id']}" for sample in samples]
    figure = make_subplots(rows, columns, subplot_titles=[_plain(title) for title in titles])
    for i, sample in enumerate(samples):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        for values, color in zip(sample["values"], cycle(_CHANNELS)):
            figure.add_scatter(y=values, mode="lines", line={"width": 1.2, "color": color}, **place)
    figure.update_layout(
        height=150 * rows + 60,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
    )
    figure.update_annotations(font_size=12)
    figure.update_xaxes(fixedrange=True, automargin=True)
    figure.update_yaxes(fixedrange=True, automargin=True)
    figure.update_xaxes(title="Position", row=rows)
    figure.update_yaxes(title="Value", col=1)
    return figure
