"""Look in a process of its own: ``python -m optim.inspect.child``.

Reads one line of JSON, ``{"key": ..., "recipe": ..., "look": ..., "samples": ...}``. Of corruptions
it keeps what is known after each of them.
"""

from __future__ import annotations

from typing import Any

import torch

from optim.aside import Check, Told, serve
from optim.inspect.kept import SHELF, key_of
from optim.inspect.layers import layers_of
from optim.inspect.pair import pair_of
from optim.inspect.robustness import under_corruption
from optim.processes import available_cores
from optim.recipe import Recipe
from optim.subject import open_subject

__all__ = ["main"]

_MOST_S = 1200


def main() -> None:
    """Look into the model of a recipe; only registered models and data are opened."""
    torch.set_num_threads(1)  # batches of samples are shared out instead
    serve(SHELF, _look, most_s=_MOST_S, late="The model was not looked through within 20 minutes.")


def _look(request: dict[str, Any], told: Told, check: Check) -> None:
    recipe, samples = Recipe.from_json(request["recipe"]), request["samples"]
    told(0.0, "opening model and data")
    subject = open_subject(recipe, registered_only=True)
    told(0.0, "applying the recipe")
    pair = pair_of(recipe, subject, check=check)
    if request["look"] == "corruption":
        looks = under_corruption(
            pair, samples=samples, workers=available_cores(), told=told, check=check
        )
        for known in looks:
            SHELF.keep(request["key"], {**known.to_json(), "omitted": list(pair.omitted)})
        return
    found = layers_of(pair, samples=samples, told=told, check=check)
    values = {layer: one.to_json() for layer, one in found.distributions.items()}
    SHELF.keep(key_of(recipe, "distributions", samples), {"layers": values, "n": found.n})
    SHELF.keep(request["key"], found.to_json(distributions=False))


if __name__ == "__main__":
    main()
