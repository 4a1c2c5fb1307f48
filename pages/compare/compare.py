"""Compare: runs, presets, saved recipes and models side by side, each against a reference."""

from __future__ import annotations

import streamlit as st

from pages.components.compare.page import comparison
from pages.components.errors import shown_errors

st.subheader("Compare", anchor=False)
st.caption(
    "Any models side by side, each against a reference: on the same validation samples, so that "
    "chance they share does not count as a difference."
)
with shown_errors():
    comparison()
