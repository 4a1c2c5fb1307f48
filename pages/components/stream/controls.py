"""What is chosen on the page of the sensor: its rate, its hop, noise, and what is no alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from optim.data.added import data_cards
from optim.data.bearing import RATE_HZ
from optim.data.task import Classification
from optim.models.cards import model_cards
from pages.components.offer import offer

__all__ = ["Settings", "hears_series", "offer_listener", "settings"]

_RATES = (1_000, 2_000, 6_000, RATE_HZ, 48_000, 96_000, 192_000, 500_000, 1_000_000, 2_000_000)
_HOPS = (16, 32, 64, 128, 256, 512, 1_024)
_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_SHORTEST_MS = 60.0
"""A window is shown at least so long; a browser draws no faster."""


@dataclass(frozen=True)
class Settings:
    """How the series is played.

    Attributes:
        rate_hz: Samples a second.
        hop: Samples after which the next answer is due.
        noise: Added noise, in standard deviations of each channel.
        quiet: The class that raises no alarm.
    """

    rate_hz: int
    hop: int
    noise: float
    quiet: str

    def frame_ms(self, length: int) -> float:
        """Return how long a window of ``length`` samples is shown."""
        return max(_SHORTEST_MS, 1000 * length / self.rate_hz)


def hears_series(model: str, info: Mapping[str, Any]) -> bool:
    """Whether a model tells classes of series."""
    card = model_cards().get(model)
    shape = data_cards()[card.data].input_shape if card and card.data in data_cards() else ()
    return len(shape) == 2 and info["metric"]["name"] == "accuracy"


def offer_listener(name: str) -> None:
    """Say that the model hears no series, and offer one that does."""
    known = data_cards()
    able = [
        card
        for card in model_cards().values()
        if card.data in known
        and len(known[card.data].input_shape) == 2
        and card.kind == Classification.kind
    ]
    offer(
        f"{name} takes no series",
        "This page plays what a sensor measures, such as vibration, through both models.",
        able,
    )


def settings(classes: Sequence[str], data: str) -> Settings:
    """Draw the controls and return what was chosen; rate and hop are kept for the data."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rate = st.select_slider(
            "Sampling rate",
            _RATES,
            RATE_HZ,
            format_func=lambda hz: f"{hz / 1000:g} kHz",
            key="stream_rate",
            persist_state="session",
            width=205,
            help=f"Of the sensor; the bearing's series are of {RATE_HZ / 1000:g} kHz. The model "
            "hears the same windows at every rate: what changes is how soon an answer is due.",
        )
        hop = st.select_slider(
            "Hop",
            _HOPS,
            _HOPS[-1],
            format_func=lambda samples: f"{samples} samples",
            key="stream_hop",
            persist_state="session",
            width=205,
            help="Samples from one answer to the next; less than a window lets windows overlap.",
        )
        noise = st.select_slider(
            "Added noise",
            _LEVELS,
            0.0,
            format_func=lambda level: f"{level:g}",
            key="stream_noise",
            persist_state="session",
            width=205,
            help="Normal noise on top of the series, in standard deviations of each channel.",
        )
        quiet = st.selectbox(
            "No alarm at",
            classes,
            key=f"stream_quiet_{data}",
            width=180,
            help="Every other class is an alarm.",
        )
    return Settings(int(rate), int(hop), float(noise), str(quiet))
