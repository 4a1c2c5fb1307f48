"""What a model computes on x86 processors that add products of bytes in 16 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.recipe import Recipe
from pages.components.devices.trying import try_in_lab
from pages.components.server import evaluator

__all__ = ["sums"]


def sums(recipe: Recipe, *, is_ours: bool) -> None:
    """Draw what sums of 16 bits cost a model, and what weights of reduced range would.

    Args:
        recipe: What is done to the model.
        is_ours: Whether it is the model of the Lab, which can be changed there.
    """
    with st.spinner("Simulating sums of 16 bits"):
        found = evaluator().ask("saturation", recipe)
    with st.container(key="sums"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**This processor has no VNNI: 8-bit sums may saturate**", width="content")
            st.badge(
                "simulated",
                color="gray",
                help="Pairs of products are added in 16 bits in the order of ONNX Runtime's "
                "kernels; other runtimes may pair them differently. ONNX Runtime adds in 32 bits, "
                "more slowly, if session.x64quantprecision is set to 1.",
            )
        if not found["may_saturate"]:
            st.caption(" ".join(found["notes"]))
            return
        st.markdown(_answer(found))
        for note in found["notes"]:
            st.caption(note)
        if found["link"]:
            try_in_lab(found["link"], key="try_reduced", is_ours=is_ours)


def _answer(found: Mapping[str, Any]) -> str:
    metric = found["metric"]
    with_exact = f"{found['exact']['text']} with sums of 32 bits, " if found["exact"] else ""
    change = f" ({found['change']['text']})" if found["change"] else ""
    saturated = found["saturated"]["text"] if found["saturated"] else "no difference"
    agreement = found["agreement"]
    same = f"The same class is chosen for {agreement['text']}. " if agreement else ""
    text = (
        f"{metric} on {found['n']} samples: {with_exact}**{saturated}{change} on this processor**. "
        f"{same}Sums may saturate in {found['layers']} of {found['of']} layers."
    )
    if found["reduced"]:
        change = f" ({found['reduced_change']['text']})" if found["reduced_change"] else ""
        text += (
            f" With weights of reduced range, -64 to 63, none does: {found['reduced']['text']}"
            f"{change} on every processor."
        )
    return text
