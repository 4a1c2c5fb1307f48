"""Reference: every technique and its fields, from the same declarations as the sliders."""

from __future__ import annotations

import streamlit as st

from optim.techniques import TECHNIQUES
from pages.components.reference import field_rows, method_rows, show_tables

_COST = {
    "instant": ("needs no data", "green"),
    "calibrated": ("needs samples", "blue"),
    "training": ("trains", "orange"),
}

st.subheader("Techniques", anchor=False)
st.caption(
    "What each step of a recipe does and which settings it has. Names are those of recipes, of "
    "the command line and of the library."
)
with st.container(key="technique_place"):
    chosen = st.segmented_control(
        "Technique",
        list(TECHNIQUES),
        default=next(iter(TECHNIQUES)),
        key="technique",
        format_func=lambda name: TECHNIQUES[name].title,
        label_visibility="collapsed",
        required=True,
    )
technique = TECHNIQUES[chosen]
with st.container(border=True):
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{technique.title}** `{chosen}`")
        text, color = _COST[technique.cost]
        st.badge(text, color=color)
    st.markdown(technique.about)
    if technique.paper:
        st.caption(f"Source: {technique.paper}")
    choices = {f"{label}: what can be chosen": m for label, m in method_rows(technique).items()}
    show_tables({"Fields": field_rows(technique), **choices})
