"""All lessons, and the way from one to the next."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from optim.lessons import LESSONS, Lesson
from pages.components.lessons.drawn import draw_lesson
from pages.components.lessons.waiting import lesson_content

__all__ = ["LEARN", "LESSON", "chosen_lesson", "list_lessons", "show_lesson"]

LEARN = "pages/learn/learn.py"
"""Script of the page of lessons."""
LESSON = "lesson"
"""Query parameter that names a lesson."""
_ROOT = Path(__file__).resolve().parents[3]


def chosen_lesson() -> str:
    """Return the lesson that the address names; empty for none, or one that is not here."""
    name = st.query_params.get(LESSON, "")
    return name if name in LESSONS else ""


def list_lessons() -> None:
    """Draw all lessons, in order."""
    st.subheader("Learn", anchor=False)
    st.caption(
        "Each lesson has one idea, one control and one question: predict, then look. Every number "
        "comes from the networks that ship, or from the catalogue of devices."
    )
    with st.container(key="lessons"), st.grid(3, min_column_width=280):
        for number, (name, lesson) in enumerate(LESSONS.items(), 1):
            with st.container(border=True, gap="xsmall", height="stretch"):
                st.page_link(LEARN, label=f"{number}. {lesson.title}", query_params={LESSON: name})
                st.caption(lesson.idea)


def show_lesson(name: str) -> None:
    """Draw one lesson, and the way on."""
    lesson, names = LESSONS[name], list(LESSONS)
    number = names.index(name)
    with st.container(horizontal=True, vertical_alignment="center", key="lesson_head"):
        st.subheader(lesson.title, anchor=False, width="content")
        st.badge(f"{number + 1} of {len(names)}", color="gray")
        st.space("stretch")
        _link("All lessons", "", ":material/apps:")
        if number:
            _link("Before", names[number - 1], ":material/arrow_back:")
        if number + 1 < len(names):
            _link("Next", names[number + 1], ":material/arrow_forward:")
    st.markdown(lesson.idea)
    with st.container(key="lesson_place"):
        if shown := lesson_content(name):
            draw_lesson(name, lesson, shown)
    _more(lesson)


def _link(label: str, name: str, icon: str) -> None:
    st.page_link(
        LEARN,
        label=label,
        icon=icon,
        query_params={LESSON: name} if name else None,
        width="content",
    )


def _more(lesson: Lesson) -> None:
    """Draw where the idea comes from, and what does it here."""
    st.markdown(f":small[Paper: [{lesson.paper}]({lesson.link})]")
    with st.expander(f"Source: {lesson.source}", icon=":material/code:"):
        st.code((_ROOT / lesson.source).read_text(encoding="utf-8"), language="python", height=420)
