"""Detection: what the original and the compressed model find in the same scenes."""

from __future__ import annotations

import streamlit as st

from pages.components import charts
from pages.components.bring.unconfirmed import confirmed_recipe
from pages.components.detection.controls import offer_detector, scene_picker, score_slider
from pages.components.detection.figures import SIDES, count_table, in_words, tiles
from pages.components.errors import shown_errors
from pages.components.server import evaluator

with shown_errors():
    recipe = confirmed_recipe("Detection")
    with st.spinner("Opening model and data"):
        info = evaluator().ask("model", recipe)
    if info["metric"]["name"] != "map":
        offer_detector(info["name"])
        st.stop()
    score = score_slider()
    with st.spinner("Looking at every scene"):
        found = evaluator().ask("detections", recipe, score=score)
    tiles(found)
    index = scene_picker(found["scenes"])
    answer = evaluator().ask("scene", recipe, index=index, score=score)
    with st.grid(2, min_column_width=300):
        for name, title in SIDES.items():
            with st.container(border=True):
                st.markdown(f"**{title}**, {in_words(answer[name])}")
                st.plotly_chart(
                    charts.scene(answer, name),
                    key=f"scene_{name}",
                    config={"displayModeBar": False},
                )
    count_table(found["counts"], score)
