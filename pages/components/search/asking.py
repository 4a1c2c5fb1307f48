"""What a search is asked for: limits with their units, the budget, and the button."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from optim.errors import OptimError
from optim.models.cards import model_cards
from optim.recipe import Recipe
from optim.runs.jobs.search import KIND
from optim.search.autopilot.asked import Asked
from optim.search.goals import BYTES_OF
from optim.search.samplers import DEFAULT_SAMPLER, SAMPLERS
from pages.components.errors import show_error
from pages.components.search.common import (
    SAMPLER_TITLES,
    device,
    minutes,
    start_button,
    submit,
)

__all__ = ["asking", "start_search"]

_SHARES = (2, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100)
_POINTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)


def asking(recipe: Recipe) -> None:
    """Draw the limits and the button.

    Args:
        recipe: Names model and data.
    """
    limits: dict[str, float | str] = {}
    st.markdown("**What must hold**")
    bytes_of = _size(limits)
    if st.toggle(
        "Limit the loss", value=True, key="autopilot_limits_loss", persist_state="session"
    ):
        limits["loss"] = st.select_slider(
            "Loss at most",
            _POINTS,
            1.0,
            format_func=lambda points: f"{points:g} point{'' if points == 1 else 's'}",
            key="autopilot_loss",
            persist_state="session",
            help="Percentage points of accuracy or mAP, on the same validation samples.",
        )
    device_name = device(
        "autopilot",
        limits,
        ("latency", "ram"),
        "Latency, memory and energy are estimated for it; on this computer latency is measured. "
        "What does not fit into the flash and RAM of a microcontroller is not taken.",
        here=True,
    )
    seconds = minutes("autopilot", 3, "The best so far is there from the first trial on.")
    more = _more()
    try:
        asked = Asked(
            replace(recipe, entries=()),
            limits,
            seconds=seconds,
            bytes_of=bytes_of,
            device=device_name,
            **more,
        )
    except OptimError as error:
        show_error(error)
        return
    start_button("autopilot", start_search, asked)


def start_search(asked: Asked) -> None:
    """Start the run of a search."""
    card = model_cards().get(asked.base.model)
    title = f"Autopilot: {card.title if card else asked.base.model}"
    submit(KIND, asked.to_json(), title)


def _size(limits: dict[str, float | str]) -> str:
    """Draw the limit of size, and whose bytes count."""
    kinds = {"share": "Share", "kilobytes": "Kilobytes", "none": "No limit"}
    kind = st.segmented_control(
        "Size at most",
        list(kinds),
        default="share",
        format_func=kinds.__getitem__,
        required=True,
        key="autopilot_size_kind",
        persist_state="session",
    )
    if kind == "share":
        share = st.select_slider(
            "Share of the original's bytes",
            _SHARES,
            10,
            format_func=lambda percent: f"{percent} % of the original",
            key="autopilot_share",
            persist_state="session",
            label_visibility="collapsed",
        )
        limits["bytes"] = f"{share}%"
    elif kind == "kilobytes":
        limits["bytes"] = 1000.0 * st.number_input(
            "Kilobytes",
            min_value=0.1,
            value=40.0,
            step=1.0,
            key="autopilot_kilobytes",
            persist_state="session",
            label_visibility="collapsed",
        )
    return str(
        st.selectbox(
            "Bytes of",
            list(BYTES_OF),
            format_func=BYTES_OF.__getitem__,
            key="autopilot_bytes_of",
            persist_state="session",
        )
    )


def _more() -> dict[str, Any]:
    with st.expander("More"):
        sampler = st.selectbox(
            "What thinks of recipes",
            list(SAMPLERS),
            index=list(SAMPLERS).index(DEFAULT_SAMPLER),
            format_func=SAMPLER_TITLES.__getitem__,
            key="autopilot_sampler",
            persist_state="session",
        )
        trains = st.toggle(
            "Train the promising",
            value=True,
            key="autopilot_trains",
            persist_state="session",
            help="Off: only what needs no training.",
        )
        reuses = st.toggle(
            "Take what was trained before",
            value=True,
            key="autopilot_reuses",
            persist_state="session",
            help="Results of trainings that are stored here, or ship with the program.",
        )
    return {"sampler": sampler, "trains": trains, "reuses": reuses}
