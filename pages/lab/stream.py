"""Sensor stream: a series played through both models, against the moment the next answer is due."""

from __future__ import annotations

import streamlit as st

from pages.components import charts
from pages.components.bring.unconfirmed import confirmed_recipe
from pages.components.errors import shown_errors
from pages.components.server import evaluator
from pages.components.stream.budget import budgets, tiles
from pages.components.stream.controls import hears_series, offer_listener, settings

with shown_errors():
    recipe = confirmed_recipe("Sensor stream")
    with st.spinner("Opening model and data"):
        info = evaluator().ask("model", recipe)
    if not hears_series(recipe.model, info):
        offer_listener(info["name"])
        st.stop()
    chosen = settings(info["classes"], recipe.data)
    with st.spinner("Playing the series through both models"):
        played = evaluator().ask("stream", recipe, noise=chosen.noise)
    both = budgets(played, chosen)
    tiles(played, both, chosen)
    with st.container(border=True):
        st.markdown(f"**The series, window by window**; a triangle is an alarm: not {chosen.quiet}")
        st.plotly_chart(
            charts.played(played, chosen.quiet, chosen.frame_ms(played["length"])),
            key="played",
            config={"displayModeBar": False},
        )
    with st.grid(2, min_column_width=340):
        with st.container(border=True):
            st.markdown("**Time of each answer**, one window, one thread, ONNX Runtime, here")
            st.plotly_chart(
                charts.answer_times(played, both["original"].deadline.value),
                key="answer_times",
                config={"displayModeBar": False},
            )
        with st.container(border=True):
            st.markdown("**Accuracy under rising noise**, both on the same windows")
            curve = evaluator().ask("noise_curve", recipe)
            st.plotly_chart(
                charts.noise_curves(curve["points"], chosen.noise),
                key="noise_curves",
                config={"displayModeBar": False},
            )
