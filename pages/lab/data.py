"""Data and preprocessing: how the data in the Lab are read, and what would do better."""

from __future__ import annotations

import streamlit as st

from pages.components import state
from pages.components.bring.confirm import confirm_step
from pages.components.bring.present import present_pair
from pages.components.errors import shown_errors

with shown_errors():
    state.write_link()
    st.subheader("Data and preprocessing", anchor=False)
    model, data = present_pair(state.recipe())
    confirm_step(model, data)
