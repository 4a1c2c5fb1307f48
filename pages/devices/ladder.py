"""Ladder: one model on every device, from the data centre to the microcontroller."""

from __future__ import annotations

import streamlit as st

from pages.components import access, state
from pages.components.devices.detail import detail
from pages.components.devices.ladder import chosen_devices, chosen_model, rungs, summary
from pages.components.errors import shown_errors
from pages.components.server import evaluator

with shown_errors():
    state.write_link()
    st.subheader("Device ladder", anchor=False)
    recipe = chosen_model(state.recipe())
    with st.spinner("Asking what the model needs on every device"):
        found = evaluator().ask("ladder", recipe, owner=access.owner())
    summary(found)
    shown = chosen_devices(found)
    rungs(found, shown)
    detail(found, shown, recipe, is_ours=recipe == state.recipe())
