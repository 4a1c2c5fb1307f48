"""Home: what this is, where to go, a tour on the default model, and the latest runs."""

from __future__ import annotations

from pages.components.errors import shown_errors
from pages.components.home.doors import doors
from pages.components.home.latest import latest_runs
from pages.components.home.tour import tour

doors()
with shown_errors():
    tour()
with shown_errors():
    latest_runs()
