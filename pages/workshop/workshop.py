"""Workshop: a room with a code, challenges that are measured, and a live leaderboard."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import shown_errors
from pages.components.workshop.challenges import pick_challenge, show_challenge
from pages.components.workshop.door import door, no_workshop
from pages.components.workshop.instructor import instructor_door, instructor_view
from pages.components.workshop.me import is_instructor, me, own_code, room

with shown_errors(), st.container(key="workshop"):
    here = room()
    if here is None:
        no_workshop()
        st.stop()
    who = me(here)
    if who is None and not is_instructor(here):
        door(here)
        instructor_door(here)
        st.stop()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(here.title, anchor=False, width="content")
        if who:
            st.badge(who.nickname, icon=":material/person:", color="gray")
            if own := own_code():
                st.badge(f"come back with {own}", icon=":material/key:", color="orange")
        st.space("stretch")
        if not is_instructor(here):
            instructor_door(here)
    instructor_view(here)
    show_challenge(here, pick_challenge(here), who)
