"""Your own device: measure a board with one file, and see every model on it."""

from __future__ import annotations

import streamlit as st

from pages.components.devices.probing import instructions, own_devices, this_machine
from pages.components.errors import shown_errors

with shown_errors():
    st.subheader("Your own device", anchor=False)
    left, right = st.columns(2)
    with left, st.container(border=True, key="own_steps"):
        instructions()
    with right, st.container(border=True, key="own_list"):
        own_devices()
    with st.container(border=True, key="own_here"):
        this_machine()
