"""What was learned: in one line, by sample, at a temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.fields import Range, controls
from optim.recipe import Recipe
from optim.techniques.distill import Distill
from pages.components import state

__all__ = ["headline", "outcome_picker", "temperature_slider"]

_OUTCOMES = {
    "student_fails": "Student fails",
    "student_wins": "Student wins",
    "both_right": "Both right",
    "both_wrong": "Both wrong",
}
"""Names of the evaluator's outcomes, the one to look at first in front."""


def headline(recipe: Recipe, found: Mapping[str, Any]) -> None:
    """Say in one line how far the student follows its teacher, and what stands behind it."""
    st.markdown(
        f"Student and teacher choose the same class for **{found['agreement']['text']}** of the "
        f"samples; against its teacher, the student {_verdict(found['change'])}."
    )
    if found["omitted"]:
        st.caption(
            "The student was not distilled yet: no trained one is stored for these settings. What "
            "is shown is the compressed model before training."
        )
    elif not any(entry.step.cost == "training" for entry in recipe.active):
        st.caption(
            "The recipe does not train: the student is the compressed model as it is. Add "
            "distillation in the Lab."
        )


def _verdict(change: Mapping[str, Any]) -> str:
    text: str = change["verdict"]
    return f"shows {text}" if text.startswith("no difference") else text


def outcome_picker(outcomes: Mapping[str, Mapping[str, Any]]) -> int:
    """Draw the choice of an outcome and of one of its samples; return the sample's position."""
    there = [name for name in _OUTCOMES if outcomes[name]["count"]]
    chosen = st.radio(
        "Samples",
        there,
        format_func=lambda name: f"{_OUTCOMES[name]} · {outcomes[name]['text']}",
        key="imitation_outcome",
    )
    samples: list[int] = outcomes[chosen]["samples"]
    if len(samples) == 1:
        return samples[0]
    number = st.slider(
        "Sample",
        1,
        len(samples),
        1,
        key=f"imitation_sample_{chosen}_{len(samples)}",
        help="Those on which teacher and student differ most come first.",
    )
    return samples[number - 1]


def temperature_slider(recipe: Recipe) -> float:
    """Draw the temperature; it starts at that of the recipe and may be written back to it."""
    (kind,) = [c.kind for c in controls(Distill) if c.name == "temperature"]
    assert isinstance(kind, Range)
    entry = next((e for e in recipe.entries if isinstance(e.step, Distill)), None)
    start = entry.step.temperature if entry else Distill().temperature  # type: ignore[attr-defined]
    value = st.slider(
        kind.label,
        kind.low,
        kind.high,
        float(start),
        kind.step,
        format="%.1f",
        help=kind.help,
        key="temperature",
    )
    if entry is not None and value != start:
        st.button(
            "Use in the recipe",
            on_click=lambda: state.commit(recipe.with_fields(entry.id, temperature=value)),
        )
    return float(value)
