"""Energy of an inference on a device, and what follows from it: battery, carbon, payback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.devices.energy import CARBON_INTENSITY, battery_life, carbon, payback
from optim.errors import OptimError
from optim.quantity import How, Quantity
from optim.runs.energy import energy_of_run
from optim.runs.run import State
from pages.components import access, charts
from pages.components.server import run_store

__all__ = ["energy"]

_KEYS = ("value", "unit", "low", "high", "n", "how")
_MILLION = 1_000_000


def energy(row: Mapping[str, Any], *, is_compressed: bool) -> None:
    """Draw what an inference costs on a device, before and now, and what a battery makes of it."""
    sides = [("Original", row["before"]), ("Now", row["after"])][not is_compressed :]
    known = [(title, rung["energy"]) for title, rung in sides if rung["energy"]]
    if not known:
        st.caption(f"The energy on this device is not estimated: {row['after']['no_energy']}.")
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
        run = _newest_run()
        usual = min(1e6, max(0.001, round(run.value / 3600, 3))) if run else 10.0
        hours = first.number_input(
            "Spent on compressing, Wh", 0.001, 1e6, usual, key="spent_wh",
            help="What training and search took; at first that of the newest finished run, "
            "measured or estimated, as its page says.",
        )  # fmt: skip
        spent = run if run and hours == usual else Quantity.exact(3600 * hours, "j")
        repaid = payback(spent, _quantity(known[0][1]), now)
        st.markdown(
            f"Repaid after **{repaid.with_ends()}** inferences :gray-badge[{repaid.how}]"
            if repaid
            else "Nothing is saved an inference, so that it is never repaid."
        )


def _newest_run() -> Quantity | None:
    """Return the energy of the newest finished run; None where there is none, or no store."""
    try:
        runs = run_store().runs(states={State.FINISHED}, owner=access.owner())
    except OptimError:
        return None
    return next((energy for run in runs if (energy := energy_of_run(run))), None)


def _quantity(found: Mapping[str, Any]) -> Quantity:
    return Quantity.from_json({key: found["total"][key] for key in _KEYS})
