"""The live panel: technique sliders and charts that answer while a slider is dragged.

The page mounts it with a recipe and hears back when a slider is released (``commit``), a button is
pressed (``command``) or the figures have settled (``settled``). Everything in between goes over the
connection of :mod:`pages.components.live_panel.routes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import plotly
import streamlit as st

from optim.fields import controls
from optim.presets import PRESETS, preset_recipes
from optim.recipe import Recipe
from optim.techniques import TECHNIQUES
from pages.components import state
from pages.components.live_panel.routes import asset_version, base_path

__all__ = ["PanelEvents", "live_panel"]

_FOLDER = Path(__file__).parent
_HTML = '\n<div class="optim-lab" data-mode="simple"></div>\n'
_LOADER = """
export default async function (component) {
  const { base, version } = component.data;
  const url = new URL(`${base}/panel/panel.js?v=${version}`, window.location.href);
  const { mount } = await import(url.href);
  mount(component);
}
"""

_DISTILL_STOPS = (0, 4, 12)
"""Lengths for which students are stored; see ``optim.pretrain``."""

_QUICK = (
    {"entry": "prune_channels", "field": "pruning_ratio", "show": {}},
    {"entry": "quantize", "field": "weight_bits", "show": {}},
    {"entry": "quantize", "field": "activation_bits", "show": {}},
    {"entry": "distill", "field": "epochs", "show": {}, "stops": list(_DISTILL_STOPS)},
)


@dataclass(frozen=True)
class PanelEvents:
    """What the panel calls back.

    Attributes:
        commit: A slider was released; takes the recipe's steps as plain data.
        command: A button was pressed; takes its name and a value.
    """

    commit: Callable[[list[dict[str, Any]]], None]
    command: Callable[[str, Any], None]


def live_panel(
    recipe: Recipe,
    events: PanelEvents,
    *,
    can_undo: bool,
    can_redo: bool,
    metric: dict[str, Any],
    refused: Mapping[str, str],
    samples: str,
    latency: dict[str, int],
    batch: str,
    wants_settled: bool,
    trained: str = "",
) -> None:
    """Draw the panel.

    Args:
        recipe: The committed recipe.
        events: What to call back.
        can_undo: Whether there is an older recipe.
        can_redo: Whether there is a newer one.
        metric: The figure of quality that decides: ``title``, ``short``, ``about`` and ``unit``.
        refused: ``{technique: why it cannot change the model}``.
        samples: What a reader calls the samples that figure is measured on.
        latency: ``batch_size`` and ``threads`` of the latency figure.
        batch: What a reader is told of its batch.
        wants_settled: Whether the page wants to run again once figures have settled.
        trained: Changes when something was trained; answers from before may lack its result.
    """
    head = {k: v for k, v in recipe.to_json().items() if k != "steps"}
    _component()(
        key="live_panel",
        data={
            "base": base_path(),
            "version": asset_version(),
            "plotly": plotly.__version__,
            "revision": recipe.hash,
            "subject": "|".join(map(str, (recipe.model, recipe.data, recipe.seed, recipe.split))),
            "head": head,
            "entries": _entries(recipe),
            "schema": _schema(),
            "quick": [{"stops": _stops(q), **q} for q in _QUICK],
            "presets": _presets(recipe),
            "can_undo": can_undo,
            "can_redo": can_redo,
            "metric": metric,
            "refused": dict(refused),
            "advice": recipe.advice,
            "samples": samples,
            "latency": latency,
            "batch": batch,
            "wants_settled": wants_settled,
            "trained": trained,
            "heard": state.heard(),
        },
        on_commit_change=lambda: _on_commit(events),
        on_command_change=lambda: _on_command(events),
        on_settled_change=lambda: None,
    )


def _on_commit(events: PanelEvents) -> None:
    value = st.session_state["live_panel"].get("commit")
    if value:
        state.heard(value["id"])
        events.commit(value["steps"])


def _on_command(events: PanelEvents) -> None:
    value = st.session_state["live_panel"].get("command")
    if value:
        state.heard(value["id"])
        events.command(value["name"], value["value"])


@cache
def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "optim_live_panel",
        html=_HTML,
        css="\n" + (_FOLDER / "panel.css").read_text(encoding="utf-8"),
        js=_LOADER,
        isolate_styles=False,
    )


@cache
def _schema() -> dict[str, Any]:
    """Return what the browser needs to draw any technique's controls."""
    return {
        name: {
            "title": technique.title,
            "about": technique.about,
            "paper": technique.paper,
            "cost": technique.cost,
            "controls": [control.to_json() for control in controls(technique)],
        }
        for name, technique in TECHNIQUES.items()
    }


def _stops(quick: dict[str, Any]) -> list[Any]:
    found = next(c for c in _schema()[quick["entry"]]["controls"] if c["name"] == quick["field"])
    return found.get("stops") or [option["value"] for option in found["options"]]


def _entries(recipe: Recipe) -> list[dict[str, Any]]:
    return [
        {
            "id": entry.id,
            "technique": entry.name,
            "enabled": entry.enabled,
            "fields": entry.step.model_dump(mode="json"),
        }
        for entry in recipe.entries
    ]


def _presets(recipe: Recipe) -> list[dict[str, Any]]:
    recipes = preset_recipes(recipe.model, recipe.data, recipe.seed)
    return [
        {
            "name": name,
            "title": preset.title,
            "about": preset.about,
            "entries": _entries(recipes[name]),
        }
        for name, preset in PRESETS.items()
    ]
