"""Looks that take longer: done in a process of their own, watched here, kept until they change."""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.inspect.kept import SAMPLES, SHELF, Look, kept_look, key_of
from optim.recipe import Recipe
from pages.components import access
from pages.components.aside import Aside

__all__ = ["kept_values", "looked_into"]

_LOOKING = Aside("optim.inspect.child", SHELF, "Looking", "The model could not be looked into.")

_WORDS: dict[Look, tuple[str, str, str]] = {
    "layers": (
        "Nobody looked into this model yet",
        "A few hundred samples run through the original and the compressed model; seconds for a "
        "small network.",
        "Look inside",
    ),
    "corruption": (
        "Both models were not tried on worse samples yet",
        "A thousand samples under noise, blur and contrast at five severities; a minute or two for "
        "a small network. Figures come after every corruption.",
        "Corrupt the samples",
    ),
}
"""What is said before: that it is missing, what it takes, and the button."""


def looked_into(recipe: Recipe, look: Look) -> dict[str, Any] | None:
    """Draw how a look is started or how far it is; return what is known so far.

    Args:
        recipe: The compressed model.
        look: ``"layers"`` or ``"corruption"``.
    """
    samples = SAMPLES[look]
    key = key_of(recipe, look, samples)
    missing, takes, label = _WORDS[look]
    with st.container(border=True, key=f"looking_{look}"):
        busy = _LOOKING.is_busy(key, "look")
        found = kept_look(key)
        if found is None and not busy:
            st.markdown(f"**{missing}**")
            st.caption(takes)
        with st.container(horizontal=True, vertical_alignment="center"):
            if found is not None:
                st.caption(_about(found), width="stretch")
            if not busy and not access.is_presentation():
                st.button(
                    "Look again" if found else label,
                    icon=":material/search:",
                    type="secondary" if found else "primary",
                    on_click=_LOOKING.start,
                    args=(key,),
                    kwargs={"recipe": recipe.to_json(), "look": look, "samples": samples},
                    key=f"look_{look}",
                )
    return found


def kept_values(recipe: Recipe) -> dict[str, Any] | None:
    """Return the values of single layers, which the look at the layers leaves; None before it."""
    return kept_look(key_of(recipe, "distributions", SAMPLES["distributions"]))


def _about(found: dict[str, Any]) -> str:
    part = "validation samples" if found["part"] == "validation" else "samples"
    trained = ""
    if found["omitted"]:
        trained = " Training steps of the recipe are left out: no trained model is stored for them."
    return f"{found['n']:,} {part}, the same for both models, in {found['seconds']:.0f} s.{trained}"
