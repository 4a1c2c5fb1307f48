"""Which steps of a recipe are not in an answer, because nothing is trained for them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

__all__ = ["untrained_note"]


def untrained_note(titles: Sequence[str]) -> None:
    """Say which steps were left out; nothing where none was."""
    if titles:
        st.caption(f"Left out, because not trained yet: {', '.join(titles)}.")
