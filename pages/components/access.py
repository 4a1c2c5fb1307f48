"""Who looks at the pages, what is theirs, and what may be done here.

Somebody who has signed in is the same in every session. Everybody else is a guest, known by a
cookie of the browser (:mod:`pages.components.guests`) and to nobody else. Whatever acts asks here
first: that a control is hidden is a courtesy, that its action is refused is the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import streamlit as st
from streamlit import config
from streamlit.auth_util import get_secrets_auth_section

from optim.access import audit, settings
from optim.access.names import guest_id, user_id
from optim.belongings import quota
from optim.data.added import DataCard
from optim.errors import AccessError
from optim.models.cards import ModelCard
from optim.runs.run import Run
from pages.components import state
from pages.components.guests import COOKIE, is_token, new_token
from pages.components.server import run_store

__all__ = [
    "PRESENTATION",
    "begin",
    "check_run",
    "check_upload",
    "is_presentation",
    "may_change",
    "may_see_run",
    "needs_sign_in",
    "note",
    "note_opened",
    "owner",
    "refuse_presentation",
    "user_name",
    "visible",
]

_Card = TypeVar("_Card", ModelCard, DataCard)

PRESENTATION = "presentation"
"""Query parameter of a link that opens pages to look at only."""


def begin() -> None:
    """Begin a view of a page: nobody who has to sign in gets further before they have."""
    if needs_sign_in() and not _user().get("is_logged_in"):
        _draw_sign_in()
        st.stop()
    if _user_key() and "signed_in" not in st.session_state:
        st.session_state["signed_in"] = True
        note("signed in")
    if st.query_params.get(PRESENTATION) == "1":
        st.session_state["presentation"] = True
    elif st.session_state.get("presentation"):
        st.query_params[PRESENTATION] = "1"  # so that a reload shows the same


def needs_sign_in() -> bool:
    """Whether the operator has set up sign-in."""
    return bool(get_secrets_auth_section())


def owner() -> str:
    """Return the id of who looks: a user's in every session, or a guest's in one browser."""
    if key := _user_key():
        return user_id(*key)
    token = str(st.context.cookies.get(COOKIE))
    if not is_token(token):  # a browser without cookies: known for this session only
        token = st.session_state.setdefault("guest", new_token())
    return guest_id(token)


def user_name() -> str:
    """Return what to call who has signed in; empty for a guest."""
    found = _user()
    return str(found.get("name") or found.get("email") or "") if _user_key() else ""


def is_presentation() -> bool:
    """Whether there is only something to look at: on this server, or by the link opened."""
    return settings.is_presentation() or bool(st.session_state.get("presentation"))


def refuse_presentation() -> None:
    """Refuse to act where there is only something to look at.

    Raises:
        AccessError: If that is so.
    """
    if is_presentation():
        raise AccessError(
            "This is a presentation: nothing can be uploaded, trained or deleted here.",
            hint="Move the sliders, or open the address without presentation=1."
            if not settings.is_presentation()
            else "Move the sliders.",
        )


def visible(cards: Mapping[str, _Card]) -> dict[str, _Card]:
    """Return the models or data that stand in the lists: for all, one's own, named by the link."""
    present, mine = state.recipe(), owner()
    return {
        name: card
        for name, card in cards.items()
        if card.listed or card.owner == mine or card.name in (present.model, present.data)
    }


def may_see_run(run: Run) -> bool:
    """Whether a run stands in the lists: one's own, or one that the command line has submitted."""
    return run.owner in ("", owner())


def may_change(run: Run) -> bool:
    """Whether a run may be paused, cancelled, resumed, deleted.

    It has to be one's own. What the command line has submitted belongs to whoever is at the
    machine, which may be a guest, and is nobody who is known by name.
    """
    if is_presentation():
        return False
    return run.owner == owner() if run.owner else _user_key() is None


def check_upload(*sizes: int) -> None:
    """Refuse files of so many bytes where nothing may be uploaded, or no more.

    Raises:
        AccessError: If they are refused.
    """
    refuse_presentation()
    # The upload fields say it too; what goes around them is refused here.
    most = int(config.get_option("server.maxUploadSize")) * 2**20
    for size in sizes:
        quota.check_size(size, most)
    quota.check_upload(owner(), run_store(), *sizes)


def check_run() -> None:
    """Refuse a run where none may be started, or no more.

    Raises:
        AccessError: If it is refused.
    """
    refuse_presentation()
    quota.check_run(owner(), run_store())


def note(what: str, content_hash: str = "", **facts: str | int) -> None:
    """Write into the audit log what who looks has just done."""
    audit.record(owner(), what, content_hash, **facts)


def note_opened(content_hash: str) -> None:
    """Write into the audit log that a model was opened, once for each model that is shown."""
    if st.session_state.get("opened") != content_hash:
        st.session_state["opened"] = content_hash
        note("opened", content_hash)


def _user() -> Mapping[str, object]:
    return st.user.to_dict()


def _user_key() -> tuple[str, str] | None:
    """Return who vouches for somebody and under which name; None for a guest.

    Headers of a proxy count where the operator has said that they may be trusted.
    """
    found = _user()
    if found.get("is_logged_in"):
        return str(found.get("iss", "")), str(found.get("sub") or found.get("email"))
    if config.get_option("server.trustedUserHeaders"):
        name = found.get("sub") or found.get("email")
        return ("proxy", str(name)) if name else None
    return None


def _draw_sign_in() -> None:
    providers = [n for n, v in get_secrets_auth_section().items() if isinstance(v, Mapping)]
    with st.container(border=True, width=420, key="sign_in"):
        st.markdown("**Sign in to go on**")
        st.caption("What you upload and train is yours alone, in every browser you sign in with.")
        for name in providers or [None]:
            st.button(
                f"Sign in with {name}" if name else "Sign in",
                key=f"sign_in_{name}",
                type="primary",
                icon=":material/login:",
                on_click=st.login,
                args=(name,),
            )
