"""What somebody has on this server: listed, and deleted with one button that asks first."""

from __future__ import annotations

import streamlit as st

from optim.access.settings import limits, retention_days
from optim.belongings.found import Belongings, belongings, files_of, size_of
from optim.belongings.removal import remove_all
from optim.data.added import DataCard
from optim.errors import OptimError
from optim.models.cards import ModelCard
from optim.quantity import Quantity
from optim.runs.snapshots import snapshots
from pages.components import access, state
from pages.components.present.deck import DECK
from pages.components.runs.words import plain
from pages.components.server import evaluator, run_store
from pages.components.sharing import forget_snapshot

__all__ = ["my_data"]

_PRESENT = "pages/share/present.py"


def my_data() -> None:
    """Draw the list and the button.

    Raises:
        OptimError: If the store cannot be read.
    """
    st.caption(_whose())
    if removed := st.session_state.pop("removed", ""):
        st.info(f"Deleted: {removed}.", icon=":material/delete:")
    mine = belongings(access.owner(), run_store())
    if mine.is_empty:
        with st.container(border=True, horizontal_alignment="center", key="mine_empty"):
            st.markdown("**Nothing of yours is here**")
            st.caption("What you upload, train or download is listed here, and can be deleted.")
        return
    with st.container(border=True, key="mine"):
        st.markdown(f"**{_summary(mine)}**")
        if mine.uploads:
            st.table(_rows(mine), border="horizontal", hide_index=True)
        _snapshots()
        if days := retention_days():
            st.caption(f"What is not used for {days} days is removed by itself.")
        _delete_button()


def _whose() -> str:
    if name := access.user_name():
        return f"You are signed in as {name}: it is yours in every browser."
    return "It belongs to this browser: nobody else finds it without a link from you."


def _summary(mine: Belongings) -> str:
    most = limits()
    size = str(Quantity.exact(mine.upload_bytes, "bytes"))
    if most.upload_bytes:
        size += f" of {Quantity.exact(most.upload_bytes, 'bytes')}"
    return (
        f"{_count(mine.uploads, 'upload')}, {size} · {_count(len(mine.runs), 'run')} · "
        f"{_count(len(mine.exports), 'exported file')}"
        + (f" · {_count(len(mine.devices), 'probed device')}" if mine.devices else "")
        + (f" · {_count(len(mine.snapshots), 'snapshot')}" if mine.snapshots else "")
    )


def _snapshots() -> None:
    """Draw what was saved to be presented, each with its own way out."""
    for saved in snapshots(access.owner()):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link(
                _PRESENT,
                label=plain(saved.title),
                icon=":material/photo_camera:",
                query_params={DECK: saved.id},
                width="stretch",
            )
            if not access.is_presentation():
                st.button(
                    "Delete",
                    icon=":material/delete:",
                    type="tertiary",
                    key=f"delete_{saved.id}",
                    on_click=forget_snapshot,
                    args=(saved.id,),
                )


def _rows(mine: Belongings) -> list[dict[str, str]]:
    return [_row("Model", card) for card in mine.models] + [
        _row("Data", card) for card in mine.data
    ]


def _row(kind: str, card: ModelCard | DataCard) -> dict[str, str]:
    size = Quantity.exact(sum(map(size_of, files_of(card))), "bytes")
    return {"Kind": kind, "Title": card.title, "Size": str(size)}


def _delete_button() -> None:
    """Draw the button; what it deletes cannot be brought back, so that it asks."""
    if access.is_presentation():
        return
    with st.popover("Delete my data", icon=":material/delete:"):
        st.markdown(
            "Deletes all your uploads, runs, exported files and trained results, and what was "
            "cached of them. Links to them no longer work. **This cannot be undone.**"
        )
        st.button("Delete everything", type="primary", on_click=_delete, key="delete_everything")


def _delete() -> None:
    try:
        access.refuse_presentation()
        removed = remove_all(access.owner(), run_store())
        evaluator().forget()
    except OptimError as error:
        state.notice(error)
        return
    state.start_again()
    st.session_state["removed"] = str(removed)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
