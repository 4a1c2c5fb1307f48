"""Energy of an inference on a device, and what follows from it: battery, carbon, payback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.devices.energy import CARBON_INTENSITY, battery_life, carbon, payback
from optim.quantity import How, Quantity
from pages.components import charts

__all__ = ["energy"]

_KEYS = ("value", "unit", "low", "high", "n", "how")
_MILLION = 1_000_000


def energy(row: Mapping[str, Any], *, is_compressed: bool) -> None:
    """Draw what an inference costs on a device, before and now, and what a battery makes of it."""
    sides = [("Original", row["before"]), ("Now", row["after"])][not is_compressed :]
    known = [(title, rung["energy"]) for title, rung in sides if rung["energy"]]
    if not known:
        st.caption(
            "The energy on this device is not estimated: its process, or a runtime for the model, "
            "is not known."
        )
        return
    left, right = st.columns(2)
    with left:
        st.markdown("**Energy of one inference**, estimated from operations and bytes")
        for title, found in known:
            st.markdown(f"{title}: **{found['total']['text']}**")
        parts = [
            (title, {k: found[k]["value"] for k in ("compute", "movement")})
            for title, found in known
        ]
        st.plotly_chart(
            charts.energy_parts(parts), key="energy_parts", config={"displayModeBar": False}
        )
    with right:
        _consequences(known)


def _consequences(known: list[tuple[str, Mapping[str, Any]]]) -> None:
    now = _quantity(known[-1][1])
    first, second = st.columns(2)
    capacity = first.number_input(
        "Battery, mWh", 1.0, 1e7, 3000.0, key="battery_mwh", help="A coin cell has about 700."
    )
    hourly = second.number_input("Inferences an hour", 1.0, 1e8, 3600.0, key="hourly")
    idle = first.number_input("Drawn besides, mW", 0.0, 1e6, 1.0, key="idle_mw")
    region = second.selectbox(
        "Electricity of",
        list(CARBON_INTENSITY),
        format_func=lambda name: f"{name}, {CARBON_INTENSITY[name]:.0f} g/kWh",
        key="carbon_region",
        help="Rounded means of 2023 (Ember, Global Electricity Review 2024).",
    )
    for title, found in known:
        life = battery_life(_quantity(found), hourly, capacity, idle)
        st.markdown(f"Battery, {title.lower()}: **{life.with_ends()}**")
    emitted = carbon(now, CARBON_INTENSITY[region])
    million = Quantity(
        _MILLION * emitted.value, emitted.unit, _MILLION * emitted.low, _MILLION * emitted.high,
        how=How.ESTIMATED,
    )  # fmt: skip
    st.markdown(f"A million inferences: **{million.with_ends()}**")
    if len(known) == 2:
        spent = first.number_input(
            "Spent on compressing, Wh", 0.001, 1e6, 10.0, key="spent_wh",
            help="What training and search took; a run's page says what was measured.",
        )  # fmt: skip
        repaid = payback(Quantity.exact(3600 * spent, "j"), _quantity(known[0][1]), now)
        st.markdown(
            f"Repaid after **{repaid.with_ends()}** inferences"
            if repaid
            else "Nothing is saved an inference, so that it is never repaid."
        )


def _quantity(found: Mapping[str, Any]) -> Quantity:
    return Quantity.from_json({key: found["total"][key] for key in _KEYS})
