"""My data: what of mine is on this server, and the button that deletes it."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import shown_errors
from pages.components.mine import my_data

st.subheader("My data", anchor=False)
with shown_errors():
    my_data()
