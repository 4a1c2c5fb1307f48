"""Joining a room, and coming back to it."""

from __future__ import annotations

import streamlit as st

from optim.workshop.room import Room
from pages.components import access
from pages.components.errors import shown_errors
from pages.components.workshop.me import own_code, rooms

__all__ = ["door", "no_workshop"]


def no_workshop() -> None:
    """Say how a workshop is held, where none is."""
    st.subheader("Workshop", anchor=False)
    with st.container(border=True, key="workshop_none"):
        st.markdown("**No workshop is held on this server**")
        st.caption(
            "One command opens a room for thirty people on your network: it prints an address, a "
            "QR code and the room's code. They install nothing, and need no internet."
        )
        st.code("make workshop", language=None)


def door(here: Room) -> None:
    """Draw both ways in: a new nickname, or one from before."""
    st.subheader(here.title, anchor=False)
    st.caption("Join to enter challenges. What you enter is measured here; nobody types a score.")
    with st.grid(2, min_column_width=300):
        with st.form("workshop_join", border=True), shown_errors():
            st.markdown("**Join**")
            code = st.text_input("Room code", placeholder="On the screen", key="workshop_code")
            nickname = st.text_input("Nickname", key="workshop_nickname", max_chars=24)
            if st.form_submit_button("Join", type="primary", icon=":material/login:"):
                _, own = rooms().join(code, nickname, access.owner())
                own_code(own)
                st.rerun()
        with st.form("workshop_back", border=True), shown_errors():
            st.markdown("**Come back**")
            nickname = st.text_input("Nickname", key="workshop_back_nickname", max_chars=24)
            own = st.text_input(
                "Your code", placeholder="Shown when you joined", key="workshop_back_code"
            )
            if st.form_submit_button("Go on", icon=":material/undo:"):
                rooms().come_back(here.code, nickname, own, access.owner())
                own_code(own.strip().upper())
                st.rerun()
