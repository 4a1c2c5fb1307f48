"""Tiles of the page of the sensor: does each model keep up, and does it raise the right alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from optim.measure.realtime import RealTime, alarms, real_time
from pages.components.stream.controls import Settings

__all__ = ["budgets", "tiles"]

_SIDES = {"original": "Original", "compressed": "Compressed"}


def budgets(played: Mapping[str, Any], chosen: Settings) -> dict[str, RealTime]:
    """Return both models beside the sensor."""
    return {
        name: real_time(np.array(played[name]["times_ms"]), chosen.hop, chosen.rate_hz)
        for name in _SIDES
    }


def tiles(played: Mapping[str, Any], both: Mapping[str, RealTime], chosen: Settings) -> None:
    """Draw a card for each model: time and deadline, missed deadlines, alarms."""
    quiet = played["classes"].index(chosen.quiet)
    with st.grid(2, min_column_width=340):
        for name, title in _SIDES.items():
            found = both[name]
            raised = alarms(
                np.array(played[name]["choices"]), np.array(played["windows"]["targets"]), quiet
            )
            with st.container(border=True, gap="xxsmall"):
                st.metric(
                    f"{title}: time of an answer :gray-badge[measured]",
                    str(found.latency),
                    f"{found.load} of {found.deadline}",
                    delta_color="green" if found.load.value < 1 else "red",
                    delta_arrow="off",
                    help="Median over the windows in ONNX Runtime on one thread of this machine; "
                    "below it, its share of the deadline, which is hop over sampling rate.",
                )
                st.caption(
                    f"Missed deadlines: {found.missed} of {found.missed.n} answers. "
                    f"Alarms: {raised.right} of {raised.due} that were due, {raised.false} false."
                )
