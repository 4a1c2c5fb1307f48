"""What is compared: the baseline, the fields that are changed, epochs and seeds."""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.alternatives.alternative import Alternative
from optim.alternatives.topics import Offer, Topic, baseline, offers, varied
from optim.data.added import DataCard, data_cards
from optim.errors import ConfigError, OptimError
from optim.hashing import digest
from optim.models.cards import ModelCard, model_cards
from optim.models.zoo import architecture_from_json
from pages.components import access, state
from pages.components.fields import field_widget
from pages.components.server import run_store, wake_engine

__all__ = ["KIND", "chooser", "seeds_slider", "start_comparison"]

KIND = "alternatives"
"""Kind of the runs that are started here."""
_EPOCHS = (1, 2, 3, 5, 8, 12, 20, 40)
_SEEDS = (2, 3, 4, 5)
_FIRST = 3
"""How many of the offers are chosen at first."""


def chooser(topic: Topic, name: str) -> None:
    """Draw the choice and the button.

    Args:
        topic: What is offered.
        name: Of the topic; part of the widgets' keys and of the run.

    Raises:
        ConfigError: If the model or the data of the picker are not here, or tell no classes.
    """
    card, data = _card(), _data_card()
    base = baseline(architecture_from_json(card.architecture), epochs=_number(f"{name}_epochs", 5))
    found = {offer.name: offer for offer in offers(topic, base, data)}
    st.markdown(f"**Baseline** · {base.architecture.title}, from fresh weights")
    chosen = st.multiselect(
        "Change",
        list(found),
        default=list(found)[:_FIRST],
        format_func=lambda field: found[field].control.kind.label,
        key=f"{name}_change_{card.name}_{len(data.input_shape)}",
        help="Each is an alternative of its own: the baseline with this one thing changed.",
    )
    others = []
    for field in chosen:
        if (other := _alternative(topic, name, base, found[field], card)) is not None:
            others.append(other)
    left, right = st.columns(2)
    with left:
        st.select_slider("Epochs", _EPOCHS, 5, key=f"{name}_epochs", help="Of every training.")
    with right:
        seeds = seeds_slider(name)
    count = seeds * (1 + len(others))
    if access.is_presentation():
        return
    st.button(
        f"Train {count} networks" if others else "Train",
        type="primary",
        icon=":material/model_training:",
        disabled=not others,
        on_click=start_comparison,
        args=(name, f"{topic.title}: {card.title}", card, [base, *others], seeds),
        help="Trains in the background; you may close the tab."
        if others
        else "Choose something to change first.",
        key=f"{name}_start",
    )


def seeds_slider(name: str) -> int:
    """Draw the number of seeds of a topic and return it."""
    seeds: int = st.select_slider(
        "Seeds",
        _SEEDS,
        3,
        key=f"{name}_seeds",
        help="Every alternative is trained once a seed; intervals are over seeds.",
    )
    return seeds


def start_comparison(
    name: str, title: str, card: ModelCard, alternatives: list[Alternative], seeds: int
) -> None:
    """Start the run of a topic's comparison on the data that are shown."""
    spec: dict[str, Any] = {
        "topic": name,
        "model": card.name,
        "data": state.recipe().data,
        "seeds": list(range(seeds)),
        "alternatives": [alternative.to_json() for alternative in alternatives],
    }
    try:
        access.check_run()
        run = run_store().submit(KIND, spec, title=title, owner=access.owner())
        access.note("ran", digest(spec), run=run.id)
        wake_engine()
    except OptimError as error:
        state.notice(error)


def _card() -> ModelCard:
    wanted = state.recipe().model
    card = model_cards().get(wanted)
    if card is None:
        raise ConfigError(
            f"There is no model {wanted!r} on this machine.", hint="Choose another one on the left."
        )
    if not card.architecture:
        raise ConfigError(
            f"{card.title} came as an ONNX file: its architecture has no fields to vary.",
            hint="Choose a model of the zoo on the left; the Lab can still compress this one.",
        )
    return card


def _data_card() -> DataCard:
    wanted = state.recipe().data
    card = data_cards().get(wanted.partition("?")[0])
    if card is None:
        raise ConfigError(
            f"There are no data {wanted!r} on this machine.", hint="Choose others on the left."
        )
    return card


def _alternative(
    topic: Topic, name: str, base: Alternative, offer: Offer, card: ModelCard
) -> Alternative | None:
    """Draw the value of one change; None where it is what the baseline has."""
    value = field_widget(offer.control, offer.suggested, f"{name}_{offer.name}_{card.name}")
    if value == offer.baseline:
        st.caption("That is the baseline; it is left out.")
        return None
    return varied(topic, base, offer, value)


def _number(key: str, default: int) -> int:
    return int(st.session_state.get(key, default))
