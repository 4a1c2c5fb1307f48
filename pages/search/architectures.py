"""Architecture search: a space, limits and a budget of time, and the network that keeps them."""

from __future__ import annotations

import streamlit as st

from pages.components import state
from pages.components.errors import shown_errors
from pages.components.networks.asking import asking
from pages.components.networks.results import results

with shown_errors():
    state.write_link()
    st.subheader("Architecture search", anchor=False)
    st.caption(
        "Which network learns your data within limits: costs are known before anything is trained. "
        "It ends with a trained network and its verified file. You may close the tab."
    )
    left, right = st.columns([1, 2])
    with left, st.container(border=True, key="networks_asked"), shown_errors():
        asking()
    with right, shown_errors():
        results(state.searched_data())
