"""What was measured, kept until the recipe, its model or its data change; it can be made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optim.hashing import digest
from optim.recipe import Recipe
from optim.storage import cache_home, card_stamp, checked_name, write_atomic
from optim.sweet_spot.grid import Grid

__all__ = ["keep_grid", "kept_grid", "key_of", "tell_progress", "told_progress"]

_VERSION = 1
"""Of the form; what was kept in another one is not found."""


def key_of(recipe: Recipe) -> str:
    """Return under which name the grid of a recipe is kept."""
    cards = (card_stamp("models", recipe.model), card_stamp("data", recipe.data))
    return digest(_VERSION, recipe.hash, cards)


def keep_grid(key: str, grid: Grid) -> None:
    """Keep what was measured."""
    write_atomic(_file(key), json.dumps(grid.to_json()).encode())


def kept_grid(key: str) -> Grid | None:
    """Return what was kept; None if nothing was."""
    content = _read(_file(key))
    return Grid.from_json(content) if content else None


def tell_progress(key: str, **content: Any) -> None:
    """Say how far a measurement is: ``share`` and ``what``, or why it failed, ``refused``."""
    write_atomic(_file(key, ".progress"), json.dumps(content).encode())


def told_progress(key: str) -> dict[str, Any]:
    """Return what was said last; nothing if nothing was."""
    return _read(_file(key, ".progress"))


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return content


def _file(key: str, part: str = "") -> Path:
    return cache_home() / "sweet-spots" / f"{checked_name(key)}{part}.json"
