"""What was brought, and the looks at it: files are opened in a process of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from optim.data.open import generated_by
from optim.hashing import digest
from optim.intake import Upload, check_pair, look_at_data, look_at_model
from pages.components import state

__all__ = ["Brought", "checked", "of_file", "of_name", "seen_data", "seen_model"]

_UNJUDGED: dict[str, Any] = {
    "part": "all",
    "accuracy": None,
    "is_near_chance": False,
    "suggestions": [],
    "remarks": [],
}
"""A check where nobody says what is right."""


@dataclass(frozen=True)
class Brought:
    """A model or data: a file from a browser, or something registered.

    Attributes:
        source: The file, or the registered name.
        key: Tells it from everything else that a session brings.
        title: Name for a reader.
        architecture: Of a model whose file does not say it; may be empty.
        look: What was seen of it.
    """

    source: Upload | str = field(repr=False)
    key: str
    title: str
    architecture: str = ""
    look: dict[str, Any] = field(default_factory=dict, repr=False)


def of_file(file: UploadedFile) -> Brought:
    """Return what somebody uploaded; the same file sent again is another one."""
    return Brought(Upload(file.getvalue(), file.name), file.file_id, file.name)


def of_name(name: str, title: str) -> Brought:
    """Return what is registered under a name."""
    return Brought(name, name, title)


def seen_model(model: Brought) -> dict[str, Any]:
    """Return what a model is; see :mod:`optim.first_look.model`.

    Raises:
        OptimError: If it cannot be opened.
    """

    def look() -> dict[str, Any]:
        with st.spinner("Opening the model in a process of its own…"):
            return look_at_model(model.source, architecture=model.architecture)

    return state.looked(digest("model", model.key, model.architecture), look)


def seen_data(
    data: Brought, expected: dict[str, Any] | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return samples of data, and how they would be read; see :mod:`optim.first_look.data`.

    Raises:
        OptimError: If they cannot be read so.
    """

    def look() -> dict[str, Any]:
        with st.spinner("Reading samples in a process of their own…"):
            return look_at_data(data.source, expected=expected, options=options)

    return state.looked(digest("data", data.key, expected, options), look)


def checked(model: Brought, data: Brought, options: dict[str, Any]) -> dict[str, Any]:
    """Return how a model does on a few hundred samples; see :mod:`optim.first_look.pair`.

    Inputs that are made for the model are right in any case.

    Raises:
        OptimError: If they do not fit.
    """
    if isinstance(data.source, str) and generated_by(data.source):
        return {**_UNJUDGED}

    def look() -> dict[str, Any]:
        with st.spinner("Measuring a few hundred samples, and what would do better…"):
            return check_pair(
                model.source, data.source, architecture=model.architecture, options=options
            )

    return state.looked(digest("pair", model.key, model.architecture, data.key, options), look)
