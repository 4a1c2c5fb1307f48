"""Which room this server holds, who looks at it, and whether they lead it."""

from __future__ import annotations

import hmac

import streamlit as st

from optim.access.settings import workshop_code
from optim.workshop.room import Participant, Room
from optim.workshop.rooms import Rooms, instructor_key
from pages.components import access
from pages.components.server import run_store

__all__ = ["is_instructor", "me", "own_code", "room", "rooms", "sign_in_instructor"]

_LEADS, _OWN = "workshop_leads", "workshop_own_code"


def rooms() -> Rooms:
    """Return the rooms of this server's store."""
    return Rooms(run_store())


def room() -> Room | None:
    """Return the room of this server; None where no workshop is held.

    Raises:
        ConfigError: If ``OPTIM_WORKSHOP`` names a room that is not there.
    """
    code = workshop_code()
    return rooms().get(code) if code else None


def me(here: Room) -> Participant | None:
    """Return who looks; None if they have not joined."""
    return rooms().known(here.code, access.owner())


def own_code(code: str | None = None) -> str:
    """Remember the code that brings who looks back, to be shown in this session; or return it."""
    if code is not None:
        st.session_state[_OWN] = code
    found: str = st.session_state.get(_OWN, "")
    return found


def is_instructor(here: Room) -> bool:
    """Whether who looks leads the room."""
    return st.session_state.get(_LEADS) == here.code


def sign_in_instructor(here: Room, key: str) -> bool:
    """Let who looks lead the room if they know its key; return whether they do."""
    knows = hmac.compare_digest(key.strip().encode(), instructor_key(here.code).encode())
    if knows:
        st.session_state[_LEADS] = here.code
    return knows
