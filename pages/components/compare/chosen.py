"""Which models stand side by side: chosen on the page, and named by its address."""

from __future__ import annotations

import streamlit as st

from optim.data.added import data_cards
from optim.errors import OptimError
from optim.models.cards import model_cards
from optim.presets import PRESETS
from optim.runs.contenders import Contender, contender_of, original_of
from optim.runs.run import State
from optim.runs.snapshots import snapshots
from pages.components import access, state
from pages.components.errors import show_error
from pages.components.runs.listing import runs_seen
from pages.components.server import run_store

__all__ = ["MOST", "RUNS", "choose", "choose_reference", "with_originals"]

RUNS, REFERENCE = "runs", "reference"
"""Query parameters: what is compared, with commas between, and with which of them."""
MOST = 8
"""As many as stand side by side."""
_KEY, _REFERENCE_KEY = "compare_refs", "compare_reference"
_MOST_RUNS = 60


def choose() -> list[Contender]:
    """Draw the choice of models and return what is chosen; the address follows."""
    named = [ref for ref in st.query_params.get(RUNS, "").split(",") if ref]
    options = {ref: title for ref, title in _offered().items()}
    known: dict[str, Contender] = {}
    for ref in dict.fromkeys(named[:MOST]):
        try:
            known[ref] = contender_of(ref, run_store().get)
            options.setdefault(ref, known[ref].title)
        except OptimError as error:
            show_error(error)
    if len(named) > MOST:
        st.caption(f"The address names {len(named)} models; the first {MOST} are shown.")
    st.session_state[_KEY] = list(known)
    st.multiselect(
        "Models",
        list(options),
        format_func=lambda ref: options.get(ref, ref),
        key=_KEY,
        max_selections=MOST,
        placeholder="Choose runs, presets, snapshots or models",
        on_change=_name_chosen,
        help=f"Up to {MOST}. Finished runs, presets for the model of the Lab, saved snapshots, and "
        "models as they are.",
    )
    return list(known.values())


def choose_reference(contenders: list[Contender]) -> int:
    """Draw the choice of the reference and return its position."""
    refs = [one.ref for one in contenders]
    asked = st.query_params.get(REFERENCE, "")
    st.session_state[_REFERENCE_KEY] = asked if asked in refs else refs[0]
    titles = {one.ref: one.title for one in contenders}
    st.selectbox(
        "Reference",
        refs,
        format_func=lambda ref: titles[ref],
        key=_REFERENCE_KEY,
        on_change=_name_reference,
        help="What all others are compared with.",
        width=320,
    )
    return refs.index(st.session_state[_REFERENCE_KEY])


def with_originals(contenders: list[Contender]) -> list[str]:
    """Return the short names of what was chosen with the models it was made from in front."""
    originals = [found.ref for one in contenders if (found := original_of(one)) is not None]
    return list(dict.fromkeys([*originals, *(one.ref for one in contenders)]))[:MOST]


def _offered() -> dict[str, str]:
    """Return the models to choose from by their short names."""
    models, data = model_cards(), data_cards()
    present = state.recipe().model
    offered = {
        run.id: f"Run: {run.title} ({run.id[:4]})"
        for run in runs_seen(models, data, {State.FINISHED})[:_MOST_RUNS]
        if run.kind in ("recipe", "search")
    }
    offered |= {f"snapshot:{one.id}": f"Snapshot: {one.title}" for one in snapshots(access.owner())}
    if present in models:
        title = models[present].title
        offered |= {
            f"preset:{name}@{present}": f"Preset: {preset.title} · {title}"
            for name, preset in PRESETS.items()
        }
    offered |= {
        f"model:{name}": f"Model: {card.title} · {data[card.data].title}"
        for name, card in access.visible(models).items()
        if card.data in data
    }
    return offered


def _name_chosen() -> None:
    _name(RUNS, ",".join(st.session_state[_KEY]))


def _name_reference() -> None:
    _name(REFERENCE, st.session_state[_REFERENCE_KEY])


def _name(parameter: str, value: str) -> None:
    if value:
        st.query_params[parameter] = value
    else:
        st.query_params.pop(parameter, None)
