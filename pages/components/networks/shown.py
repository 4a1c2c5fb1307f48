"""What a search for architectures has so far, as charts and tables need it. Nothing drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optim.measure.intervals import wilson
from optim.quantity import How, Quantity, format_value
from optim.search.figures import FIGURES
from pages.components.search.shown import answer_marks, figure_cells, limits_cell, rows_of

__all__ = [
    "Shared",
    "axes_and_lines",
    "lineage_points",
    "points_of",
    "table_rows",
    "training_text",
    "trust_rows",
]

Found = Mapping[str, Any]
_COUNTS = ("params", "macs")


def _trained(found: Found) -> list[dict[str, Any]]:
    return [row for row in found["candidates"] if row["outcome"] == "measured"]


def points_of(found: Found, cost: str) -> list[dict[str, Any]]:
    """Return the trained networks by their error and one figure of cost."""
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
            **answer_marks(found, row),
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
    lines = [
        {
            "positions": place,
            "text": f"{row['title']}: {row['text']}",
            "is_front": row["number"] in found["front"],
            **answer_marks(found, row),
        }
        for row, place in zip(rows, places, strict=True)
    ]
    return axes, lines


def _at(row: Mapping[str, Any], dimension: Mapping[str, Any]) -> Any:
    return row["point"].get(dimension["name"])


def trust_rows(found: Found) -> list[dict[str, Any]]:
    """Return how far proxies can be trusted, and of which kind each is."""
    kinds = {"supernet": "supernet", **dict.fromkeys(_COUNTS, "count")}
    return [{**row, "kind": kinds.get(row["proxy"], "proxy")} for row in found["trust"]]


def lineage_points(found: Found) -> list[dict[str, Any]]:
    """Return the trained networks by number, with those they came from."""
    return [
        {
            "number": row["number"],
            "error": row["figures"]["error"]["value"],
            "text": f"Number {row['number']}, {row['title']}, "
            f"{training_text(row)}: "
            f"error {row['figures']['error']['text']}{_origin(row)}",
            "parents": row.get("parents", []),
            "parent": row["parent"],
            "is_front": row["number"] in found["front"],
        }
        for row in _trained(found)
    ]


def training_text(row: Mapping[str, Any]) -> str:
    """Return how long a network was trained, or that its weights are shared."""
    return f"{row['epochs']} epochs" if row["epochs"] else "shared weights"


def _origin(row: Mapping[str, Any]) -> str:
    if row["parent"] >= 0:
        return f"; number {row['parent']}, trained for longer"
    if row.get("parents"):
        return f"; from number {' and '.join(map(str, row['parents']))}"
    return ""


class Shared:
    """What the networks of a supernet reach, by what sliders say.

    Args:
        found: What a search has; its supernet is there.
    """

    def __init__(self, found: Found) -> None:
        learned, dimensions = found["supernet"], found["space"]["dimensions"]
        columns = learned["columns"]
        rows = [dict(zip(columns, row, strict=True)) for row in learned["rows"]]
        self.dimensions = [
            {**d, "values": [v for v in d["values"] if any(row[d["name"]] == v for row in rows)]}
            for d in dimensions
            if d["name"] in columns
        ]
        self._names = [d["name"] for d in self.dimensions]
        self._rows = {self._key(row): row for row in rows}
        self.rows = rows
        self._samples, self._how = learned["samples"], learned["how"]

    def at(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what a network reaches and costs; None if it was not looked at."""
        return self._rows.get(self._key(values))

    def error(self, row: Mapping[str, Any]) -> Quantity:
        """Return the error of a network with shared weights."""
        n = self._samples
        wrong = round(row["error"] / 100 * n)
        low, high = wilson(wrong, n)
        return Quantity(row["error"], "points", min(100 * low, row["error"]), 100 * high, n)

    def cost(self, row: Mapping[str, Any], name: str) -> Quantity | None:
        """Return what a network costs; None where that is not known."""
        if row.get(name) is None:
            return None
        return Quantity.exact(row[name], FIGURES[name].unit, How(self._how[name]))

    def points(self, cost: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return all networks by their error and one figure of cost."""
        return [
            {
                "x": row[cost],
                "y": row["error"],
                "text": f"{self.text(row)}: error {self.error(row)}, {self.cost(row, cost)}",
                "is_picked": self._key(row) == self._key(values),
            }
            for row in self.rows
            if row.get(cost) is not None
        ]

    def text(self, row: Mapping[str, Any]) -> str:
        """Return what a network is, in a few words."""
        return ", ".join(f"{d['label'].lower()} {row[d['name']]}" for d in self.dimensions)

    def _key(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(values[name] for name in self._names)


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
