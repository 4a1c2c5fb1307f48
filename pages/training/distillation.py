"""Distillation: what a student could learn from its teacher, and what it did learn."""

from __future__ import annotations

import base64

import streamlit as st

from pages.components import charts, state
from pages.components.alternatives.results import results
from pages.components.bring.unconfirmed import confirmed_recipe
from pages.components.distillation.answers import headline, outcome_picker, temperature_slider
from pages.components.distillation.lesson import TOPIC, is_fresh, lesson
from pages.components.errors import shown_errors
from pages.components.runs.followed import show_followed
from pages.components.server import evaluator

with shown_errors():
    recipe = confirmed_recipe("Distillation")
    with st.spinner("Asking teacher and student about every sample"):
        found = evaluator().ask("imitation", recipe)
    headline(recipe, found)
    left, right = st.columns([1, 2])
    with left, st.container(border=True, key="imitated_sample"):
        index = outcome_picker(found["outcomes"])
        temperature = temperature_slider(recipe)
        info = evaluator().ask("sample", recipe, index=index, temperature=temperature)
        if info["picture"]:
            st.image(
                base64.b64decode(info["picture"]),
                width=160,
                caption=f"True class: {info['target']}",
                alt=f"Sample of class {info['target']}",
            )
        elif info["values"]:
            st.plotly_chart(
                charts.series(info["values"]), key="sample", config={"displayModeBar": False}
            )
    with right, st.container(border=True):
        st.markdown(f"**What each finds likely** at temperature {temperature:g}")
        st.plotly_chart(charts.softened(info), key="softened", config={"displayModeBar": False})
        st.caption(
            f"The true class is {info['target']}. The teacher chooses {info['teacher']['choice']} "
            f"and leaves {100 * info['teacher']['beside']:.0f} % to other classes: that is what a "
            "label does not say and a student can learn."
        )
    below, beside = st.columns([1, 2])
    with below, st.container(border=True), shown_errors():
        st.markdown("**Train a student**")
        lesson(recipe, temperature)
    with beside, shown_errors():
        if is_fresh():
            results(TOPIC)
        elif state.followed():
            show_followed(recipe)
        else:
            with st.container(border=True, horizontal_alignment="center"):
                st.markdown("**No student in training**")
                st.caption(
                    "Choose what the student learns from, and press *Train the student*. When it "
                    "is done, what stands above is about the trained one."
                )
