"""The step that takes data and shows them as the model will see them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from optim.data.added import DataCard, data_cards
from optim.data.generated import GENERATED, Generated
from optim.data.open import generated_by
from optim.errors import OptimError
from optim.intake import ENDINGS
from pages.components import access, state
from pages.components.bring.brought import Brought, of_file, of_name, seen_data
from pages.components.bring.reading import reading_form
from pages.components.bring.samples import samples
from pages.components.errors import show_error, shown_errors
from pages.components.runs.words import plain

__all__ = ["data_as_read", "data_step"]

_UPLOAD, _HERE, _NONE = "Upload data", "Data that are here", "No data"
_MADE: dict[str, Any] = {"options": {}, "can_be_varied": False}
"""Stands for a look at inputs that are made once the model is here."""
_UNREAD: dict[str, Any] = {
    "options": {},
    "reasons": {},
    "input_shape": [],
    "parts": {},
    "classes": [],
    "input": {},
    "has_axes": True,
}
"""Stands for a look at data that could not be read in any way yet."""


def data_step(model: Brought | None) -> Brought | None:
    """Draw the step; return the data once they can be read.

    Args:
        model: What they are read for; without it, the step waits.
    """
    with st.container(border=True, key="bring_data"):
        st.markdown("**2 · Data**")
        if model is None:
            st.caption("Bring the model first: how data are read depends on what it wants.")
            return None
        found: Brought | None = None
        data = _chosen()
        if data is not None:
            with shown_errors():
                found = data_as_read(data, model.look["expected"])
        return found


def data_as_read(
    data: Brought, expected: dict[str, Any] | None, start: dict[str, Any] | None = None
) -> Brought | None:
    """Draw samples and how they are read; return the data if the model can take them.

    Args:
        data: The data.
        expected: What the model says about its input.
        start: Options that hold if nothing was said yet.

    Raises:
        OptimError: If the data cannot be read in any way.
    """
    if isinstance(data.source, str) and generated_by(data.source):
        st.caption(
            f"{Generated.about} Nobody knows what is right for them: results are compared with the "
            "original model, and no accuracy is shown."
        )
        return replace(data, look=_MADE)
    told = state.said(data.key, start)
    look, problem = _read(data, expected, told)
    if problem is not None:
        show_error(problem)
    else:
        samples(look)
        _notes(look)
    if look.get("can_be_varied", True):
        st.markdown("**How they are read**")
        reading_form(look, told)
    else:
        st.caption("Built-in data are read in one way.")
    if problem is None and not look["fits"]:
        shapes = (look["input_shape"], look["input"]["shape"])
        own, wanted = (" x ".join(str(side or "any") for side in shape) for shape in shapes)
        st.error(
            f"The samples have the shape {own}, and the model takes {wanted}.",
            icon=":material/error:",
        )
    return replace(data, look=look) if problem is None and look["fits"] else None


def _read(
    data: Brought, expected: dict[str, Any] | None, told: dict[str, Any]
) -> tuple[dict[str, Any], OptimError | None]:
    """Look at data as was said; where that cannot be done, as they are, with the reason."""
    try:
        return seen_data(data, expected, told), None
    except OptimError as error:
        problem = error
    try:
        return seen_data(data, expected, {}), problem
    except OptimError:
        return _UNREAD, problem


def _chosen() -> Brought | None:
    where = st.segmented_control(
        "Where the data are",
        [_UPLOAD, _HERE, _NONE],
        default=_UPLOAD,
        required=True,
        key="bring_where",
        label_visibility="collapsed",
    )
    if where == _UPLOAD:
        file = st.file_uploader(
            "Pictures, arrays or a table",
            type=[ending.removeprefix(".") for ending in ENDINGS["data"]],
            key="bring_data_file",
            help="A zip with one folder of images a class (cat/1.png, dog/1.png); arrays x and y "
            "in an .npz; a table with a column of classes; IDX or CIFAR files in a zip or tar.",
        )
        return None if file is None else of_file(file)
    if where == _NONE:
        return of_name(GENERATED, Generated.title)
    cards = {n: c for n, c in access.visible(data_cards()).items() if n != GENERATED}
    name = st.selectbox(
        "Data",
        list(cards),
        index=None,
        placeholder="Choose data",
        key="bring_data_here",
        format_func=lambda name: _title(cards[name]),
    )
    return None if name is None else of_name(name, cards[name].title)


def _title(card: DataCard) -> str:
    shape = " x ".join(map(str, card.input_shape))
    classes = f"{card.n_classes} classes" if card.n_classes else "no labels"
    return f"{card.title} ({shape}, {classes})"


def _notes(look: dict[str, Any]) -> None:
    if look["notes"]:
        st.caption(" ".join(plain(note) for note in look["notes"]))
