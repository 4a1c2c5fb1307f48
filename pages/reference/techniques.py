"""Reference: every technique and its fields, from the same declarations as the sliders."""

from __future__ import annotations

import streamlit as st

from optim.techniques import TECHNIQUES
from pages.components.reference import field_rows, method_rows

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
    st.table(field_rows(technique), hide_index=True, border="horizontal")
    if technique.paper:
        st.caption(f"Source: {technique.paper}")
for label, methods in method_rows(technique).items():
    with st.container(border=True):
        st.markdown(f"**{label}** · what can be chosen")
        st.table(methods, hide_index=True, border="horizontal")
