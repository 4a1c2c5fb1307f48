"""What a page shows that is about other models than the one that is open."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from optim.models.cards import ModelCard
from pages.components import access, state

__all__ = ["offer"]


def offer(why: str, what: str, able: Sequence[ModelCard]) -> None:
    """Say why the page is empty, and offer the first model for which it is not.

    Args:
        why: Why there is nothing to show, without a full stop.
        what: What the page shows.
        able: Models that it is about.
    """
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"**{why}**")
        st.caption(what)
        seen = access.visible({card.name: card for card in able})
        for card in list(seen.values())[:1]:
            st.button(
                f"Open {card.title}", icon=":material/swap_horiz:", on_click=_open, args=(card,)
            )


def _open(card: ModelCard) -> None:
    state.commit(state.with_model(state.recipe(), card.name, card.data))
