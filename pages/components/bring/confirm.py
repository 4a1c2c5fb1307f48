"""The check on a few hundred samples, what would do better, and the way to the Lab.

No accuracy is shown before somebody confirmed how the data are read. Alternatives are measured on
the same samples, which are never those of test, and none is taken without a click.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from optim.data.added import options_of
from optim.hashing import digest, digest_bytes
from optim.intake import Upload
from optim.pairs import confirm_pair
from optim.presets import default_recipe
from pages.components import access, state
from pages.components.bring.brought import Brought, taken
from pages.components.errors import shown_errors
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
    key = (
        digest(model.key, model.architecture, model.task, data.key, options)
        if model and data
        else ""
    )
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
        access.check_upload(*_sizes(model, data))
        found = taken(model, data, options)
        if found["model"]:
            _open(model, data, found)
        else:
            _doubts(model, data, found["check"])


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
            found = taken(model, data, data.look["options"], anyway=True)
            _open(model, data, {**found, "check": check})


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


def _open(model: Brought, data: Brought, found: dict[str, Any]) -> None:
    """Remember that what was added was confirmed, and go to the Lab."""
    for kind, brought in (("data", data), ("model", model)):
        if isinstance(file := brought.source, Upload):
            content = file.content
            access.note("uploaded", digest_bytes(content), kind=kind, bytes=len(content))
    model_name, data_name = found["model"], found["data"]
    confirm_pair(model_name, data_name, found["check"])
    state.asked_check("")
    if isinstance(model.source, Upload):
        state.commit(replace(default_recipe(model_name), data=data_name))
    else:
        state.commit(state.with_model(state.recipe(), model_name, data_name))
    st.switch_page(_LAB)


def _sizes(model: Brought, data: Brought) -> list[int]:
    """Return the bytes of each file that would be added; none of data that are read otherwise."""
    sizes = [len(b.source.content) for b in (model, data) if isinstance(b.source, Upload)]
    is_varied = isinstance(data.source, str) and data.look["can_be_varied"]
    return [*sizes, 0] if is_varied and data.look["options"] != options_of(data.source) else sizes
