"""What a search is asked for: limits with their units, the budget, and the button."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from optim.errors import OptimError
from optim.models.cards import model_cards
from optim.recipe import Recipe
from optim.runs.jobs.search import KIND
from optim.runs.run import Run
from optim.search.autopilot.asked import Asked
from optim.search.goals import BYTES_OF
from optim.search.samplers import SAMPLERS
from pages.components.errors import show_error
from pages.components.search.common import (
    SAMPLER_TITLES,
    asked_before,
    device,
    minutes,
    searches,
    share_of,
    start_button,
    submit,
    with_value,
)

__all__ = ["asking", "searches_about", "start_search"]

_SHARES = (2, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100)
_LEAST_KB = 0.1
_POINTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)


def asking(recipe: Recipe) -> None:
    """Draw the limits and the button.

    Args:
        recipe: Names model and data.
    """
    before = asked_before("autopilot", lambda: searches_about(recipe), Asked.from_json)
    start = before or Asked(recipe, {"bytes": "10%", "loss": 1.0})
    limits: dict[str, float | str] = {}
    st.markdown("**What must hold**")
    bytes_of = _size(limits, start)
    lost = start.limits.get("loss")
    if st.toggle(
        "Limit the loss",
        value=lost is not None,
        key="autopilot_limits_loss",
        persist_state="session",
    ):
        most = 1.0 if lost is None else float(lost)
        limits["loss"] = st.select_slider(
            "Loss at most",
            with_value(_POINTS, most),
            most,
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
        before=start.limits,
        start=start.device,
    )
    about = "The best so far is there from the first trial on."
    seconds = minutes("autopilot", start.seconds / 60, about)
    more = _more(start)
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


def searches_about(recipe: Recipe) -> list[Run]:
    """Return the searches about the model and data of a recipe, newest first."""

    def is_about(spec: Mapping[str, Any]) -> bool:
        about = spec.get("recipe") or {}
        return (about.get("model"), about.get("data")) == (recipe.model, recipe.data)

    return searches(KIND, is_about)


def start_search(asked: Asked) -> None:
    """Start the run of a search."""
    card = model_cards().get(asked.base.model)
    title = f"Autopilot: {card.title if card else asked.base.model}"
    submit(KIND, asked.to_json(), title)


def _size(limits: dict[str, float | str], start: Asked) -> str:
    """Draw the limit of size, and whose bytes count."""
    kinds = {"share": "Share", "kilobytes": "Kilobytes", "none": "No limit"}
    size = start.limits.get("bytes")
    percent, kilobytes = share_of(size, 10), 40.0
    if size is None:
        begin = "none"
    elif isinstance(size, str):
        begin = "share"
    else:
        begin, kilobytes = "kilobytes", max(_LEAST_KB, size / 1000)
    kind = st.segmented_control(
        "Size at most",
        list(kinds),
        default=begin,
        format_func=kinds.__getitem__,
        required=True,
        key="autopilot_size_kind",
        persist_state="session",
    )
    if kind == "share":
        share = st.select_slider(
            "Share of the original's bytes",
            with_value(_SHARES, percent),
            percent,
            format_func=lambda percent: f"{percent:g} % of the original",
            key="autopilot_share",
            persist_state="session",
            label_visibility="collapsed",
        )
        limits["bytes"] = f"{share:g}%"
    elif kind == "kilobytes":
        limits["bytes"] = 1000.0 * st.number_input(
            "Kilobytes",
            min_value=_LEAST_KB,
            value=kilobytes,
            step=1.0,
            key="autopilot_kilobytes",
            persist_state="session",
            label_visibility="collapsed",
        )
    return str(
        st.selectbox(
            "Bytes of",
            list(BYTES_OF),
            index=list(BYTES_OF).index(start.bytes_of),
            format_func=BYTES_OF.__getitem__,
            key="autopilot_bytes_of",
            persist_state="session",
        )
    )


def _more(start: Asked) -> dict[str, Any]:
    with st.expander("More"):
        sampler = st.selectbox(
            "What thinks of recipes",
            list(SAMPLERS),
            index=list(SAMPLERS).index(start.sampler),
            format_func=SAMPLER_TITLES.__getitem__,
            key="autopilot_sampler",
            persist_state="session",
        )
        trains = st.toggle(
            "Train the promising",
            value=start.trains,
            key="autopilot_trains",
            persist_state="session",
            help="Off: only what needs no training.",
        )
        reuses = st.toggle(
            "Take what was trained before",
            value=start.reuses,
            key="autopilot_reuses",
            persist_state="session",
            help="Results of trainings that are stored here, or ship with the program.",
        )
    return {"sampler": sampler, "trains": trains, "reuses": reuses}
