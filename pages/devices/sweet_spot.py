"""Sweet spot: runtime, threads and samples at once, measured here, and the best under a limit."""

from __future__ import annotations

import streamlit as st

from pages.components import state
from pages.components.devices.sweet_spot import (
    fusion_and_layout,
    heat_map,
    limit,
    measured,
    runtimes,
)
from pages.components.errors import shown_errors

with shown_errors():
    recipe = state.recipe()
    state.write_link()
    st.subheader("Sweet spot", anchor=False)
    st.caption(
        "More samples at once and more threads raise throughput until latency is too high. Every "
        "setting is measured on this machine, runtimes in turns."
    )
    grid = measured(recipe)
    if grid is not None and grid.cells:
        limit_ms = limit(grid)
        heat_map(grid, limit_ms)
        runtimes(grid, limit_ms)
        fusion_and_layout(grid)
    elif grid is not None:
        runtimes(grid, 0.0)
