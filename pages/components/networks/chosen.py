"""One network of a search: its layers, training to the end, and the way to the Lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from optim.intake import take_model
from optim.models.cards import ModelCard, model_cards
from optim.pairs import confirm_pair, confirmed_check
from optim.recipe import Recipe
from optim.runs.run import Run, State
from optim.search.nas.asked import Asked
from optim.techniques.distill import Distill
from pages.components import access, state
from pages.components.networks import charts
from pages.components.networks.asking import start_search
from pages.components.networks.shown import training_text
from pages.components.runs import actions
from pages.components.search.shown import answer_of
from pages.components.server import run_store

__all__ = ["network"]

_LAB = "pages/lab/lab.py"
_PLOT = {"displayModeBar": False}
_LEAST_S = 120.0


def network(run: Run, found: Mapping[str, Any]) -> None:
    """Draw the network that is picked from those that were trained.

    Args:
        run: The search.
        found: What it has.
    """
    by_number = {row["number"]: row for row in found["candidates"] if row["layers"]}
    if not by_number:
        st.caption("The layers of a network appear here as soon as one was trained.")
        return
    answer, front = answer_of(found), set(found["front"])
    named = dict.fromkeys([*front, answer], "front")
    named[answer] = "closest" if found["chosen"] is None else "taken"
    order = sorted(by_number, key=lambda n: (n != answer, n not in front, n))
    number = st.selectbox(
        "Network",
        order,
        format_func=lambda n: _label(by_number[n], named.get(n, "")),
        key=f"networks_picked_{run.id}",
        label_visibility="collapsed",
    )
    row = by_number[number]
    st.caption(f"Number {number}, {training_text(row)}: {row['text']}.")
    st.plotly_chart(charts.layers(row["layers"]), key="networks_layers", config=_PLOT)
    st.caption("From input to output. In the bars: the shape of each weight.")
    if access.is_presentation():
        return
    with st.container(horizontal=True):
        asked = _to_the_end(run, row)
        if row["epochs"] < asked.epochs:
            st.button(
                "Train to the end",
                icon=":material/model_training:",
                on_click=start_search,
                args=(asked,),
                key="networks_train",
                help=f"Trains this network for {asked.epochs} epochs, as a search of its own.",
            )
        weights = _weights(run, found, number)
        wants_lab = st.button(
            "Open in the Lab",
            icon=":material/tune:",
            type="primary",
            disabled=not weights,
            key="networks_open",
            help="Its trained weights become a model of yours."
            if weights
            else "Once the search has ended, for the networks of its front.",
        )
        teacher = _teacher(run)
        wants_lesson = st.button(
            "Distil from my model",
            icon=":material/school:",
            disabled=not weights or teacher is None,
            key="networks_distil",
            help=f"It learns from {teacher.title} as well as from the labels, as a run of its own."
            if teacher
            else "Choose a model on the left that was trained for these data.",
        )
    if wants_lab or wants_lesson:
        with st.spinner("Adding it to your models…"):
            model = _add(run, weights, f"{found['space']['title']}, {row['title']}"[:80])
        recipe = Recipe(model, str(run.spec["data"]))
        if wants_lesson and teacher is not None:
            recipe = recipe.with_step(Distill(teacher=(teacher.name,)))
            actions.train_recipe(recipe, f"Distil: {row['title']}"[:80])
        state.commit(recipe)
        st.switch_page(_LAB)


def _label(row: Mapping[str, Any], where: str) -> str:
    return " · ".join(filter(None, [where, row["title"], training_text(row)]))


def _to_the_end(run: Run, row: Mapping[str, Any]) -> Asked:
    """Return the search that trains one network to the end: its space is that network."""
    asked = Asked.from_json({k: v for k, v in run.spec.items() if k != "base"})
    each = row["figures"]["training"]["value"] / max(1, row["epochs"])
    return replace(
        asked,
        only={name: (value,) for name, value in row["point"].items()},
        seconds=max(_LEAST_S, 3 * each * asked.epochs),
        screen="",
        study="",
    )


def _weights(run: Run, found: Mapping[str, Any], number: int) -> str:
    """Return the name of the file with the weights of a network; empty if there is none."""
    if run.state is not State.FINISHED:
        return ""
    store = run_store()
    kept = {file.name for file in store.artefacts(run.id) if store.has(file)}
    names = ["model.safetensors"] if number == answer_of(found) else []
    return next((n for n in (*names, f"front-{number}.safetensors") if n in kept), "")


def _teacher(run: Run) -> ModelCard | None:
    """Return the model on the left, if it can teach a network of the search's data."""
    card = model_cards().get(state.recipe().model)
    return card if card is not None and card.data == run.spec["data"] else None


def _add(run: Run, name: str, title: str) -> str:
    """Make weights that a run kept a model of the owner, and return its name."""
    store = run_store()
    file = next(file for file in store.artefacts(run.id) if file.name == name)
    content = store.read(file)
    access.check_upload(len(content))
    data = str(run.spec["data"])
    model = take_model(content, name, data=data, title=title, owner=access.owner())
    access.note("uploaded", file.hash, run=run.id)
    if confirmed_check(model, data) is None:
        # It was trained here on these data, read as they are read now.
        confirm_pair(model, data, {"is_near_chance": False, "suggestions": [], "remarks": []})
    return model
