"""One page of a topic: the choice on the left, what came of it on the right."""

from __future__ import annotations

import streamlit as st

from optim.alternatives.topics import TOPICS
from pages.components import state
from pages.components.alternatives.chooser import chooser
from pages.components.alternatives.results import results
from pages.components.errors import shown_errors

__all__ = ["topic_page"]


def topic_page(name: str) -> None:
    """Draw the page of a topic."""
    topic = TOPICS[name]
    st.subheader(topic.title, anchor=False)
    st.caption(topic.about)
    state.write_link()
    left, right = st.columns([1, 2])
    with left, st.container(border=True), shown_errors():
        chooser(topic, name)
    with right, shown_errors():
        results(name)
