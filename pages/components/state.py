"""What a session remembers. Every key is a function here; models and tensors never are.

The truth of the Lab is one :class:`~optim.recipe.Recipe`. It is kept with its history for undo, and
written into the address of the page, so that a copied link shows the same numbers elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from optim.errors import OptimError
from optim.presets import applicable, default_recipe
from optim.recipe import Recipe

__all__ = [
    "LINK",
    "RUN",
    "History",
    "asked_check",
    "commit",
    "cores",
    "deleted",
    "follow",
    "followed",
    "has_notice",
    "heard",
    "history",
    "latency_setting",
    "look_again",
    "looked",
    "notice",
    "recipe",
    "redo",
    "said",
    "say",
    "searched_data",
    "section_is_open",
    "start_again",
    "undo",
    "with_model",
    "with_seed",
    "with_steps",
    "write_link",
]

LINK = "r"
"""Query parameter that holds the recipe."""
RUN = "run"
"""Query parameter of the Lab that holds the id of the run it follows."""
_DEPTH = 100
_LOOKS = 24
"""Answers about files that are kept; each is some ten kilobytes."""


@dataclass(frozen=True)
class History:
    """Recipes of a session.

    Attributes:
        past: Older recipes, newest last.
        present: The recipe shown.
        future: Undone recipes, nearest first.
    """

    past: tuple[Recipe, ...]
    present: Recipe
    future: tuple[Recipe, ...] = ()

    def committed(self, new: Recipe) -> History:
        """Return a history in which ``new`` is shown; the same recipe twice is one entry."""
        if new == self.present:
            return self
        return History((*self.past, self.present)[-_DEPTH:], new)

    def undone(self) -> History:
        """Return the history one step back."""
        if not self.past:
            return self
        return History(self.past[:-1], self.past[-1], (self.present, *self.future))

    def redone(self) -> History:
        """Return the history one step forward."""
        if not self.future:
            return self
        return History((*self.past, self.present), self.future[0], self.future[1:])


def history() -> History:
    """Return the session's history; it starts with the link's recipe, or with a preset."""
    if "history" not in st.session_state:
        st.session_state["history"] = History((), _from_link() or default_recipe())
    found: History = st.session_state["history"]
    return found


def recipe() -> Recipe:
    """Return the recipe shown."""
    return history().present


def commit(new: Recipe) -> None:
    """Show another recipe and remember the present one."""
    _set(history().committed(new))


def start_again() -> None:
    """Show what a new session shows; recipes of before, and the run that was followed, are gone."""
    _set(History((), default_recipe()))
    follow("")
    deleted(())


def undo() -> None:
    """Go one recipe back."""
    _set(history().undone())


def redo() -> None:
    """Go one recipe forward."""
    _set(history().redone())


def write_link() -> None:
    """Put the present recipe, and the run that is followed, into the address of the page."""
    for name, value in ((LINK, recipe().to_link()), (RUN, followed())):
        if value and st.query_params.get(name) != value:
            st.query_params[name] = value
        elif not value and name in st.query_params:
            del st.query_params[name]


def notice(error: OptimError | None = None) -> OptimError | None:
    """Keep an error to be shown at the next run, or take the one that was kept."""
    if error is not None:
        st.session_state["notice"] = error
        return None
    found: OptimError | None = st.session_state.pop("notice", None)
    return found


def has_notice() -> bool:
    """Return whether an error waits to be shown."""
    return "notice" in st.session_state


def follow(run_id: str) -> None:
    """Let the Lab follow a run; an empty id follows none."""
    st.session_state["followed"] = run_id


def followed() -> str:
    """Return the id of the run the Lab follows: the session's, or the link's; may be empty."""
    if "followed" not in st.session_state:
        st.session_state["followed"] = st.query_params.get(RUN, "")
    found: str = st.session_state["followed"]
    return found


def deleted(run_ids: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Remember which runs were deleted last, so that it can be undone; or return them."""
    if run_ids is not None:
        st.session_state["deleted"] = run_ids
    found: tuple[str, ...] = st.session_state.get("deleted", ())
    return found


def _set(new: History) -> None:
    st.session_state["history"] = new


def _from_link() -> Recipe | None:
    text: Any = st.query_params.get(LINK)
    if not text:
        return None
    try:
        return Recipe.from_link(text)
    except OptimError as error:
        notice(error)
        return None


def heard(message: str | None = None) -> str:
    """Remember the id of the panel's last message, or return it.

    The panel keeps what a hand is just moving: an answer to an older message must not move it back.
    """
    if message is not None:
        st.session_state["heard"] = message
    found: str = st.session_state.get("heard", "")
    return found


def with_steps(present: Recipe, steps: list[dict[str, Any]], *, reorder: bool = False) -> Recipe:
    """Return a recipe with the steps a panel sent, checked, or put in order where they are not."""
    return Recipe.from_json({**present.to_json(), "steps": steps}, reorder=reorder)


def with_model(present: Recipe, model: str, data: str) -> Recipe:
    """Return a recipe for another model; what was set for single layers of the old one is lost.

    Steps that cannot change a model of its kind are off.
    """
    entries = tuple(
        replace(entry, step=entry.step.replace(layers={}))
        if "layers" in type(entry.step).model_fields
        else entry
        for entry in present.entries
    )
    return applicable(replace(present, model=model, data=data, entries=entries))


def with_seed(present: Recipe, seed: int) -> Recipe:
    """Return a recipe with another seed."""
    return replace(present, seed=seed)


def cores() -> int:
    """Return the number of cores of this machine."""
    return os.cpu_count() or 1


def latency_setting() -> dict[str, int]:
    """Return batch size and threads of the latency figure."""
    return {
        "batch_size": int(st.session_state.get("latency_batch", 1)),
        "threads": int(st.session_state.get("latency_threads", 1)),
    }


def searched_data(chosen: str | None = None) -> str:
    """Remember for which data architectures are searched, or return it.

    They are those of the recipe shown, until others are chosen; and again as soon as it changes.
    """
    present = recipe().data
    if chosen is not None:
        st.session_state["searched_data"] = (present, chosen)
    beside, found = st.session_state.get("searched_data", ("", ""))
    return str(found) if beside == present else present


def section_is_open() -> bool:
    """Return whether a section below the first screen is shown."""
    return st.session_state.get("more_section") is not None


def looked(key: str, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a look at a file gave, looking once; a refusal is remembered like an answer.

    Args:
        key: Names file and question.
        look: Asks it.

    Raises:
        OptimError: What the look raised.
    """
    kept: dict[str, Any] = st.session_state.setdefault("looks", {})
    if key not in kept:
        try:
            kept[key] = look()
        except OptimError as error:
            kept[key] = error
        while len(kept) > _LOOKS:
            del kept[next(iter(kept))]
    found = kept[key]
    if isinstance(found, OptimError):
        raise found
    return dict(found)


def look_again(key: str) -> None:
    """Forget what a look gave: what it led to may be gone when it is asked for again."""
    st.session_state.get("looks", {}).pop(key, None)


def said(source: str, start: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what was said about how data are read: of one source at a time.

    Args:
        source: Names the data; what was said about others is forgotten.
        start: What holds if nothing was said about these yet.
    """
    if st.session_state.get("said_about") != source:
        st.session_state["said_about"] = source
        st.session_state["said"] = dict(start or {})
    found: dict[str, Any] = st.session_state["said"]
    return found


def say(**options: Any) -> None:
    """Say how the data shown are read; None lets it be guessed again."""
    told = {**st.session_state.get("said", {}), **options}
    st.session_state["said"] = {name: value for name, value in told.items() if value is not None}


def asked_check(key: str | None = None) -> str:
    """Remember which pair of model and data somebody wants checked, or return it."""
    if key is not None:
        st.session_state["asked_check"] = key
    found: str = st.session_state.get("asked_check", "")
    return found
