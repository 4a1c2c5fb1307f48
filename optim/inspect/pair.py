"""The original of a recipe and what its steps made of it, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from optim.data.dataset import Samples
from optim.models.bundle import ModelBundle
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.step import Applied
from optim.stored import kept_of
from optim.subject import Subject

__all__ = ["Pair", "pair_of"]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two models and the data both are looked at with.

    Attributes:
        subject: Model and data before any step; its samples are those that may select.
        original: The model that is compared with.
        result: The model that is looked at.
        omitted: Ids of training steps that were left out, because nothing is stored for them.
        kept: ``{layer: positions}`` of the original's channels that are left, where some are gone.
    """

    subject: Subject
    original: ModelBundle
    result: ModelBundle
    omitted: tuple[str, ...] = ()
    kept: Mapping[str, Tensor] = field(default_factory=dict)

    def samples(self, most: int) -> Samples:
        """Return so many samples, at most, in an order of which every prefix is fair."""
        samples = self.subject.samples()
        return samples.take(np.arange(min(most, len(samples))))


def pair_of(
    recipe: Recipe,
    subject: Subject,
    *,
    train: bool = False,
    told: Callable[[float, str], None] = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> Pair:
    """Apply a recipe to its model.

    Args:
        recipe: The steps.
        subject: The model and data they are applied to.
        train: Whether steps that train may do so; otherwise they are left out where no result of
            theirs is stored.
        told: Called with a share in 0..1 and what is being done.
        check: Called at safe points; raises to stop.

    Raises:
        OptimError: If a step cannot be applied.
    """
    omitted: tuple[str, ...] = ()
    if not train:
        keys = recipe.chain(subject.bundle.hash, subject.data.hash)
        omitted = kept_of(recipe, keys).missing
    for entry in omitted:
        recipe = recipe.with_enabled(entry, False)
    kept: dict[str, Tensor] = {}

    def seen(applied: Applied) -> None:
        for (layer, side), positions in applied.kept.items():
            if side == "out":
                kept[layer] = kept[layer][positions] if layer in kept else positions

    result, _ = apply_recipe(recipe, subject, progress=told, check=check, stored=True, seen=seen)
    return Pair(subject, subject.bundle, result, omitted, kept)
