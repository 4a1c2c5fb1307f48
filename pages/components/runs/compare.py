"""From selected runs to the page that puts them side by side."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

__all__ = ["COMPARE", "MOST", "compare_button"]

COMPARE = "pages/compare/compare.py"
"""Script of the page that compares."""
MOST = 8
"""As many runs as stand side by side."""


def compare_button(run_ids: Sequence[str]) -> None:
    """Draw the button that puts selected runs side by side."""
    if st.button(
        "Compare",
        icon=":material/compare_arrows:",
        disabled=not 1 <= len(run_ids) <= MOST,
        help=f"Puts up to {MOST} selected runs side by side, or one beside other models.",
    ):
        st.switch_page(COMPARE, query_params={"runs": ",".join(run_ids)})
