"""The tour of the first page."""

from __future__ import annotations

import streamlit as st

from optim.lessons import TOUR
from optim.lessons.kept import TOUR_NAME
from pages.components.lessons.drawn import draw_lesson
from pages.components.lessons.waiting import lesson_content

__all__ = ["tour"]

_STEP_S = 12.0
"""Five steps are a minute."""


def tour() -> None:
    """Draw what happens to the default model, step by step."""
    st.markdown(f"**{TOUR.title}**")
    st.caption(TOUR.idea)
    with st.container(key="lesson_tour_place"):
        if shown := lesson_content(TOUR_NAME):
            draw_lesson(TOUR_NAME, TOUR, shown, play_s=_STEP_S)
