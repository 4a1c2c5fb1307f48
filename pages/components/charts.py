"""Still charts: plain data in, Plotly figure out. Colours and font come from the page's theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pages.components.drawing import JUST_ABOVE as _JUST_ABOVE
from pages.components.drawing import OF as _OF
from pages.components.drawing import bars as _bars
from pages.components.drawing import figure as _figure
from pages.components.drawing import plain as _plain

__all__ = [
    "accuracy_by_time",
    "answer_times",
    "class_changes",
    "confusion",
    "energy_parts",
    "epoch_curves",
    "gaps",
    "ladder",
    "layer_times",
    "noise_curves",
    "played",
    "scene",
    "sensitivities",
    "series",
    "side_by_side",
    "size_bars",
    "small_lines",
    "softened",
    "sweet_spots",
    "time_parts",
    "weight_histogram",
]

SIZE_NAMES = {
    "dense": "Float32",
    "bit_width": "At bit-width",
    "sparse": "Zeros left out",
    "entropy": "Entropy-coded",
    "file": "ONNX file",
}


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
            y=list(SIZE_NAMES.values()),
            x=[sizes[key]["value"] / 1000 for key in SIZE_NAMES],
            text=[sizes[key]["text"] for key in SIZE_NAMES],
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
    most = max(abs(value) for window in values for value in window)
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
    figure = _figure("Added noise, standard deviations of the series", "Accuracy, %", 280)
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
