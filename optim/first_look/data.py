"""Samples of data, and how they would be read for a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from optim.data.added import data_cards, open_registered_data
from optim.data.dataset import Dataset
from optim.data.open import open_data
from optim.data.options import DataOptions
from optim.data.preview import Expected, open_as_guessed, preview
from optim.data.source import READ_AS

__all__ = ["look_at_data", "open_as_said"]


def look_at_data(
    data: Path | str, *, expected: dict[str, Any] | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return samples of data, and how they would be read for a model.

    Args:
        data: A file, or the name of registered data.
        expected: What :func:`look_at_model` said about the model's input; None if there is none.
        options: Fields of :class:`optim.data.DataOptions` that somebody said; others are guessed.

    Returns:
        What :func:`optim.data.preview.preview` returns, and ``input`` (how values reach the
        model), ``fits`` (whether samples have the shape it takes), ``has_axes`` (whether the axes
        of stored arrays can be said) and ``can_be_varied`` (built-in data cannot).

    Raises:
        ConfigError: If an option does not exist or has an illegal value.
        DataError: If the data cannot be used.
    """
    said = DataOptions(**options)
    model = Expected.from_json(expected) if expected else None
    if model is None or not _can_be_varied(data):
        dataset, guess = open_as_said(data, said), None
    else:
        dataset, guess = open_as_guessed(lambda how: open_as_said(data, how), model, said)
    found = preview(dataset, guess=guess, model=model)
    wanted = model.with_normalisation(dataset.normalisation) if model else None
    return {
        **found,
        "options": found["options"] if guess else said.changed(),
        "input": wanted.to_json() if wanted else {},
        "fits": wanted is None or wanted.takes(dataset.input_shape),
        "has_axes": "layout" in found["options"] or any(READ_AS in note for note in dataset.notes),
        "can_be_varied": _can_be_varied(data),
    }


def open_as_said(data: Path | str, options: DataOptions) -> Dataset:
    """Open a file, or registered data, as options say; built-in data have none."""
    if isinstance(data, Path):
        return open_data(data, options=options)
    card = data_cards().get(data)
    if card is None or not card.path:
        return open_registered_data(data)
    return replace(open_data(Path(card.path), options=options), ref=data, title=card.title)


def _can_be_varied(data: Path | str) -> bool:
    """Whether data can be read in other ways: files can, what is built in cannot."""
    return isinstance(data, Path) or bool(data in data_cards() and data_cards()[data].path)
