"""What a search has so far, as a page needs it. Plain functions, nothing drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optim.quantity import format_value
from optim.runs.run import Run
from optim.search.figures import FIGURES
from optim.search.front import front

__all__ = [
    "answer_marks",
    "answer_of",
    "axis_title",
    "budget_text",
    "figure_cells",
    "found_of",
    "front_shown",
    "limits_cell",
    "points_of",
    "row_of",
    "rows_of",
    "table_rows",
    "under",
    "why_taken",
]

Found = Mapping[str, Any]


def found_of(run: Run, live: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run has found: its result, or what it shows while it is worked on."""
    return dict(run.result if run.result is not None else live)


def row_of(found: Found, number: int | None) -> dict[str, Any] | None:
    """Return the candidate of a number; None if there is none."""
    return next((row for row in found.get("candidates", ()) if row["number"] == number), None)


def axis_title(figure: str) -> str:
    """Return the title of an axis with the unit."""
    unit = {"bytes": "bytes", "macs": "", "params": "", "latency": "ms", "ram": "bytes"}
    words = unit.get(figure, FIGURES[figure].unit)
    title = FIGURES[figure].title
    return f"{title}, {words}" if words else title


def points_of(found: Found, cost: str) -> list[dict[str, Any]]:
    """Return the candidates that have a loss, with what one figure of cost is of each.

    Args:
        found: What a search has.
        cost: Name of the figure.
    """
    kept = front_shown(found)
    return [
        {
            "x": row["figures"][cost]["value"],
            "y": row["figures"]["loss"]["value"],
            "low": row["figures"]["loss"]["low"],
            "high": row["figures"]["loss"]["high"],
            "stage": row["stage"],
            "text": f"{row['title']}: loses {row['figures']['loss']['text']}, "
            f"{row['figures'][cost]['text']}",
            "is_front": row["number"] in kept,
            **answer_marks(found, row),
        }
        for row in found["candidates"]
        if cost in row["figures"] and "loss" in row["figures"]
    ]


def front_shown(found: Found) -> list[int]:
    """Return the numbers of the front that was measured on all samples, cheapest first.

    What was measured on some of them alone stands there only where there is nothing else.
    """
    names = found["goals"]["objectives"]
    rows = [
        row
        for row in found["candidates"]
        if row["outcome"] == "measured"
        and not row.get("is_baseline")
        and all(name in row["figures"] for name in names)
    ]
    if not rows:
        return list(found["front"])
    values = [[row["figures"][name]["value"] for name in names] for row in rows]
    places = sorted(front(values), key=lambda place: (values[place][1], values[place][0]))
    return [rows[place]["number"] for place in places]


def answer_of(found: Found) -> int | None:
    """Return the number of what is taken, or came closest; None if nothing was measured."""
    if found["chosen"] is not None:
        return int(found["chosen"])
    closest = found["closest"]
    return int(closest["number"]) if closest else None


def why_taken(found: Found) -> str:
    """Return the end of a sentence that says why the chosen candidate is the one to take."""
    if found["goals"]["limits"]:
        return "keeps all limits."
    return "is the compromise of the front: no limit was set."


def answer_marks(found: Found, row: Mapping[str, Any]) -> dict[str, bool]:
    """Return whether a candidate ``is_taken``, or ``is_closest`` where nothing may be taken."""
    is_answer, is_kept = row["number"] == answer_of(found), found["chosen"] is not None
    return {"is_taken": is_answer and is_kept, "is_closest": is_answer and not is_kept}


def under(found: Found, cost: str, most: float) -> int | None:
    """Return the number of the candidate of the front that loses least within a budget."""
    able = [
        row
        for number in front_shown(found)
        if (row := row_of(found, number)) is not None
        and row["figures"][cost]["value"] <= most
        and row["outcome"] == "measured"
    ]
    best = min(able, key=lambda row: row["figures"]["loss"]["value"], default=None)
    return int(best["number"]) if best else None


def table_rows(found: Found, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Return rows of a table: of the front, cheapest first, or of all, newest first."""
    return [
        {
            **figure_cells(found, row, "loss", "Loss"),
            "Recipe": row["title"],
            "Stage": row["stage"],
            "Limits": limits_cell(row),
        }
        for row in rows_of(found, numbers)
    ]


def rows_of(found: Found, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Return candidates of these numbers, or all, newest first."""
    if numbers is None:
        return list(reversed(found["candidates"]))
    return [row for n in numbers if (row := row_of(found, n)) is not None]


def figure_cells(found: Found, row: Mapping[str, Any], judged: str, title: str) -> dict[str, str]:
    """Return cells of the figure that judges, on test samples too where any were, and of costs."""
    tests = found.get("tests", {})
    test = tests.get(str(row["number"]))
    return {
        title: _text(row, judged),
        **({f"{title} on test": str(test["text"]) if test else "–"} if tests else {}),
        **{FIGURES[cost].title: _text(row, cost) for cost in found["goals"]["objectives"][1:]},
    }


def limits_cell(row: Mapping[str, Any]) -> str:
    """Say whether a candidate keeps the limits, or why it was not looked at."""
    return "kept" if row["keeps_limits"] else str(row["note"] or "missed")


def _text(row: Mapping[str, Any], figure: str) -> str:
    found = row["figures"].get(figure)
    return str(found["text"]) if found else "–"


def budget_text(cost: str, value: float) -> str:
    """Return a budget of a figure for a reader."""
    return format_value(value, FIGURES[cost].unit)
