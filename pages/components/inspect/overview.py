"""Both models by their answers: quality, classes, confidence, agreement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from optim.measure.quality import METRICS
from optim.quantity import Comparison, Quantity
from optim.recipe import Recipe
from pages.components.inspect import charts
from pages.components.inspect.words import (
    change_text,
    class_words,
    omitted_note,
    samples_words,
    text,
    tile,
)
from pages.components.server import evaluator

__all__ = ["overview"]

_PLOT = {"displayModeBar": False}
_MANY = 40
"""Classes of which only those that changed most are drawn."""


def overview(recipe: Recipe) -> None:
    """Draw the first view: the mean, the worst class beside it, and how sure both are."""
    with st.spinner("Looking at every sample"):
        found = evaluator().ask("inspection", recipe)
    _tiles(found)
    fewer = " Large models are looked at on fewer samples." if found["n"] < found["of"] else ""
    st.caption(
        f"All figures are of the same {samples_words(found['n'], found['part'], found['of'])}; "
        f"intervals are at 95 %, changes are paired.{fewer}"
    )
    omitted_note(found["omitted"])
    if found["missing"]:
        with st.container(border=True):
            st.markdown("**Classes and calibration**")
            st.caption(found["missing"])
    with st.grid(2, min_column_width=340):
        if found["classes"]:
            _classes(found["classes"])
        if found["confidence"] and found["confidence"]["before"]["ece"]:
            _reliability(found["confidence"])
    _figures(found)


def _tiles(found: Mapping[str, Any]) -> None:
    metric = METRICS[found["metric"]]
    with st.grid(5, min_column_width=180, key="overview_cards"):
        tile(
            metric.title,
            found["after"].get(found["metric"]),
            found["before"].get(found["metric"]),
            found["change"],
            metric.about,
        )
        if worst := found["worst_class"]:
            tile(
                "Worst class",
                worst["after"],
                worst["before"],
                worst["change"],
                "The class of the lowest accuracy in the compressed model. It was picked for being "
                "the lowest, so that its figure is a little too low.",
                class_words(worst["name"]),
            )
        if found["metric"] != "agreement" and (same := found["after"].get("agreement")):
            tile("Agreement", same, None, None, METRICS["agreement"].about, "with the original")
        if confidence := found["confidence"]:
            _confidence_tiles(confidence)


def _confidence_tiles(confidence: Mapping[str, Any]) -> None:
    before, after = confidence["before"], confidence["after"]
    if after["ece"]:
        tile(
            "Calibration error",
            after["ece"],
            before["ece"],
            confidence["ece_change"],
            "Expected calibration error: mean distance between how sure the model is and how often "
            "it is right, over 15 bins of confidence. Of few samples it is too high.",
        )
    tile(
        "Confidence",
        after["confidence"],
        before["confidence"],
        confidence["shift"],
        "Probability of the class the model chooses, mean over samples. More is not better: it "
        "should be as high as accuracy.",
        judged=False,
    )


def _classes(classes: list[dict[str, Any]]) -> None:
    with st.container(border=True):
        st.markdown("**Change of every class**, the largest loss at the top")
        rows = [
            {
                "name": one["name"],
                **{key: one["change"]["difference"][key] for key in ("value", "low", "high")},
                "direction": one["change"]["direction"],
                "text": f"{text(one['before'])} to {text(one['after'])}, "
                f"{one['change']['verdict']}",
            }
            for one in classes
        ]
        rows.sort(key=lambda row: abs(row["value"]), reverse=True)
        st.plotly_chart(charts.class_losses(rows[:_MANY]), key="class_losses", config=_PLOT)
        few = f"The {_MANY} of {len(rows)} classes that changed most. " if rows[_MANY:] else ""
        st.caption(
            f"{few}Red and green: beyond what chance explains in one class. Of many classes, five "
            "in a hundred look so by chance."
        )
        if st.toggle("Table", key="classes_table"):
            st.dataframe(_class_table(classes), hide_index=True, key="classes_rows")


def _class_table(classes: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Class": one["name"],
            "Original, %": 100 * one["before"]["value"],
            "Now, %": 100 * one["after"]["value"],
            "Change": change_text(one["change"]),
            "Samples": one["after"]["n"],
        }
        for one in classes
    )


def _reliability(confidence: Mapping[str, Any]) -> None:
    with st.container(border=True):
        st.markdown("**Calibration**: how often answers are right, by how sure the model is")
        st.plotly_chart(charts.reliability(confidence), key="reliability", config=_PLOT)
        st.caption(
            "On the dotted line a model is as often right as sure; below it, it is too sure. "
            f"Bins of fewer than {charts.FEW} samples are not drawn. "
            f"{_calibration_words(confidence)}"
        )


def _calibration_words(confidence: Mapping[str, Any]) -> str:
    change = Comparison.from_json(dict(confidence["ece_change"]))
    least = Quantity.from_json(dict(confidence["after"]["by_chance"]))
    moved = f"shows {change.verdict()}"
    if change.beyond_noise:
        size = change_text(confidence["ece_change"]).lstrip("+-")
        moved = f"{'rises' if change.difference.value > 0 else 'falls'} by {size}"
    found = Quantity.from_json(dict(confidence["after"]["ece"]))
    by_chance = " That of this one is no larger, so that its interval begins at 0."
    return (
        f"The calibration error {moved}; a calibrated model would show up to {least} on so many "
        f"samples.{by_chance if found.value <= least.value else ''}"
    )


def _figures(found: Mapping[str, Any]) -> None:
    """Draw every figure of quality of both models."""
    with st.container(border=True):
        st.markdown("**How closely the compressed model follows the original**")
        rows = [
            {
                "Figure": METRICS[name].title,
                "Original": text(found["before"][name]) if name in found["before"] else "–",
                "Now": text(figure),
                "What it says": METRICS[name].about,
            }
            for name, figure in found["after"].items()
        ]
        st.table(rows, border="horizontal", hide_index=True)
        if "sqnr" not in found["after"]:
            st.caption("There is no difference between the outputs of both.")
