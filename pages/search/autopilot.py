"""Autopilot: limits and a budget of time, and a search for the recipe that keeps them."""

from __future__ import annotations

import streamlit as st

from pages.components import state
from pages.components.errors import shown_errors
from pages.components.search.asking import asking
from pages.components.search.results import results

with shown_errors():
    recipe = state.recipe()
    state.write_link()
    st.subheader("Autopilot", anchor=False)
    st.caption(
        "Say what must hold and how long you will wait; it finds the recipe, and says what it does "
        "and why. You may close the tab."
    )
    left, right = st.columns([1, 2])
    with left, st.container(border=True, key="autopilot_asked"), shown_errors():
        asking(recipe)
    with right, shown_errors():
        results(recipe)
