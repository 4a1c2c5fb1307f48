"""Sliders over the networks of a supernet: what any of them reaches and costs, at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.quantity import format_value
from optim.search.figures import FIGURES
from pages.components.networks import charts
from pages.components.networks.shown import Shared
from pages.components.search.shown import axis_title

__all__ = ["sliders"]

_PLOT = {"displayModeBar": False}


@st.fragment
def sliders(found: Mapping[str, Any]) -> None:
    """Draw a slider for every field, and what the network that they say reaches.

    Args:
        found: What a search has; its supernet is there.
    """
    learned, shared = found["supernet"], Shared(found)
    st.markdown("**Every network of the supernet**, without training it")
    left, right = st.columns([1, 2])
    with left:
        values = {d["name"]: _control(d) for d in shared.dimensions}
        row = shared.at(values)
        limits = found["goals"]["limits"]
        costs = [c for c in found["goals"]["objectives"][1:] if c in learned["columns"]]
        if row is None:
            st.caption("This network was not looked at: time went to others.")
        else:
            _told(shared, row, costs, limits)
    with right:
        cost = costs[0]
        st.plotly_chart(
            charts.shared_front(
                shared.points(cost, values),
                limits.get(cost),
                {"x": axis_title(cost), "y": "Error with shared weights, %"},
            ),
            key="networks_shared_chart",
            config=_PLOT,
        )
        each = format_value(learned["each_s"], "s")
        st.caption(
            f"{len(shared.rows):,} networks, {each} each, after {learned['epochs']} epochs of one "
            "training. With shared weights a network reaches less than when it is trained on its "
            "own; what counts is the order, and the meter above tells whether it can be trusted."
        )


def _control(dimension: Mapping[str, Any]) -> Any:
    values = dimension["values"]
    key = f"networks_slider_{dimension['name']}_{len(values)}"
    if len(values) == 1:
        st.caption(f"{dimension['label']}: {values[0]}")
        return values[0]
    middle = values[len(values) // 2]
    if dimension["is_ordered"]:
        return st.select_slider(dimension["label"], values, middle, key=key)
    return st.segmented_control(
        dimension["label"], values, default=values[0], required=True, key=key
    )


def _told(
    shared: Shared, row: Mapping[str, Any], costs: list[str], limits: Mapping[str, float]
) -> None:
    error = shared.error(row)
    with st.grid(2, min_column_width=110):
        with st.container(border=True, gap="xxsmall", height="stretch"):
            st.metric(f"Error :gray-badge[{error.how}]", str(error))
            st.caption(f"{error.n:,} validation samples")
        for name in costs:
            cost = shared.cost(row, name)
            if cost is None:
                continue
            with st.container(border=True, gap="xxsmall", height="stretch"):
                st.metric(f"{FIGURES[name].title} :gray-badge[{cost.how}]", str(cost))
                most = limits.get(name)
                if most is not None:
                    kept = "kept" if cost.value <= most else "missed"
                    st.caption(f"{format_value(most, cost.unit)} allowed: {kept}")
