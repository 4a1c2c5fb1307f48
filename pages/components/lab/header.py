"""The line at the top of the Lab: what is being compressed, and what can be done with it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.recipe import Recipe
from pages.components import access, state
from pages.components.lab.delivery import download_button
from pages.components.lab.recover import recover_button
from pages.components.lab.words import samples_of
from pages.components.sharing import sharing

__all__ = ["header"]

_DATA = "pages/lab/data.py"

_OVERLAP = {
    "unknown": (
        "may include training samples",
        "Nobody declared what these weights were trained on; accuracy may be too good.",
    ),
    "seen": (
        "includes training samples",
        "The model was trained on samples it is measured on; accuracy is too good.",
    ),
}


def header(recipe: Recipe, info: dict[str, Any], *, confirmed: bool) -> None:
    """Draw title, badges and buttons.

    Args:
        recipe: The recipe shown.
        info: The evaluator's answer to the question ``model``.
        confirmed: Whether somebody looked at how the data are read; before, nothing that would
            measure accuracy is offered.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="lab_header"):
        st.subheader(f"{info['name']} · {info['data']}", anchor=False, width="content")
        if info["generated"]:
            # Of other samples, the verdict below says which and how many.
            words = samples_of(info["part"], generated=True)
            st.badge(f"{info['samples']:,} {words}", color="gray", help=" ".join(info["notes"]))
        if info["overlap"] in _OVERLAP:
            text, why = _OVERLAP[info["overlap"]]
            st.badge(text, color="orange", icon=":material/warning:", help=why)
        st.space("stretch")
        if st.button(
            "Data", icon=":material/image_search:", type="tertiary", help="How the data are read."
        ):
            st.switch_page(_DATA)
        with st.popover("Share", icon=":material/link:"):
            link = f"{state.LINK}={recipe.to_link()}"
            sharing(recipe, str(info["name"]), link, confirmed=confirmed)
        if confirmed and not access.is_presentation():
            recover_button(recipe, info)
        if confirmed:
            download_button(recipe)
