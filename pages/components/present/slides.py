"""One snapshot at a time, in large type: what it is, what it reaches, what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from optim.errors import OptimError
from optim.presets import PRESETS
from optim.quantity import Comparison
from optim.recipe import Recipe
from optim.report.facts import settings_of
from optim.runs.contenders import Contender, contender_of, original_of
from optim.runs.snapshots import Snapshot, get_snapshot, snapshots
from pages.components import access, state
from pages.components.errors import show_error
from pages.components.inspect.words import omitted_note, samples_words
from pages.components.present.deck import AT, DECK
from pages.components.present.keys import pressed_key
from pages.components.runs.words import plain
from pages.components.server import evaluator, run_store
from pages.components.sharing import forget_snapshot

__all__ = ["place_after", "slides"]

_LAB = "pages/lab/lab.py"
_COLORS = {"better": "green", "worse": "red", "same": "gray"}
_FIGURES = {"file": "File", "macs": "MACs"}


@dataclass(frozen=True)
class _Slide:
    """One of the deck.

    Attributes:
        made: What is shown.
        title: In large type.
        note: Below it.
        snapshot: Where it comes from; None for a preset or a model.
    """

    made: Contender
    title: str
    note: str
    snapshot: Snapshot | None


def slides() -> None:
    """Draw the snapshot that the address names, and the ways to the others."""
    deck = _deck()
    if not deck:
        _nothing()
        return
    asked = st.query_params.get(AT, "1")
    place = min(max(int(asked) if asked.isdecimal() else 1, 1), len(deck))
    if go := pressed_key():
        place = place_after(place, go, len(deck))
        st.query_params[AT] = str(place)
    with st.container(key="present"):
        _slide(deck[place - 1])
    _ways(deck, place)


def place_after(place: int, go: str, count: int) -> int:
    """Return which snapshot is shown after a key, from 1; the ends are not left.

    Example:
        >>> place_after(1, "next", 3), place_after(3, "next", 3), place_after(2, "first", 3)
        (2, 3, 1)
    """
    wanted = {"next": place + 1, "previous": place - 1, "first": 1, "last": count}
    return min(max(wanted.get(go, place), 1), count)


def _deck() -> list[_Slide]:
    """Return what the address names, or all snapshots of who looks."""
    named = [part for part in st.query_params.get(DECK, "").split(",") if part]
    if not named:
        named = [one.id for one in snapshots(access.owner())]
        if named:
            st.query_params[DECK] = ",".join(named)
            st.rerun()  # without a frame
    found = []
    for name in dict.fromkeys(named):
        try:
            found.append(_slide_of(name))
        except OptimError as error:
            show_error(error)
    return found


def _slide_of(name: str) -> _Slide:
    if ":" in name:
        made = contender_of(name, run_store().get)
        preset = PRESETS.get(name.removeprefix("preset:").partition("@")[0])
        return _Slide(made, made.title, preset.about if preset else "", None)
    saved = get_snapshot(name)
    made = contender_of(f"snapshot:{name}", run_store().get)
    return _Slide(made, saved.title, saved.note, saved)


def _ready(model: str) -> str:
    """Return a deck that needs no snapshots: a model as it is, then its presets, mildest first."""
    return ",".join([f"model:{model}", *(f"preset:{name}@{model}" for name in PRESETS)])


def _slide(shown: _Slide) -> None:
    st.header(plain(shown.title), anchor=False)
    if shown.note:
        st.markdown(plain(shown.note))
    recipe = shown.made.recipe
    assert recipe is not None
    original = original_of(shown.made)
    asked = [one.asked() for one in (original, shown.made) if one is not None]
    with st.spinner("Looking at every sample"):
        first = original.recipe if original and original.recipe else recipe
        found = evaluator().ask("contest", first, contenders=asked, reference=0)
    entry = found["entries"][-1]
    if "figures" not in entry:
        st.markdown(entry["problem"])
        return
    changes = entry.get("changes") or {}
    with st.grid(3, min_column_width=240):
        _metric(found["metrics"][entry["metric"]]["title"], entry, changes, "quality")
        for name, title in _FIGURES.items():
            _metric(title, entry, changes, name)
    st.markdown(_steps(recipe))
    st.caption(f"Of {samples_words(entry['n'], entry['part'])}; ± is a 95 % interval.")
    omitted_note(entry["omitted"])


def _metric(title: str, entry: dict[str, Any], changes: dict[str, Any], name: str) -> None:
    figure = entry["figures"][name]
    change = (changes.get(name) or {}).get("change")
    with st.container(border=True, height="stretch"):
        st.metric(
            title,
            figure["text"] if figure else "not measured",
            Comparison.from_json(change).verdict() if change else None,
            delta_color=_COLORS[change["direction"]] if change else "off",
            delta_arrow="off",
        )
        st.badge(figure["how"] if figure else "not measured", color="gray")


def _steps(recipe: Recipe) -> str:
    words = []
    for entry in recipe.active:
        settings = settings_of(entry.step)
        words.append(f"{entry.step.title} ({settings})" if settings else entry.step.title)
    return plain(", then ".join(words) or "The model as it is.")


def _ways(deck: list[_Slide], place: int) -> None:
    def go(to: int) -> None:
        st.query_params[AT] = str(to)

    with st.container(horizontal=True, vertical_alignment="center", key="present_ways"):
        st.button(
            "Previous",
            icon=":material/arrow_back:",
            disabled=place == 1,
            on_click=go,
            args=(place - 1,),
        )
        st.button(
            "Next",
            icon=":material/arrow_forward:",
            disabled=place == len(deck),
            on_click=go,
            args=(place + 1,),
        )
        st.caption(f"{place} of {len(deck)} · arrow keys", width="content")
        st.space("stretch")
        if not access.is_presentation():
            _own(deck[place - 1])
        st.page_link(_LAB, label="Leave", icon=":material/close:")


def _own(shown: _Slide) -> None:
    """Draw what only who presents may do."""
    with st.popover("Link", icon=":material/link:"):
        st.caption("To look at only, with nothing to upload or train.")
        base = (st.context.url or "").split("?")[0]
        deck = st.query_params.get(DECK, "")
        st.code(f"{base}?{DECK}={deck}&{access.PRESENTATION}=1", language=None, wrap_lines=True)
        saved = shown.snapshot
        if saved is not None and saved.owner == access.owner():
            st.button(
                "Delete this snapshot", icon=":material/delete:", on_click=_remove, args=(saved,)
            )


def _remove(shown: Snapshot) -> None:
    if not forget_snapshot(shown.id):
        return
    left = [i for i in st.query_params.get(DECK, "").split(",") if i != shown.id]
    if left:
        st.query_params[DECK] = ",".join(left)
    else:
        st.query_params.pop(DECK, None)


def _nothing() -> None:
    st.subheader("Present", anchor=False)
    with st.container(border=True, horizontal_alignment="center", key="present_empty"):
        st.markdown("**No snapshots yet**")
        st.caption(
            "In the Lab, open *Share* and press *Save snapshot*; each becomes one slide here, and "
            "the arrow keys step through them. Or begin with what is there."
        )
        with st.container(horizontal=True, horizontal_alignment="center"):
            st.button(
                "Show the presets",
                icon=":material/slideshow:",
                type="primary",
                on_click=_show_presets,
                help="The model as it is, then each preset: what it reaches and what it costs.",
            )
            st.page_link(_LAB, label="Open the Lab", icon=":material/tune:", width="content")


def _show_presets() -> None:
    st.query_params[DECK] = _ready(state.recipe().model)
