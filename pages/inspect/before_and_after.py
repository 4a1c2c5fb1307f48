"""Before and after: what compression changed in a model, and where it shows."""

from __future__ import annotations

import streamlit as st

from pages.components.bring.unconfirmed import confirmed_recipe
from pages.components.errors import shown_errors
from pages.components.inspect.corruption import corruption
from pages.components.inspect.distributions import distributions
from pages.components.inspect.layers import layers
from pages.components.inspect.overview import overview
from pages.components.inspect.samples import flipped_samples

# Only what is looked at is computed.
VIEWS = {
    "Overview": overview,
    "Layers": layers,
    "Distributions": distributions,
    "Samples": flipped_samples,
    "Corruption": corruption,
}

with shown_errors():
    recipe = confirmed_recipe("Before and after")
    st.caption("The original and what the recipe of the Lab makes of it, on the same samples.")
    view = st.segmented_control(
        "View",
        list(VIEWS),
        default="Overview",
        required=True,
        key="inspect_view",
        persist_state="session",
        label_visibility="collapsed",
    )
    VIEWS[view](recipe)
