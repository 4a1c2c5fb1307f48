"""Why no speed-up: what each step brings on a device, and what its time is spent on instead."""

from __future__ import annotations

import streamlit as st

from pages.components import access, state
from pages.components.devices.effects import device_picker, effects
from pages.components.errors import shown_errors
from pages.components.server import evaluator

with shown_errors():
    recipe = state.recipe()
    state.write_link()
    st.subheader("Why no speed-up?", anchor=False)
    st.caption(
        "Each step is judged by what an inference would take without it. Smaller is not always "
        "faster: here is where the time goes."
    )
    name = device_picker()
    if not recipe.active:
        with st.container(border=True, horizontal_alignment="center", key="no_steps"):
            st.markdown("**Nothing is done to the model yet**")
            st.caption("Move a slider in the Lab; every step is explained here.")
            st.page_link("pages/lab/lab.py", label="To the Lab", icon=":material/tune:")
        st.stop()
    with st.spinner("Looking at every operator"):
        found = evaluator().ask("speed", recipe, name=name, owner=access.owner())
    effects(found)
