"""Measure in a process of its own: nothing waits for it, and nothing else computes beside it.

``python -m optim.sweet_spot.child`` reads one line of JSON, ``{"recipe": ..., "runtimes": [...]}``,
says how far it is in the file of :mod:`optim.sweet_spot.kept`, and keeps what came out.
"""

from __future__ import annotations

import json
import sys
import time
from typing import IO

from optim.errors import MeasurementError, OptimError
from optim.processes import refusal
from optim.recipe import Recipe
from optim.sweet_spot.kept import keep_grid, key_of, tell_progress
from optim.sweet_spot.measuring import measure_recipe
from optim.whatif.engine import Engine

__all__ = ["main"]

_MOST_S = 600
"""Nobody else can measure for so long."""


def main(source: IO[str] = sys.stdin) -> None:
    """Measure what is asked for; only registered models and data are opened."""
    request = json.loads(source.readline())
    recipe = Recipe.from_json(request["recipe"])
    key = key_of(recipe)

    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > _MOST_S:
            raise MeasurementError(
                f"The model was not measured within {_MOST_S // 60} minutes.",
                hint="Choose fewer runtimes, or a smaller model.",
            )

    def told(share: float, what: str) -> None:
        tell_progress(key, share=share, what=what)

    try:
        engine = Engine(registered_only=True)
        wanted = request["runtimes"]
        keep_grid(key, measure_recipe(engine, recipe, wanted, told=told, check=check))
    except OptimError as error:
        tell_progress(key, refused=refusal(error))


if __name__ == "__main__":
    main()
