"""From what was found about a device to the Lab."""

from __future__ import annotations

import streamlit as st

from optim.recipe import Recipe
from pages.components import access, state

__all__ = ["try_in_lab"]

_LAB = "pages/lab/lab.py"


def try_in_lab(link: str, *, key: str, is_ours: bool) -> None:
    """Draw a button that takes a changed recipe to the Lab.

    Args:
        link: The recipe.
        key: Of the button.
        is_ours: Whether it is about the model of the Lab, which can be changed there.
    """
    may_try = is_ours and not access.is_presentation()
    if may_try and st.button("Try it in the Lab", icon=":material/tune:", key=key):
        state.commit(Recipe.from_link(link))
        st.switch_page(_LAB)
