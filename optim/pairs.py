"""Which model was confirmed with which data: somebody looked at how the data are read.

A model from a browser says little about the input it wants. Until somebody confirms the reading, an
accuracy measured on it may say nothing, and pages show none. What ships, and what an operator
added by the command line with its data, needs no confirmation.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from optim.data.added import data_cards, options_of
from optim.data.open import generated_by
from optim.hashing import digest
from optim.models.cards import model_cards
from optim.storage import store_home, write_atomic

__all__ = ["confirm_pair", "confirmed_check", "forget_pairs", "needs_confirmation"]


def confirm_pair(model: str, data: str, check: dict[str, Any]) -> None:
    """Remember that somebody confirmed how data are read for a model.

    Args:
        model: A registered model.
        data: Registered data.
        check: What :func:`optim.first_look.pair.check_pair` found.
    """
    write_atomic(_path(model, data), json.dumps({"model": model, "data": data, **check}).encode())


def confirmed_check(model: str, data: str) -> dict[str, Any] | None:
    """Return what the check found when the pair was confirmed; None if nobody confirmed it."""
    return _read(_path(model, data))


def needs_confirmation(model: str, data: str) -> bool:
    """Return whether somebody has to look at a pair before its accuracy is shown.

    Inputs that are made for the model are read as it takes them, and give no accuracy.
    """
    if generated_by(data):
        return False
    cards = (model_cards().get(model), data_cards().get(data))
    came_from_a_browser = any(card is not None and not card.listed for card in cards)
    return came_from_a_browser and confirmed_check(model, data) is None


def forget_pairs(names: Collection[str]) -> None:
    """Forget what was confirmed about models or data that are gone."""
    for path in _folder().glob("*.json"):
        found = _read(path) or {}
        if found.get("model") in names or found.get("data") in names:
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _path(model: str, data: str) -> Path:
    # Who reads the same files otherwise has to confirm that anew.
    return _folder() / f"{digest(model, data, options_of(data))}.json"


def _folder() -> Path:
    return store_home() / "pairs"
