"""Who teaches whom and how: the compressed model, or a fresh network of another shape.

The compressed model is trained as a run of its recipe; its student is then found by the Lab and by
this page. A fresh network is trained twice from the same weights, by labels alone and by its
teacher, so that what the teacher brings stands beside what training brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.alternatives.alternative import Alternative
from optim.data.added import data_cards
from optim.errors import ConfigError
from optim.fields import Choice, Config, Method, Range, controls
from optim.models.architecture import Architecture
from optim.models.cards import ModelCard, model_cards
from optim.models.zoo import ZOO
from optim.recipe import Recipe
from optim.recovery import distilled
from optim.techniques.distill import ORIGINAL, Distill
from optim.techniques.finetune import FineTune
from pages.components import access, state
from pages.components.alternatives.chooser import seeds_slider, start_comparison
from pages.components.fields import field_widget
from pages.components.runs.actions import train_recipe

__all__ = ["TOPIC", "is_fresh", "lesson", "teachers_for"]

TOPIC = "distillation"
"""Topic of the comparisons that are started here."""
_STUDENTS = {"compressed": "Compressed model", "fresh": "Fresh network"}
_STUDENT = "lesson_student"
_FIRST = ("alpha", "epochs")
"""Fields of every lesson; the temperature is the one that is looked at above."""


def is_fresh() -> bool:
    """Whether a fresh network is the student."""
    return st.session_state.get(_STUDENT) == "fresh"


def lesson(recipe: Recipe, temperature: float) -> None:
    """Draw the choice of student, teacher and transfer, and the button.

    Args:
        recipe: The recipe shown.
        temperature: The one that is looked at.

    Raises:
        ConfigError: If the model of the recipe is not here.
    """
    card = model_cards().get(recipe.model)
    if card is None:
        raise ConfigError(
            f"There is no model {recipe.model!r} on this machine.",
            hint="Choose another one on the left.",
        )
    st.segmented_control(
        "Student",
        list(_STUDENTS),
        format_func=_STUDENTS.__getitem__,
        default="compressed",
        required=True,
        key=_STUDENT,
        help="What is taught: the model as the Lab compresses it, or a network of the zoo from "
        "fresh weights, in the size you choose.",
    )
    fresh = is_fresh()
    present = next((e.step for e in recipe.entries if isinstance(e.step, Distill)), Distill())
    fields: dict[str, Any] = {"transfer": _transfer(present)}
    if present.replace(**fields).transfer.has_teacher:
        fields["teacher"] = _teachers(present, card, fresh)
    for control in controls(Distill):
        if control.name in _FIRST:
            value = getattr(present, control.name)
            fields[control.name] = field_widget(control, value, f"lesson_{control.name}")
    wanted = present.replace(**fields, temperature=temperature)
    st.caption(f"The temperature is {temperature:g}, as above.")
    if fresh:
        _fresh_student(recipe, card, wanted)
    else:
        _compressed_student(recipe, wanted)


def teachers_for(card: ModelCard) -> list[ModelCard]:
    """Return the models that can teach a student of a model's data, that model first.

    They take the same inputs and tell the same number of classes apart.
    """
    models, data = model_cards(), data_cards()

    def interface(other: ModelCard) -> tuple[Any, ...] | None:
        found = data.get(other.data.partition("?")[0])
        return None if found is None else (found.input_shape, found.n_classes)

    wanted = interface(card)
    others = [
        other
        for name, other in access.visible(models).items()
        if name != card.name and interface(other) == wanted
    ]
    return [card, *(others if wanted else [])]


def _teachers(present: Distill, card: ModelCard, fresh: bool) -> tuple[str, ...]:
    """Draw the choice of teachers; a fresh network's are all named, because it is no original."""
    found = teachers_for(card)
    names = [card.name if fresh else ORIGINAL, *(other.name for other in found[1:])]
    titles = dict(zip(names, (other.title for other in found), strict=True))
    chosen = [name for name in present.teacher if name in titles] or names[:1]
    (control,) = [c for c in controls(Distill) if c.name == "teacher"]
    picked = st.multiselect(
        control.kind.label,
        names,
        default=chosen,
        format_func=lambda name: titles[name],
        key=f"lesson_teacher_{card.name}_{fresh}",
        max_selections=8,
        help="One, or several whose answers are averaged. Only models that take the same inputs "
        "and tell the same number of classes are offered.",
    )
    return tuple(picked or names[:1])


def _transfer(present: Distill) -> dict[str, Any]:
    """Draw the choice of a transfer method and its fields; return it as a recipe writes it."""
    (kind,) = [c.kind for c in controls(Distill) if c.name == "transfer"]
    assert isinstance(kind, Method)
    names = list(kind.family)
    name = st.selectbox(
        kind.label,
        names,
        index=names.index(kind.name_of(present.transfer)),
        format_func=lambda n: kind.family[n].title,
        key="lesson_transfer",
        help=kind.help,
    )
    same = kind.name_of(present.transfer) == name
    start: Config = present.transfer if same else kind.family[name]()
    return {name: _fields(start, f"lesson_{name}")}


def _fields(config: Config, key: str) -> dict[str, Any]:
    """Draw a widget for each field that has an effect; return their values."""
    found: dict[str, Any] = {}
    for control in controls(type(config)):
        values = {**config.model_dump(), **found}
        shown = isinstance(control.kind, Range | Choice) and not control.kind.expert
        if shown and all(values[n] in allowed for n, allowed in control.kind.when.items()):
            value = getattr(config, control.name)
            found[control.name] = field_widget(control, value, f"{key}_{control.name}")
    return found


def _compressed_student(recipe: Recipe, wanted: Distill) -> None:
    if access.is_presentation():
        return
    st.button(
        "Train the student",
        type="primary",
        icon=":material/model_training:",
        on_click=_train_compressed,
        args=(recipe, wanted),
        disabled=wanted.is_neutral,
        help="Trains in the background; you may close the tab. Distillation becomes part of the "
        "recipe."
        if not wanted.is_neutral
        else "Choose at least one epoch.",
    )


def _train_compressed(recipe: Recipe, wanted: Distill) -> None:
    trained = distilled(recipe, wanted)
    state.commit(trained)
    train_recipe(trained, f"Distil {model_cards()[recipe.model].title}")


def _fresh_student(recipe: Recipe, card: ModelCard, wanted: Distill) -> None:
    architecture = _architecture(card)
    seeds = seeds_slider(TOPIC)
    both = [
        Alternative("Labels alone", architecture, _alone(wanted)),
        Alternative("With its teacher", architecture, wanted),
    ]
    if access.is_presentation():
        return
    st.button(
        f"Train {2 * seeds} networks",
        type="primary",
        icon=":material/model_training:",
        on_click=start_comparison,
        args=(TOPIC, f"Distil {card.title} into {architecture.title}", card, both, seeds),
        disabled=wanted.is_neutral,
        help="Half of them by labels alone, from the same weights; you may close the tab.",
    )


def _alone(wanted: Distill) -> FineTune:
    """Return training on labels with the very settings of a distillation."""
    shared: Mapping[str, Any] = wanted.model_dump(include=set(FineTune.model_fields))
    return FineTune(**shared)


def _architecture(card: ModelCard) -> Architecture:
    """Draw the choice of a network that takes the model's inputs, and its fields."""
    data = data_cards().get(card.data.partition("?")[0])
    size = len(data.input_shape) if data else None
    names = [name for name, a in ZOO.items() if size is None or len(a.spec.shape) == size]
    name = st.selectbox(
        "Network", names, format_func=lambda n: _named(n), key=f"lesson_network_{size}"
    )
    architecture = ZOO[name]
    return architecture.replace(**_fields(architecture, f"lesson_{name}"))


def _named(name: str) -> str:
    return f"{ZOO[name].title} · {name}"
