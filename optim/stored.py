"""Results of training steps, kept under the key of everything that led to them.

A step that trains is never run twice with the same model, data, seed and preceding steps: whoever
trained it stores the result here, and the Lab, the command line and other runs look it up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from optim.storage import ASSETS, store_home

if TYPE_CHECKING:
    from optim.models.bundle import ModelBundle
    from optim.recipe import Recipe

__all__ = [
    "Kept",
    "kept_of",
    "load_stored",
    "remove_stored",
    "store_result",
    "stored_file",
    "students_home",
]


@dataclass(frozen=True)
class Kept:
    """What is stored of a recipe's trainings.

    Attributes:
        missing: Ids of the training steps that nothing is stored for, nor for any after them.
        passed_over: Positions of active steps that cannot be applied and need not be: an earlier
            training is not stored any more, but a later one is.
    """

    missing: tuple[str, ...] = ()
    passed_over: frozenset[int] = frozenset()


def kept_of(recipe: Recipe, keys: Sequence[str]) -> Kept:
    """Return what is stored of a recipe's trainings.

    Args:
        recipe: The steps.
        keys: As :meth:`~optim.recipe.Recipe.chain` returns them.
    """
    active = recipe.active
    trains = [i for i, entry in enumerate(active) if entry.step.cost == "training"]
    stored = [i for i in trains if stored_file(keys[i + 1]) is not None]
    last = max(stored, default=-1)
    missing = tuple(active[i].id for i in trains if i > last)
    passed_over = (
        range(i, next(j for j in stored if j > i)) for i in trains if i < last and i not in stored
    )
    return Kept(missing, frozenset(i for each in passed_over for i in each))


def stored_file(key: str) -> Path | None:
    """Return the file of a stored result, shipped or made here; None if there is none."""
    for folder in (ASSETS / "students", students_home()):
        path = folder / f"{key}.safetensors"
        if path.is_file():
            return path
    return None


def load_stored(key: str, before: ModelBundle) -> ModelBundle | None:
    """Return a stored result as a successor of the model it came from; None if there is none.

    Raises:
        UnsupportedModelError: If the file is damaged.
    """
    from optim.models.checkpoint import load_checkpoint

    path = stored_file(key)
    if path is None:
        return None
    found = load_checkpoint(path)
    if path.parent == students_home():
        os.utime(path)  # what nobody uses for long may be removed
    return replace(before, content=found.content, table=found.table, provenance=found.provenance)


def store_result(key: str, bundle: ModelBundle) -> Path:
    """Keep the result of a training step.

    Raises:
        OSError: If it cannot be written; what was stored before is untouched.
        UnsupportedModelError: If the model was not built from an architecture of the zoo.
    """
    from optim.models.checkpoint import save_checkpoint

    return save_checkpoint(bundle, students_home() / f"{key}.safetensors")


def remove_stored(key: str) -> int:
    """Remove a result that was stored here; return its bytes, 0 if there was none."""
    path = students_home() / f"{key}.safetensors"
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size


def students_home() -> Path:
    """Return the folder of what was stored here; what ships lies elsewhere."""
    return store_home() / "students"
