"""Where the sensitivity of a model is kept until the model or the data change."""

from __future__ import annotations

from optim.aside import Shelf
from optim.recipe import Recipe
from optim.sensitivity.profile import Profile
from optim.sensitivity.trials import layers_field, techniques

__all__ = ["SHELF", "kept_profile", "key_of"]

SHELF = Shelf("sensitivities", 3)


def key_of(recipe: Recipe, samples: int) -> str:
    """Return under which name the profile of a recipe's model is kept.

    The recipe's steps do not matter; what techniques try does.
    """
    tried = {name: layers_field(cls) for name, cls in techniques().items()}
    return SHELF.key(recipe.model, recipe.data, recipe.split, recipe.seed, samples, repr(tried))


def kept_profile(key: str) -> Profile | None:
    """Return what is known so far; None if nothing is."""
    content = SHELF.kept(key)
    return Profile.from_json(content) if content else None
