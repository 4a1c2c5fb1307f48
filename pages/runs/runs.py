"""Runs: what trains now, what was trained, and what came of it."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import shown_errors
from pages.components.runs.listing import run_list

st.subheader("Runs", anchor=False)
st.caption(
    "Training that goes on in the background. Closing the tab or restarting the server loses "
    "nothing: a run goes on from its checkpoint."
)
with shown_errors():
    run_list()
