"""The check on a few hundred samples, what would do better, and the way to the Lab.

No accuracy is shown before somebody confirmed how the data are read. Alternatives are measured on
the same samples, which are never those of test, and none is taken without a click.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from optim.data.added import options_of
from optim.errors import OptimError
from optim.hashing import digest, digest_bytes
from optim.intake import Upload, take_data, take_model, vary_data
from optim.pairs import confirm_pair
from optim.presets import default_recipe
from pages.components import access, state
from pages.components.bring.brought import Brought, checked
from pages.components.errors import show_error, shown_errors
from pages.components.runs.words import plain

__all__ = ["confirm_step"]

_LAB = "pages/lab/lab.py"
_AGAIN = "as suggested"
"""Asks for a check of the pair as it will be once a suggestion was followed."""


def confirm_step(model: Brought | None, data: Brought | None) -> None:
    """Draw the button, and after it the check; a pair that passes is shown in the Lab.

    Args:
        model: Open.
        data: As they are read.
    """
    if access.is_presentation():
        return
    ready = model is not None and data is not None
    options = data.look["options"] if data is not None else {}
    key = digest(model.key, model.architecture, data.key, options) if model and data else ""
    st.button(
        "Confirm and check",
        type="primary",
        key="bring_confirm",
        disabled=not ready,
        on_click=lambda: state.asked_check(key),
        help="Measures a few hundred samples, read as shown above.",
    )
    if model is None or data is None or state.asked_check() not in (key, _AGAIN):
        return
    state.asked_check(key)
    with shown_errors():
        check = checked(model, data, options)
        if check["is_near_chance"] or check["suggestions"]:
            _doubts(model, data, check)
        else:
            _open(model, data, check)


def _doubts(model: Brought, data: Brought, check: dict[str, Any]) -> None:
    """Say what was measured, and what would do better."""
    with st.container(border=True, key="bring_doubts"):
        accuracy = check["accuracy"]
        where = "samples" if check["part"] == "all" else f"{check['part']} samples"
        near = ": hardly better than guessing" if check["is_near_chance"] else ""
        st.markdown(
            f"**Accuracy {accuracy['text']}**, measured on {accuracy['n']:,} {where}{near}."
        )
        if check["suggestions"]:
            st.markdown("The model does better on the same samples if they are read otherwise:")
        for i, suggestion in enumerate(check["suggestions"]):
            _suggestion(i, suggestion, data)
        if check["remarks"]:
            st.markdown("What to check:")
            st.markdown("\n".join(f"- {plain(remark)}" for remark in check["remarks"]))
        if st.button("Keep as it is and open the Lab", key="bring_anyway"):
            _open(model, data, check)


def _suggestion(index: int, suggestion: dict[str, Any], data: Brought) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(plain(suggestion["sentence"]), width="stretch")
        if suggestion["options"] and data.look["can_be_varied"]:
            st.button(
                "Use this",
                key=f"bring_use_{index}",
                on_click=_use,
                args=(suggestion["options"],),
                help="Reads the data so, and measures again.",
            )


def _use(options: dict[str, Any]) -> None:
    state.say(**options)
    state.asked_check(_AGAIN)


def _open(model: Brought, data: Brought, check: dict[str, Any]) -> None:
    """Add what was brought, remember that it was confirmed, and go to the Lab."""
    files = [b.source for b in (model, data) if isinstance(b.source, Upload)]
    try:
        access.check_upload(*(len(file.content) for file in files))
        with st.spinner("Adding both…"):
            data_name = _data_name(data)
            model_name = _model_name(model, data_name)
    except OptimError as error:
        show_error(error)
        return
    confirm_pair(model_name, data_name, check)
    state.asked_check("")
    if isinstance(model.source, Upload):
        state.commit(replace(default_recipe(model_name), data=data_name))
    else:
        state.commit(state.with_model(state.recipe(), model_name, data_name))
    st.switch_page(_LAB)


def _data_name(data: Brought) -> str:
    """Return the name of the data as they are read, adding them if they have none yet."""
    options, owner = data.look["options"], access.owner()
    if isinstance(data.source, Upload):
        file = data.source
        name = take_data(
            file.content, file.filename, title=data.title, options=options, owner=owner
        )
        _note("data", file)
        return name
    if not data.look["can_be_varied"] or options == options_of(data.source):
        return data.source
    access.check_upload(0)  # another copy, read otherwise
    return vary_data(data.source, options, owner=owner)


def _model_name(model: Brought, data: str) -> str:
    if isinstance(model.source, str):
        return model.source
    file = model.source
    name = take_model(
        file.content,
        file.filename,
        data=data,
        architecture=model.architecture,
        title=model.title,
        owner=access.owner(),
    )
    _note("model", file)
    return name


def _note(kind: str, file: Upload) -> None:
    access.note("uploaded", digest_bytes(file.content), kind=kind, bytes=len(file.content))
