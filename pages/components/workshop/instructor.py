"""For who leads a room: the way in for others, people, freezing, results, what is played for."""

from __future__ import annotations

import streamlit as st

from optim.access.settings import workshop_url
from optim.errors import AccessError
from optim.runs.run import ACTIVE
from optim.workshop.board import csv_of
from optim.workshop.network import qr_png
from optim.workshop.room import Room
from pages.components.errors import show_error, shown_errors
from pages.components.runs.words import plain
from pages.components.workshop.editing import edit_challenges
from pages.components.workshop.me import is_instructor, rooms, sign_in_instructor

__all__ = ["instructor_door", "instructor_view"]


def instructor_door(here: Room) -> None:
    """Draw where who leads says so."""
    with st.popover("I lead this room", icon=":material/key:"):
        key = st.text_input("Key", type="password", key="workshop_key")
        st.caption("It stands where the server was started.")
        if not key:
            return
        if sign_in_instructor(here, key):
            st.rerun()
        show_error(AccessError("This is not the key of the room.", hint="Look at it again."))


def instructor_view(here: Room) -> None:
    """Draw what who leads sees besides."""
    if not is_instructor(here):
        return
    with st.container(border=True, key="workshop_lead"):
        way, people, act = st.columns([1.3, 2, 1.2])
        with way:
            _way_in(here)
        with people, shown_errors():
            _people(here)
        with act, shown_errors():
            _acts(here)
        edit_challenges(here)


def _way_in(here: Room) -> None:
    st.markdown("**The way in**")
    url = workshop_url()
    if image := qr_png(url) if url else b"":
        st.image(image, width=160, alt=f"QR code of {url}")
    if url:
        st.code(url, language=None)
    st.markdown(f"Room code **{here.code}**")


def _people(here: Room) -> None:
    found = rooms().participants(here.code)
    active = [run for _, run in rooms().entries(here.code) if run.state in ACTIVE]
    st.markdown(f"**{len(found)} in the room**, {len(active)} entries waiting or being measured")
    if not found:
        st.caption("Nobody has joined yet.")
        return
    st.caption(" · ".join(plain(who.nickname) for who in found))
    names = {who.key: who.nickname for who in found}
    lost = st.selectbox(
        "Somebody lost their code",
        list(names),
        index=None,
        format_func=names.__getitem__,
        placeholder="Choose who",
        key="workshop_lost",
    )
    if lost and st.button("Give a new code", icon=":material/refresh:"):
        st.markdown(f"{plain(names[lost])} comes back with **{rooms().renew(here.code, lost)}**.")


def _acts(here: Room) -> None:
    st.markdown("**Results**")
    if here.is_frozen:
        st.button(
            "Open again", icon=":material/lock_open:", on_click=rooms().thaw, args=(here.code,)
        )
    else:
        st.button(
            "Freeze",
            icon=":material/lock:",
            on_click=rooms().freeze,
            args=(here.code,),
            help="Nothing can be entered any more; what was entered is still measured.",
        )

    def content() -> str:
        found = rooms()
        return csv_of(here, found.participants(here.code), found.entries(here.code))

    st.download_button(
        "Results as CSV",
        content,
        file_name=f"workshop-{here.code}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
