"""Both models on worse and worse samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.inspect.corruptions import CORRUPTIONS
from optim.measure.quality import METRICS
from optim.recipe import Recipe
from pages.components.inspect import charts
from pages.components.inspect.looking import looked_into
from pages.components.inspect.words import class_words, text, together

__all__ = ["corruption"]

_PLOT = {"displayModeBar": False}
_EVERYTHING = "All of them"


def corruption(recipe: Recipe) -> None:
    """Draw the look at worse samples: curves, averages with the worst class, pictures."""
    found = looked_into(recipe, "corruption")
    if found is None:
        return
    names = list(dict.fromkeys(cell["corruption"] for cell in found["cells"]))
    if names:
        _curves(found, names)
    if found["averages"]:
        _averages(found)
    if found["missing"]:
        st.caption(found["missing"])
    for name, why in found["left_out"].items():
        st.caption(f":material/block: {CORRUPTIONS[name].title}: {why}")
    if found["pictures"]:
        _pictures(found["pictures"])
    st.caption(
        "Three corruptions of Hendrycks and Dietterich (2019): strengths of CIFAR-10-C for small "
        "pictures, of ImageNet-C for large ones. Both models see the same samples."
    )


def _curves(found: Mapping[str, Any], names: list[str]) -> None:
    metric = METRICS[found["metric"]]
    percent = metric.unit == "fraction"
    curves = {
        name: [_point(found["clean"], percent)]
        + [_point(cell, percent) for cell in found["cells"] if cell["corruption"] == name]
        for name in names
    }
    ends = _ends(curves)
    unit = {"fraction": "%", "db": "dB"}.get(metric.unit, "")
    with st.grid(len(names), min_column_width=280):
        for name, points in curves.items():
            with st.container(border=True):
                st.markdown(f"**{CORRUPTIONS[name].title}**")
                st.plotly_chart(
                    charts.corruption_curve(
                        points, f"{metric.short}, {unit}" if unit else metric.short, ends
                    ),
                    key=f"corruption_{name}",
                    config=_PLOT,
                )


def _point(cell: Mapping[str, Any], percent: bool) -> dict[str, Any]:
    return {
        "severity": cell["severity"],
        **{
            key: {
                **{
                    end: cell[key][end] * (100 if percent else 1)
                    for end in ("value", "low", "high")
                },
                "text": text(cell[key]),
            }
            if cell[key]
            else None
            for key in ("before", "after")
        },
    }


def _ends(curves: Mapping[str, list[dict[str, Any]]]) -> tuple[float, float]:
    """Return the ends of one axis for all curves, a little beyond every interval."""
    told = [p[key] for c in curves.values() for p in c for key in ("before", "after") if p[key]]
    low = min((one["low"] for one in told), default=0.0)
    high = max((one["high"] for one in told), default=1.0)
    room = 0.05 * (high - low or 1.0)
    return low - room, high + room


def _averages(found: Mapping[str, Any]) -> None:
    clean = {**found["clean"], "title": "Samples as they are"}
    rows = [clean] + [
        {**one, "title": CORRUPTIONS[one["corruption"]].title if one["corruption"] else _EVERYTHING}
        for one in found["averages"]
    ]
    with st.container(border=True):
        st.markdown("**Mean over five severities**, and the worst class beside it")
        st.table(
            [
                {
                    "": row["title"],
                    "Original": together(row["before"]),
                    "Now": together(row["after"]),
                    "Now, against the original": row["change"]["verdict"],
                    "Worst class now": f"{class_words(row['worst']['name'])}: "
                    f"{together(row['worst']['before'])} to {together(row['worst']['after'])}",
                    "Worst class, against the original": row["worst"]["change"]["verdict"],
                }
                for row in rows
            ],
            border="horizontal",
            hide_index=True,
        )
        st.caption(
            "Intervals are at 95 %, changes are paired by sample; a sample's mean over severities "
            "is one observation. The worst class was picked for being the lowest."
        )


def _pictures(pictures: Mapping[str, list[str]]) -> None:
    with st.container(border=True):
        st.markdown("**One sample**, from severity 0 to 5")
        for name, shown in pictures.items():
            st.caption(f"{CORRUPTIONS[name].title}. {CORRUPTIONS[name].about}")
            with st.container(horizontal=True, gap="small"):
                for severity, picture in enumerate(shown):
                    title = CORRUPTIONS[name].title
                    st.image(picture, width=96, alt=f"{title}, severity {severity}")
