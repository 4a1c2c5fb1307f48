"""Sensitivity: what single layers can spare, and settings of layers that follow from it."""

from __future__ import annotations

import streamlit as st

from pages.components import state
from pages.components.errors import shown_errors
from pages.components.inspect.sensitivity import analysed, heat_map, pick_technique
from pages.components.inspect.spread import spread_panel

with shown_errors():
    recipe = state.recipe()
    state.write_link()
    st.subheader("Sensitivity", anchor=False)
    st.caption(
        "Each technique on one layer at a time, all others as they were: where the model can be "
        "compressed, and where it cannot."
    )
    profile = analysed(recipe)
    if profile is not None:
        technique = pick_technique(profile)
        heat_map(profile, technique)
        spread_panel(recipe, profile, technique)
