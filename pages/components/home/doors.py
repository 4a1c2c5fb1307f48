"""What this is, in two lines, and the three ways in."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.components.home.links import LAB, PRESENT
from pages.components.lessons.listing import LEARN

__all__ = ["doors"]


@dataclass(frozen=True)
class _Door:
    """One way in.

    Attributes:
        title: What one comes for.
        icon: Beside it.
        about: What is behind, in one sentence.
        page: Script it leads to.
        label: Of the link.
        options: Query parameters of the link.
    """

    title: str
    icon: str
    about: str
    page: str
    label: str
    options: dict[str, str]


_DOORS = (
    _Door(
        "Explore",
        ":material/tune:",
        "Move the sliders: accuracy, size and latency answer at once. Take away a file that was "
        "measured.",
        LAB,
        "Open the Lab",
        {},
    ),
    _Door(
        "Present",
        ":material/co_present:",
        "One model a slide, in large type, stepped through with the arrow keys: presets, or what "
        "you saved in the Lab.",
        PRESENT,
        "Open the slides",
        {},
    ),
    _Door(
        "Teach",
        ":material/school:",
        "Short lessons with one idea and one control each: predict, then look. Live, on networks "
        "that ship.",
        LEARN,
        "Open the lessons",
        {},
    ),
)


def doors() -> None:
    """Draw the head of the page and the ways in."""
    st.subheader("Make neural networks smaller, and see what it costs", anchor=False)
    st.caption(
        "Optim Studio prunes, quantizes, distils and searches networks in front of your eyes. "
        "Every number says how it was obtained; every file was measured."
    )
    with st.grid(len(_DOORS), min_column_width=260, key="doors"):
        for door in _DOORS:
            with st.container(border=True, gap="xsmall", height="stretch"):
                st.markdown(f"{door.icon} **{door.title}**")
                st.caption(door.about)
                st.page_link(
                    door.page,
                    label=door.label,
                    icon=":material/arrow_forward:",
                    query_params=door.options,
                )
