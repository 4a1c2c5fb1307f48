"""Still charts of the search for architectures: plain data in, Plotly figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pages.components.drawing import (
    CLOSEST,
    JUST_ABOVE,
    OF,
    TAKEN,
    add_answer_,
    bars,
    figure,
    joined_,
    plain,
)

__all__ = ["layers", "lineage", "network_front", "parallel", "shared_front", "trust_meter"]

_FAINT = "rgba(128,140,155,0.45)"
_SHADES = ("#8fa3bf", "#6c8fd0", OF["after"])
_MOST_LABELS = 6
_SYMBOLS = {"supernet": "square", "proxy": "circle", "count": "diamond"}
_KINDS = {"conv": "Convolution", "linear": "Dense", "matmul": "Matrix product"}


def network_front(
    points: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float | None],
    titles: Mapping[str, str],
) -> go.Figure:
    """Draw trained networks: what each costs and gets wrong, the front, and the limits.

    Args:
        points: ``x``, ``y``, ``low``, ``high`` (of ``y``), ``epochs``, ``text`` (told on hover),
            ``is_front``, ``is_taken``, ``is_closest``.
        limits: Of ``x`` and ``y``; None for none.
        titles: Of the axes ``x`` and ``y``.
    """
    found = figure(titles["x"], titles["y"], 380)
    lengths = sorted({p["epochs"] for p in points})
    shades = _SHADES[-len(lengths) :] if lengths else ()
    for position, epochs in enumerate(lengths):
        own = [p for p in points if p["epochs"] == epochs]
        found.add_scatter(
            x=[p["x"] for p in own],
            y=[p["y"] for p in own],
            mode="markers",
            name=f"{epochs} epoch{'' if epochs == 1 else 's'}" if epochs else "Shared weights",
            marker={"color": shades[min(position, len(shades) - 1)], "size": 6 + 2 * position},
            text=[plain(p["text"]) for p in own],
            hovertemplate="%{text}<extra></extra>",
        )
    line = joined_(found, [p for p in points if p["is_front"]])
    add_answer_(found, line, points, limits)
    found.update_yaxes(rangemode="tozero")
    return found


def parallel(axes: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw networks as lines over what they are, what they cost and what they get wrong.

    Args:
        axes: ``title``, and ``labels`` of the values from the lowest to the highest.
        lines: ``positions`` from 0 (lowest) to 1 by axis, None where it is not known; ``text``,
            ``is_front``, ``is_taken``, ``is_closest``.
    """
    found = figure("What is decided, and what comes of it", "", 360)
    order = sorted(
        lines, key=lambda line: (line["is_taken"] or line["is_closest"], line["is_front"])
    )
    named: set[str] = set()
    for line in order:
        name, color, width = (
            ("Taken", TAKEN, 3.5)
            if line["is_taken"]
            else ("Closest", CLOSEST, 3.5)
            if line["is_closest"]
            else ("Front", OF["after"], 2)
            if line["is_front"]
            else ("Others", _FAINT, 1)
        )
        found.add_scatter(
            x=list(range(len(axes))),
            y=list(line["positions"]),
            mode="lines+markers",
            line={"color": color, "width": width},
            marker={"size": 5},
            name=name,
            legendgroup=name,
            showlegend=name not in named,
            text=[plain(line["text"])] * len(axes),
            hovertemplate="%{text}<extra></extra>",
        )
        named.add(name)
    for position, axis in enumerate(axes):
        found.add_vline(x=position, line={"color": _FAINT, "width": 1})
        labels = axis["labels"]
        step = max(1, -(-(len(labels) - 1) // (_MOST_LABELS - 1)))
        shown = [i for i in range(len(labels)) if i % step == 0 or i == len(labels) - 1]
        for i in shown:
            found.add_annotation(
                x=position,
                y=i / (len(labels) - 1) if len(labels) > 1 else 0.5,
                text=plain(str(labels[i])),
                showarrow=False,
                xanchor="left",
                xshift=5,
                yshift=9,
                font={"size": 11},
            )
    found.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[plain(axis["title"]) for axis in axes],
        range=[-0.15, len(axes) - 0.2],
        showgrid=False,
        zeroline=False,
    )
    found.update_yaxes(visible=False, range=[-0.06, 1.06])
    found.update_layout(legend=JUST_ABOVE)
    return found


def lineage(points: Sequence[Mapping[str, Any]], picked: int | None) -> go.Figure:
    """Draw which network came from which: crossed or changed by evolution, or trained for longer.

    Args:
        points: Trained networks: ``number``, ``error``, ``text`` (told on hover), ``parents`` (by
            evolution), ``parent`` (the same network, trained for shorter; -1 for none),
            ``is_front``.
        picked: Number of the network whose ancestors are told from others; None for none.
    """
    found = figure("Number of the network, in the order in which they were tried", "Error, %", 360)
    by_number = {p["number"]: p for p in points}
    family = _ancestors(by_number, picked)
    for name, color, width, is_own in (
        ("Descent", _FAINT, 1, False),
        ("Ancestors of the network that is picked", TAKEN, 2.5, True),
    ):
        xs: list[float | None] = []
        ys: list[float | None] = []
        for point in points:
            for number in _parents(point):
                parent = by_number.get(number)
                if parent is None or (point["number"] in family) is not is_own:
                    continue
                xs += [parent["number"], point["number"], None]
                ys += [parent["error"], point["error"], None]
        if xs:
            line = {"color": color, "width": width}
            found.add_scatter(x=xs, y=ys, mode="lines", line=line, name=name, hoverinfo="skip")
    for name, color, size in (("Others", "#8fa3bf", 7), ("Front", OF["after"], 10)):
        own = [p for p in points if p["is_front"] is (name == "Front")]
        if not own:
            continue
        found.add_scatter(
            x=[p["number"] for p in own],
            y=[p["error"] for p in own],
            mode="markers",
            name=name,
            marker={
                "color": [TAKEN if p["number"] == picked else color for p in own],
                "size": [size + 3 * (p["number"] == picked) for p in own],
            },
            text=[plain(p["text"]) for p in own],
            hovertemplate="%{text}<extra></extra>",
        )
    found.update_yaxes(rangemode="tozero")
    found.update_layout(legend=JUST_ABOVE)
    return found


def _parents(point: Mapping[str, Any]) -> list[int]:
    return [*point["parents"], *([point["parent"]] if point["parent"] >= 0 else [])]


def _ancestors(by_number: Mapping[int, Mapping[str, Any]], picked: int | None) -> set[int]:
    """Return the numbers of a network and of all that it came from."""
    family: set[int] = set()
    left = [picked] if picked is not None else []
    while left:
        number = left.pop()
        if number in by_number and number not in family:
            family.add(number)
            left += _parents(by_number[number])
    return family


def shared_front(
    points: Sequence[Mapping[str, Any]], limit: float | None, titles: Mapping[str, str]
) -> go.Figure:
    """Draw what networks of a supernet reach, and the one that sliders point at.

    Args:
        points: ``x``, ``y``, ``text`` (told on hover), ``is_picked``.
        limit: Of ``x``; None for none.
        titles: Of the axes ``x`` and ``y``.
    """
    found = figure(titles["x"], titles["y"], 300)
    for name, is_picked, color, size in (
        ("Networks of the supernet", False, "#8fa3bf", 6),
        ("The sliders", True, TAKEN, 14),
    ):
        own = [p for p in points if p["is_picked"] is is_picked]
        found.add_scatter(
            x=[p["x"] for p in own],
            y=[p["y"] for p in own],
            mode="markers",
            name=name,
            marker={"color": color, "size": size},
            text=[plain(p["text"]) for p in own],
            hovertemplate="%{text}<extra></extra>",
        )
    if limit is not None:
        found.add_vline(x=limit, line={"color": "#c0392b", "dash": "dash", "width": 1.5})
    found.update_yaxes(rangemode="tozero")
    found.update_layout(legend=JUST_ABOVE)
    return found


def trust_meter(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the rank correlation of each proxy with what was trained, with its interval.

    Args:
        rows: ``title``, ``tau`` and ``rho`` as JSON with their ``text``, ``kind`` (supernet, proxy
            or count); the best first.
    """
    found = figure("Kendall's tau with validation accuracy", "", max(200, 30 * len(rows) + 80))
    for name, kind, color in (
        ("Supernet", "supernet", TAKEN),
        ("Proxies", "proxy", OF["after"]),
        ("Plain counts", "count", "#e0872b"),
    ):
        own = [row for row in rows if row["kind"] == kind]
        if not own:
            continue
        values = [row["tau"] for row in own]
        found.add_scatter(
            x=[tau["value"] for tau in values],
            y=[row["title"] for row in own],
            error_x=bars(values),
            mode="markers",
            name=name,
            marker={"color": color, "size": 10, "symbol": _SYMBOLS[kind]},
            text=[f"{row['tau']['text']}; Spearman's rho {row['rho']['text']}" for row in own],
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    found.add_vline(x=0, line={"color": _FAINT, "width": 1})
    found.update_xaxes(range=[-1.05, 1.05])
    found.update_yaxes(
        categoryorder="array", categoryarray=[row["title"] for row in reversed(rows)]
    )
    found.update_layout(legend=JUST_ABOVE)
    return found


def layers(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the layers of a network from input to output, each as long as its work.

    Args:
        rows: ``name``, ``kind``, ``shape`` of the weight, ``params``, ``macs``.
    """
    found = figure("MACs of one inference", "", max(180, 24 * len(rows) + 70))
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    colors = dict(zip(kinds, (OF["after"], "#e0872b", "#8fa3bf", OF["before"]), strict=False))
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        found.add_bar(
            x=[row["macs"] for row in own],
            y=[row["name"] for row in own],
            orientation="h",
            name=_KINDS.get(kind, kind),
            marker={"color": colors.get(kind, _FAINT)},
            text=["x".join(map(str, row["shape"])) for row in own],
            textposition="auto",
            customdata=[row["params"] for row in own],
            hovertemplate=(
                "%{y}: weight %{text}, %{customdata:,} parameters, %{x:,} MACs<extra></extra>"
            ),
        )
    found.update_xaxes(tickformat="~s")
    found.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[row["name"] for row in reversed(rows)],
    )
    found.update_layout(legend=JUST_ABOVE)
    return found
