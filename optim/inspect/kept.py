"""Where looks into a recipe's model are kept until model, data or recipe change."""

from __future__ import annotations

from typing import Any, Literal

from optim.aside import Shelf
from optim.recipe import Recipe

__all__ = ["SAMPLES", "SHELF", "Look", "kept_look", "key_of"]

SHELF = Shelf("inspections", 2)

Look = Literal["layers", "distributions", "corruption"]
"""What is looked at; distributions come of the look at the layers, and are kept apart from it."""

SAMPLES: dict[Look, int] = {"layers": 256, "distributions": 256, "corruption": 1000}
"""Samples that are looked at, unless asked otherwise."""


def key_of(recipe: Recipe, look: Look, samples: int) -> str:
    """Return under which name a look is kept; everything in the recipe matters."""
    steps = recipe.to_json()["steps"]
    return SHELF.key(recipe.model, recipe.data, recipe.split, recipe.seed, steps, look, samples)


def kept_look(key: str) -> dict[str, Any] | None:
    """Return what is known so far; None if nothing is."""
    return SHELF.kept(key) or None
