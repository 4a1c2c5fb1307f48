"""Measure in a process of its own: nothing waits for it, and nothing else computes beside it.

``python -m optim.sweet_spot.child`` reads one line of JSON, ``{"recipe": ..., "runtimes": [...]}``,
says how far it is in the file of :mod:`optim.sweet_spot.kept`, and keeps what came out.
"""

from __future__ import annotations

import json
import sys
from typing import IO

from optim.errors import OptimError
from optim.processes import refusal
from optim.recipe import Recipe
from optim.sweet_spot.kept import keep_grid, key_of, tell_progress
from optim.sweet_spot.measuring import measure_recipe
from optim.whatif.engine import Engine

__all__ = ["main"]


def main(source: IO[str] = sys.stdin) -> None:
    """Measure what is asked for; only registered models and data are opened."""
    request = json.loads(source.readline())
    recipe = Recipe.from_json(request["recipe"])
    key = key_of(recipe)

    def told(share: float, what: str) -> None:
        tell_progress(key, share=share, what=what)

    try:
        engine = Engine(registered_only=True)
        keep_grid(key, measure_recipe(engine, recipe, request["runtimes"], told=told))
    except OptimError as error:
        tell_progress(key, refused=refusal(error))


if __name__ == "__main__":
    main()
