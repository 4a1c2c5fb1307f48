"""Measure in a process of its own: nothing waits for it, and nothing else computes beside it.

``python -m optim.sweet_spot.child`` reads one line of JSON, ``{"key": ..., "recipe": ...,
"runtimes": [...]}``, and keeps what came out.
"""

from __future__ import annotations

from typing import Any

from optim.aside import Check, Told, serve
from optim.recipe import Recipe
from optim.sweet_spot.kept import SHELF
from optim.sweet_spot.measuring import measure_recipe
from optim.whatif.engine import Engine

__all__ = ["main"]

_MOST_S = 600


def main() -> None:
    """Measure what is asked for; only registered models and data are opened."""
    serve(SHELF, _measure, most_s=_MOST_S, late="The model was not measured within 10 minutes.")


def _measure(request: dict[str, Any], told: Told, check: Check) -> None:
    recipe = Recipe.from_json(request["recipe"])
    engine = Engine(registered_only=True)
    grid = measure_recipe(engine, recipe, request["runtimes"], told=told, check=check)
    SHELF.keep(request["key"], grid.to_json())


if __name__ == "__main__":
    main()
