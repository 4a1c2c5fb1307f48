"""What pages say where nobody confirmed how the data are read, or accuracy is near chance."""

from __future__ import annotations

import streamlit as st

from optim.pairs import confirmed_check, needs_confirmation
from optim.recipe import Recipe
from pages.components import state

__all__ = ["ask_to_confirm", "confirmed_recipe", "doubt"]

_DATA = "pages/lab/data.py"


def ask_to_confirm() -> None:
    """Draw what stands in place of figures before somebody looked at how the data are read."""
    with st.container(border=True, horizontal_alignment="center", key="lab_unconfirmed"):
        st.markdown("**Nobody confirmed yet how these data are read for this model**")
        st.caption(
            "An uploaded model says little about the input it wants. Look at a few samples first; "
            "no accuracy is shown before that."
        )
        if st.button("Look at the data", type="primary", icon=":material/image_search:"):
            st.switch_page(_DATA)


def confirmed_recipe(title: str) -> Recipe:
    """Draw a page's heading and return the recipe; end the page where figures have to wait."""
    recipe = state.recipe()
    state.write_link()
    st.subheader(title, anchor=False)
    if needs_confirmation(recipe.model, recipe.data):
        ask_to_confirm()
        st.stop()
    return recipe


def doubt(recipe: Recipe) -> None:
    """Draw a line where the check found accuracy near chance, and the way back to it."""
    check = confirmed_check(recipe.model, recipe.data) or {}
    if not check.get("is_near_chance"):
        return
    with st.container(horizontal=True, vertical_alignment="center", key="lab_doubt"):
        st.caption(
            ":material/help: Accuracy is hardly better than guessing: the data may be read "
            "otherwise than the model was trained.",
            width="content",
        )
        if st.button("Look at the data", type="tertiary"):
            st.switch_page(_DATA)
