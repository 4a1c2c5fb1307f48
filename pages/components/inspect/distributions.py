"""Weights and inputs of one layer, before and after, and on the grid they are rounded to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.quantity import format_value
from optim.recipe import Recipe
from pages.components.inspect import charts
from pages.components.inspect.looking import kept_values, looked_into

__all__ = ["distributions"]

_PLOT = {"displayModeBar": False}
_SHARED = {
    "per_tensor": "one scale for all",
    "per_channel": "one scale a channel",
    "per_group": "one scale a group",
}


def distributions(recipe: Recipe) -> None:
    """Draw the values of a layer that is chosen."""
    looked_into(recipe, "layers")
    found = kept_values(recipe)
    if found is None:
        return
    layer = st.selectbox(
        "Layer", list(found["layers"]), key="distribution_layer", persist_state="session", width=320
    )
    one = found["layers"].get(layer)
    if one is None:  # chosen for another model
        layer, one = next(iter(found["layers"].items()))
    with st.grid(2, min_column_width=340):
        _values("weights", "Weights", one["weights"], "Weight, batch norm folded in")
        _grid("weights", "Weights on their grid", one["weights_grid"])
        if one["inputs"]:
            _values("inputs", "Inputs of the layer", one["inputs"], "Value before rounding")
            _grid("inputs", "Inputs on their grid", one["inputs_grid"])
    if not one["inputs"]:
        st.caption("What this layer is given cannot be read.")
    st.caption(
        f"Inputs are a sample of what runs through on {found['n']:,} samples. Counts are on a "
        "logarithmic axis."
    )


def _values(key: str, title: str, info: Mapping[str, Any], axis: str) -> None:
    with st.container(border=True):
        st.markdown(f"**{title}**")
        st.plotly_chart(charts.histogram(info, axis), key=f"histogram_{key}", config=_PLOT)
        was, now = sum(info["before"] or ()), sum(info["after"])
        if info["before"] is None:
            st.caption(f"{now:,} values. The original has no layer of this name.")
        else:
            st.caption(f"{was:,} values in the original, {now:,} now.")


def _grid(key: str, title: str, info: Mapping[str, Any] | None) -> None:
    with st.container(border=True):
        st.markdown(f"**{title}**")
        if info is None:
            st.caption("In floating point: there is no grid. Quantize in the Lab to see one.")
            return
        st.plotly_chart(charts.on_grid(info), key=f"grid_{key}", config=_PLOT)
        st.caption(_about(info))


def _about(info: Mapping[str, Any]) -> str:
    levels = info["qmax"] - info["qmin"] + 1
    clipped = ""
    if info["clipped"]:
        clipped = f" {format_value(info['clipped']['value'], 'fraction')} are clipped."
    which = "step" if info["granularity"] == "per_tensor" else "median step"
    return (
        "Red: the ends of the grid. "
        f"{info['bits']} bits, {_SHARED[info['granularity']]}, {which} {info['step']:.3g}; "
        f"{info['used']:,} of {levels:,} levels are used.{clipped}"
    )
