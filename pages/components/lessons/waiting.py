"""What a lesson shows: kept on this machine, or computed now, beside the pages."""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.lessons.kept import SHELF, kept_lesson, key_of
from pages.components.aside import Aside

__all__ = ["LESSON_JOB", "lesson_content"]

LESSON_JOB = Aside(
    "optim.lessons.kept",
    SHELF,
    "Computing a lesson for the first time",
    "The lesson could not be computed.",
    for_all=True,
)
_ASKED = "lesson_asked"


def lesson_content(name: str) -> dict[str, Any]:
    """Return what a lesson shows; nothing while it is computed, and then that is drawn.

    Raises:
        UnsupportedModelError: If there is no model at all.
    """
    key = key_of(name)
    if shown := kept_lesson(name):
        return shown
    asked = st.session_state.setdefault(_ASKED, set())
    if key not in asked and LESSON_JOB.start(key, name=name):
        asked.add(key)
    if LESSON_JOB.is_busy(key, "lesson"):
        return {}
    if shown := kept_lesson(name):  # it has just ended
        return shown
    # It was tried once, and the reason why nothing came of it stands above.
    st.button("Try again", on_click=asked.discard, args=(key,), icon=":material/refresh:")
    return {}
