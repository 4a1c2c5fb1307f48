"""The page: choose, ask every model once, and draw one view at a time."""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.errors import OptimError
from optim.runs.contenders import Contender
from pages.components import state
from pages.components.compare import views
from pages.components.compare.cards import cards
from pages.components.compare.chosen import RUNS, choose, choose_reference, with_originals
from pages.components.server import evaluator

__all__ = ["comparison"]

_VIEWS = {
    "Trade-off": views.trade_off,
    "All figures": views.all_figures,
    "Classes": views.classes,
    "Layers": views.layers,
    "Predictions": views.predictions,
    "Origin": views.origin,
}


def comparison() -> None:
    """Draw the whole page."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_choice"):
        contenders = choose()
        if not contenders:
            reference = 0
        else:
            reference = choose_reference(contenders)
            _add_originals(contenders)
    if not contenders:
        _nothing()
        return
    found = _asked(contenders, reference)
    if found is None:
        return
    cards(contenders, found)
    if len(contenders) < 2:
        st.caption("Choose a second model to see how they differ.")
        return
    view = st.segmented_control(
        "View",
        list(_VIEWS),
        default="Trade-off",
        required=True,
        key="compare_view",
        persist_state="session",
        label_visibility="collapsed",
        wrap=True,
    )
    with st.container(border=True, key="compare_shown"):
        _VIEWS[view](contenders, found)


def _asked(contenders: list[Contender], reference: int) -> dict[str, Any] | None:
    """Ask every model what it says, then compare; a model that cannot be asked is told about."""
    recipes = [one.recipe for one in contenders if one.recipe is not None]
    if not recipes:
        st.caption("None of them has a recipe, so that nothing can be looked at.")
        return None
    with st.spinner("Looking at every sample with every model", show_time=True):
        for recipe in recipes:
            try:
                evaluator().ask("answered", recipe)
            except OptimError:
                continue  # said on its card
        first = contenders[reference].recipe or recipes[0]
        asked = [one.asked() for one in contenders]
        found: dict[str, Any] = evaluator().ask(
            "contest", first, contenders=asked, reference=reference
        )
    return found


def _add_originals(contenders: list[Contender]) -> None:
    refs = with_originals(contenders)
    missing = len(refs) > len(contenders)

    def add() -> None:
        st.query_params[RUNS] = ",".join(refs)
        st.query_params["reference"] = refs[0]

    st.button(
        "Add originals",
        icon=":material/add:",
        on_click=add,
        disabled=not missing,
        help="Puts the models that these were made from beside them, the first as the reference.",
    )


def _nothing() -> None:
    with st.container(border=True, horizontal_alignment="center", key="compare_empty"):
        st.markdown("**Nothing is chosen yet**")
        st.caption(
            "Choose models above, select runs on the page *Runs* and press *Compare*, or start "
            "with the presets."
        )
        model = state.recipe().model

        def presets() -> None:
            names = [f"preset:{name}@{model}" for name in ("gentle", "balanced", "tiny")]
            st.query_params[RUNS] = ",".join([f"model:{model}", *names])

        st.button("Compare the presets", icon=":material/compare_arrows:", on_click=presets)
