"""What a search for architectures has so far, as charts and tables need it. Nothing drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optim.quantity import format_value
from optim.search.figures import FIGURES
from pages.components.search.shown import figure_cells, limits_cell, rows_of, taken_of

__all__ = ["axes_and_lines", "points_of", "table_rows", "trust_rows"]

Found = Mapping[str, Any]
_COUNTS = ("params", "macs")


def _trained(found: Found) -> list[dict[str, Any]]:
    return [row for row in found["candidates"] if row["outcome"] == "measured"]


def points_of(found: Found, cost: str) -> list[dict[str, Any]]:
    """Return the trained networks by their error and one figure of cost."""
    taken = taken_of(found)
    return [
        {
            "x": row["figures"][cost]["value"],
            "y": row["figures"]["error"]["value"],
            "low": row["figures"]["error"]["low"],
            "high": row["figures"]["error"]["high"],
            "epochs": row["epochs"],
            "text": f"{row['title']}: error {row['figures']['error']['text']}, "
            f"{row['figures'][cost]['text']}",
            "is_front": row["number"] in found["front"],
            "is_taken": row["number"] == taken,
        }
        for row in _trained(found)
        if cost in row["figures"]
    ]


def axes_and_lines(found: Found) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the axes and lines of parallel coordinates: what is decided, costs, error.

    Of each network the longest training counts.
    """
    rows = list({str(row["point"]): row for row in _trained(found)}.values())
    axes: list[dict[str, Any]] = []
    places: list[list[float | None]] = [[] for _ in rows]
    for dimension in found["space"]["dimensions"]:
        used = [v for v in dimension["values"] if any(_at(r, dimension) == v for r in rows)]
        if len(dimension["values"]) < 2 or not used:
            continue
        axes.append({"title": dimension["label"], "labels": used})
        for place, row in zip(places, rows, strict=True):
            value = _at(row, dimension)
            place.append(None if value is None else used.index(value) / max(1, len(used) - 1))
            if value is not None and len(used) == 1:
                place[-1] = 0.5
    for name in (*found["goals"]["objectives"][1:], "error"):
        known = [row["figures"][name]["value"] for row in rows if name in row["figures"]]
        if not known:
            continue
        low, high = min(known), max(known)
        unit = FIGURES[name].unit
        ends = [low] if low == high else [low, high]
        axes.append(
            {"title": FIGURES[name].title, "labels": [format_value(end, unit) for end in ends]}
        )
        for place, row in zip(places, rows, strict=True):
            value = row["figures"].get(name, {}).get("value")
            same = low == high
            place.append(None if value is None else 0.5 if same else (value - low) / (high - low))
    taken = taken_of(found)
    lines = [
        {
            "positions": place,
            "text": f"{row['title']}: {row['text']}",
            "is_front": row["number"] in found["front"],
            "is_taken": row["number"] == taken,
        }
        for row, place in zip(rows, places, strict=True)
    ]
    return axes, lines


def _at(row: Mapping[str, Any], dimension: Mapping[str, Any]) -> Any:
    return row["point"].get(dimension["name"])


def trust_rows(found: Found) -> list[dict[str, Any]]:
    """Return how far proxies can be trusted, and which of them only count."""
    return [{**row, "is_count": row["proxy"] in _COUNTS} for row in found["trust"]]


def table_rows(found: Found, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Return rows of a table: of the front, cheapest first, or of all, newest first."""
    return [
        {
            "Network": row["title"],
            "Epochs": str(row["epochs"] or "–"),
            **figure_cells(found, row, "error", "Error"),
            "Limits": limits_cell(row),
        }
        for row in rows_of(found, numbers)
    ]
