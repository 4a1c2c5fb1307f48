"""Where the doors lead, and links from before the Lab had an address of its own."""

from __future__ import annotations

import streamlit as st

from pages.components import access, state

__all__ = ["LAB", "PRESENT", "follow_old_link"]

LAB = "pages/lab/lab.py"
"""Script of the Lab."""
PRESENT = "pages/share/present.py"
"""Script of the slides."""
_OF_LAB = (state.LINK, state.RUN)


def follow_old_link() -> None:
    """Go to the Lab where the address names a recipe or a run: such a link was made there."""
    named = {name: st.query_params[name] for name in _OF_LAB if name in st.query_params}
    if not named:
        return
    if access.PRESENTATION in st.query_params:
        named[access.PRESENTATION] = st.query_params[access.PRESENTATION]
    st.switch_page(LAB, query_params=named)
