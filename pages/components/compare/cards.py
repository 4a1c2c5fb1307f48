"""One card a model: what it reaches, and how it differs from the reference."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from optim.compare.contest import COUNTS
from optim.runs.contenders import Contender
from pages.components.compare.charts import color_of
from pages.components.inspect.words import samples_words

__all__ = ["cards"]

_COLORS = {"better": "green", "worse": "red", "same": "gray"}
_KINDS = {
    "run": ("run", ":material/model_training:"),
    "preset": ("preset", ":material/tune:"),
    "model": ("model", ":material/deployed_code:"),
    "snapshot": ("snapshot", ":material/photo_camera:"),
    "recipe": ("recipe", ":material/receipt_long:"),
}


def cards(contenders: Sequence[Contender], found: Mapping[str, Any]) -> None:
    """Draw a card for every model.

    Args:
        contenders: What is compared.
        found: What the question ``contest`` answered.
    """
    with st.grid(min(4, max(2, len(contenders))), min_column_width=240):
        for number, (one, entry) in enumerate(zip(contenders, found["entries"], strict=True)):
            with st.container(border=True, gap="xsmall", height="stretch", key=f"card_{number}"):
                _card(number, one, entry, found)


def _card(number: int, one: Contender, entry: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    name, icon = _KINDS[one.kind]
    with st.container(horizontal=True, gap="xsmall"):
        st.badge(name, icon=icon, color="gray")
        if number == found["reference"]:
            st.badge("reference", color="blue")
    st.html(
        f'<div><span aria-hidden="true" style="color:{color_of(number)}">&#9679;</span> '
        f"<strong>{html.escape(one.title)}</strong></div>"
    )
    if entry["problem"] and "figures" not in entry:
        st.caption(entry["problem"])
        return
    metric = found["metrics"][entry["metric"]]
    _figure(metric["title"], entry["figures"]["quality"], entry, "quality")
    for name_, title in COUNTS.items():
        _figure(title, entry["figures"][name_], entry, name_)
    st.caption(_about(entry))


def _figure(
    title: str, figure: Mapping[str, Any] | None, entry: Mapping[str, Any], name: str
) -> None:
    value = figure["text"] if figure else "not measured"
    origin = f" :small[:gray[{figure['how']}]]" if figure else ""
    line = f":gray[{title}] **{value}**{origin}"
    told = (entry.get("changes") or {}).get(name)
    if told and told["change"]:
        change = told["change"]
        words = change["verdict"]
        color = _COLORS[change["direction"]]
        line += f"  \n:{color}[{words}]"
        if not told["paired"]:
            line += " :small[:gray[unpaired]]"
    st.markdown(line)


def _about(entry: Mapping[str, Any]) -> str:
    """Say which samples were looked at, and what a reader must know of the differences."""
    words = []
    if entry["stored"]:
        words.append("Figures as the run stored them; what it trained is no longer here.")
    elif entry["n"]:
        words.append(f"Of {samples_words(entry['n'], entry['part'])}.")
    told = (entry.get("changes") or {}).get("quality") or {}
    if told.get("paired"):
        words.append(f"Paired over {entry['common']:,} samples.")
    elif told.get("why"):
        words.append(f"Unpaired: {told['why']}.")
    if entry["omitted"]:
        words.append("Training steps are left out: no trained model is stored for them.")
    return " ".join(words)
