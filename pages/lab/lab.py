"""The Lab: move the sliders, watch the numbers answer, download a verified file."""

from __future__ import annotations

import streamlit as st

from optim.pairs import needs_confirmation
from pages.components import access, state
from pages.components.bring.unconfirmed import ask_to_confirm, doubt
from pages.components.errors import shown_errors
from pages.components.lab.actions import commit_steps, run_command
from pages.components.lab.delivery import show_delivery
from pages.components.lab.header import header
from pages.components.lab.more import more
from pages.components.lab.words import batch_of, samples_of
from pages.components.live_panel import PanelEvents, live_panel
from pages.components.runs.followed import finished_run, show_followed
from pages.components.server import evaluator

with shown_errors():
    history = state.history()
    recipe = history.present
    state.write_link()
    with st.spinner("Opening model and data"):  # seconds, where nobody has asked for them yet
        info = evaluator().ask("model", recipe)
    access.note_opened(info["hash"])
    confirmed = not needs_confirmation(recipe.model, recipe.data)
    header(recipe, info, confirmed=confirmed)
    if not confirmed:
        ask_to_confirm()
        st.stop()
    doubt(recipe)
    show_delivery(recipe)
    show_followed(recipe)
    live_panel(
        recipe,
        PanelEvents(commit=commit_steps, command=run_command),
        can_undo=bool(history.past),
        can_redo=bool(history.future),
        metric=info["metric"],
        refused=info["refused"],
        samples=samples_of(info["part"], generated=info["generated"]),
        latency=state.latency_setting(),
        batch=batch_of(state.latency_setting()["batch_size"], info["batch"]),
        wants_settled=state.section_is_open(),
        trained=finished_run(),
    )
    more(recipe, info)
