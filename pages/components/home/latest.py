"""The runs of last, where somebody left off."""

from __future__ import annotations

import time

import streamlit as st

from optim.data.added import data_cards
from optim.models.cards import model_cards
from pages.components.home.links import LAB
from pages.components.runs.listing import RUN, draw_outcome, runs_seen
from pages.components.runs.words import STATES, age, plain, subject_of

__all__ = ["latest_runs"]

_RUNS = "pages/runs/runs.py"
_MOST = 4


def latest_runs() -> None:
    """Draw the latest runs of who looks, or what would make one."""
    models, data = model_cards(), data_cards()
    found = sorted(runs_seen(models, data), key=lambda run: -run.created_at)[:_MOST]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Latest runs**", width="content")
        st.space("stretch")
        if found:
            st.page_link(_RUNS, label="All runs", icon=":material/model_training:")
    if not found:
        with st.container(border=True, key="latest_empty", gap="xsmall"):
            st.caption(
                "What you train stands here: in the Lab, press *Recover accuracy*, and the network "
                "learns again in the background."
            )
            st.page_link(LAB, label="Open the Lab", icon=":material/tune:")
        return
    with st.container(border=True, gap="xsmall", key="latest_rows"):
        for run in found:
            look = STATES[run.state]
            title, badge, outcome, when = st.columns(
                (4, 1.2, 3.4, 1), vertical_alignment="center", gap="small"
            )
            with title, st.container(gap=None):
                st.page_link(RUN, label=plain(run.title), query_params={"id": run.id})
                if subject := subject_of(run, models, data):
                    st.caption(subject)
            with badge:
                st.badge(look.title, color=look.color, icon=look.icon, help=look.about)
            with outcome:
                draw_outcome(run)
            with when:
                st.caption(age(time.time() - run.created_at))
