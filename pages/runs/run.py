"""Run: one run, live. The address names it, so that it can be opened again and elsewhere."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import shown_errors
from pages.components.runs.detail import no_run, run_detail

with shown_errors():
    if run_id := st.query_params.get("id"):
        run_detail(run_id)
    else:
        no_run()
