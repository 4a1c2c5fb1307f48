"""What was brought, and the looks at it: files are opened in a process of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from optim.hashing import digest
from optim.intake import Upload, look_at_data, look_at_model, take_pair
from pages.components import access, state

__all__ = ["Brought", "of_file", "of_name", "seen_data", "seen_model", "taken"]


@dataclass(frozen=True)
class Brought:
    """A model or data: a file from a browser, or something registered.

    Attributes:
        source: The file, or the registered name.
        key: Tells it from everything else that a session brings.
        title: Name for a reader.
        architecture: Of a model whose file does not say it; may be empty.
        task: What the outputs of a model mean, where somebody said it.
        look: What was seen of it.
    """

    source: Upload | str = field(repr=False)
    key: str
    title: str
    architecture: str = ""
    task: str = ""
    look: dict[str, Any] = field(default_factory=dict, repr=False)


def of_file(file: UploadedFile) -> Brought:
    """Return what somebody uploaded; the same file sent again is another one."""
    return Brought(Upload(file.getvalue(), file.name, file.name), file.file_id, file.name)


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
            return look_at_model(model.source, architecture=model.architecture, task=model.task)

    return state.looked(digest("model", model.key, model.architecture, model.task), look)


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


def taken(
    model: Brought, data: Brought, options: dict[str, Any], *, anyway: bool = False
) -> dict[str, Any]:
    """Return how a model does on a few hundred samples, and the names under which both were added.

    See :func:`optim.intake.take_pair`. What was doubted is not measured again at every run.

    Args:
        model: Open.
        data: As they are read.
        options: By which they are read.
        anyway: Whether both are added whatever a check found.

    Raises:
        OptimError: If they do not fit, or no more may be added.
    """

    def look() -> dict[str, Any]:
        with st.spinner("Measuring a few hundred samples, and adding both if they are right…"):
            return take_pair(
                model.source,
                data.source,
                architecture=model.architecture,
                task=model.task,
                options=options if data.look["can_be_varied"] else {},
                owner=access.owner(),
                anyway=anyway,
            )

    if anyway:
        return look()
    key = digest("pair", model.key, model.architecture, model.task, data.key, options)
    found = state.looked(key, look)
    if found["model"]:
        state.look_again(key)
    return found
