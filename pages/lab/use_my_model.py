"""Use my model: bring it with its data, see what both are, and confirm how they are read."""

from __future__ import annotations

import streamlit as st

from pages.components import access
from pages.components.bring.confirm import confirm_step
from pages.components.bring.data import data_step
from pages.components.bring.model import model_step
from pages.components.errors import shown_errors

with shown_errors():
    st.subheader("Use my model", anchor=False)
    st.caption(
        "Files are read, never executed, in a process with limits. Only you see them, unless you "
        "share."
    )
    access.refuse_presentation()
    model = model_step()
    data = data_step(model)
    confirm_step(model, data)
