"""Where a grid is kept until the recipe, its model or its data change."""

from __future__ import annotations

from optim.aside import Shelf
from optim.recipe import Recipe
from optim.sweet_spot.grid import Grid

__all__ = ["SHELF", "kept_grid", "key_of"]

SHELF = Shelf("sweet-spots", 3)


def key_of(recipe: Recipe) -> str:
    """Return under which name the grid of a recipe is kept."""
    return SHELF.key(recipe.model, recipe.data, recipe.hash)


def kept_grid(key: str) -> Grid | None:
    """Return what was measured; None if nothing was."""
    content = SHELF.kept(key)
    return Grid.from_json(content) if content else None
