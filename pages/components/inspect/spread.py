"""From the map to the recipe: one setting a layer for the cost of a common one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from optim.errors import OptimError
from optim.fields import Choice, Range
from optim.quantity import format_value
from optim.recipe import Recipe
from optim.recovery import norms_measured
from optim.sensitivity.profile import Level, Profile
from optim.sensitivity.trials import overridden, untouched
from optim.techniques import TECHNIQUES, name_of
from pages.components import access, state
from pages.components.inspect.sensitivity import level_text, setting_text
from pages.components.server import evaluator

__all__ = ["spread_panel"]

_UNITS = {"macs": "MACs", "bytes": "Weight bytes", "time": "Time, of the original's"}


def spread_panel(recipe: Recipe, profile: Profile, technique: str) -> None:
    """Draw the choice of a common level, and what layers should get instead for the same cost."""
    if not profile.is_complete:
        return
    with st.container(border=True, key="sensitivity_spread"):
        st.markdown("**One setting a layer instead of one for all**")
        st.caption(
            "Layers that can spare more give more, as much in all as the common setting takes. "
            "Both are then measured on the same samples."
        )
        levels = _levels(profile, technique)
        field = overridden(TECHNIQUES[technique]())
        level = st.select_slider(
            f"Common setting, {field.kind.label.lower()}",
            levels,
            value=levels[len(levels) // 2],
            format_func=lambda one: level_text(technique, one),
            key=f"spread_level_{technique}",
        )
        in_time = profile.is_timed(technique) and _is_time_held(technique)
        if st.toggle("Find and measure", key=f"spread_{technique}"):
            with st.spinner("Choosing and measuring"):
                found = evaluator().ask(
                    "spread", recipe, technique=technique, level=level, in_time=in_time
                )
            _result(recipe, found)


def _is_time_held(technique: str) -> bool:
    """Draw the choice of what both settings take the same of; return whether it is time."""
    held = st.segmented_control(
        "Both take as much of",
        ("macs", "time"),
        default="macs",
        format_func={"macs": "MACs", "time": "Time on this machine"}.__getitem__,
        required=True,
        key=f"spread_held_{technique}",
        help="Time is that of the 8-bit file in ONNX Runtime, one sample on one thread.",
    )
    return held == "time"


def _levels(profile: Profile, technique: str) -> list[Level]:
    """Return common levels that were tried, or lie between such."""
    field = overridden(TECHNIQUES[technique]())
    tried = [cell.level for cell in profile.cells_of(technique)]
    kind = field.kind
    if isinstance(kind, Range):
        # From what leaves layers alone, which is no choice, to the strongest that was tried.
        start, end = untouched(TECHNIQUES[technique]()), tried[-1]
        between = [s for s in kind.stops() if min(start, end) <= s <= max(start, end)]
        between = sorted(between, key=lambda s: abs(s - start))[1:]
        return between[:: max(1, len(between) // 20)]
    assert isinstance(kind, Choice)
    return list(dict.fromkeys(tried))


def _result(recipe: Recipe, found: Mapping[str, Any]) -> None:
    technique, unit = found["technique"], found["unit"]
    rows = [
        {
            "": name,
            _UNITS[unit]: format_value(cost, "x" if unit == "time" else unit),
            "Quality": side["quality"]["text"] if side["quality"] else "",
            "Against the original": side["change"]["verdict"] if side["change"] else side["cost"],
        }
        for name, cost, side in (
            ("One for all", found["target"], found["common"]),
            ("One a layer", found["reached"], found["single"]),
        )
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="spread_result")
    if found["gain"]:
        st.markdown(f"One setting a layer against one for all: {found['gain']['verdict']}.")
    if st.toggle("Layer by layer", key="spread_layers"):
        st.dataframe(
            pd.DataFrame(
                {
                    "Layer": list(found["levels"]),
                    "Setting": [setting_text(technique, x) for x in found["levels"].values()],
                }
            ),
            hide_index=True,
            key="spread_settings",
        )
    if not access.is_presentation():
        st.button(
            "Use in the Lab",
            icon=":material/tune:",
            type="primary",
            on_click=_use,
            args=(recipe, technique, found["step"], found["norms"]),
            key="spread_use",
        )


def _use(recipe: Recipe, technique: str, fields: Mapping[str, Any], norms: bool) -> None:
    """Put the settings into the recipe's step of the technique, or add one where it can stand.

    With new statistics of batch norm behind it, if it was measured with them.
    """
    step = TECHNIQUES[technique](**fields)
    same = next((e.id for e in recipe.entries if name_of(e.step) == technique), None)
    try:
        if same is None:
            found = recipe.with_step(step, 0, reorder=True)
        else:
            found = recipe.with_fields(same, **step.model_dump()).with_enabled(same, True)
        state.commit(norms_measured(found) if norms else found)
    except OptimError as error:
        state.notice(error)
