"""What is chosen on the Detection page: a score, a scene; or a model that finds objects at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.data.task import Detection
from optim.models.cards import model_cards
from pages.components.offer import offer

__all__ = ["offer_detector", "scene_picker", "score_slider"]

_KINDS = {"worse": "More wrong", "better": "Less wrong", "same": "As many right and wrong"}
"""Names of the evaluator's kinds of scenes, the one to look at first in front."""


def offer_detector(name: str) -> None:
    """Say that the model finds no objects, and offer one that does."""
    able = [card for card in model_cards().values() if card.kind == Detection.kind]
    offer(f"{name} finds no objects", "This page shows boxes, before and after compression.", able)


def score_slider() -> float:
    """Draw the score from which a box is shown and counted."""
    value = st.slider(
        "Least score",
        0.05,
        0.95,
        0.5,
        0.05,
        key="detection_score",
        persist_state="session",
        width=320,
        help="Boxes of a lower score are neither shown nor counted. mAP is over all scores and "
        "does not depend on it.",
    )
    return float(value)


def scene_picker(scenes: Mapping[str, Mapping[str, Any]]) -> int:
    """Draw the choice of a kind of scenes and of one of them; return the scene's position."""
    there = [name for name in _KINDS if scenes[name]["count"]]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Scenes in which the compressed model has",
            there,
            format_func=lambda name: (
                f"{_KINDS[name]} · {scenes[name]['count']:,} of {scenes[name]['of']:,}"
            ),
            key=f"scene_kind_{'_'.join(there)}",
            width=320,
        )
        samples: list[int] = scenes[chosen]["samples"]
        if len(samples) == 1:
            return samples[0]
        number = st.slider(
            "Scene",
            1,
            len(samples),
            1,
            key=f"scene_{chosen}_{len(samples)}",
            width=320,
            help="Those in which more boxes changed come first.",
        )
    return samples[number - 1]
