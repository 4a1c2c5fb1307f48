"""What is played for, changed by who leads: challenges are removed and added while people play."""

from __future__ import annotations

import re
from functools import partial

import streamlit as st

from optim.challenges.challenge import COUNTED, OF_DEVICE, Challenge
from optim.data.added import data_cards
from optim.devices.profile import catalogue
from optim.models.cards import model_cards
from optim.recipe import free_name
from optim.search.figures import FIGURES
from optim.search.goals import Limit
from optim.workshop.room import Room
from pages.components import state
from pages.components.errors import shown_errors
from pages.components.runs.actions import noticed
from pages.components.runs.words import plain
from pages.components.workshop.me import rooms

__all__ = ["edit_challenges", "name_for"]

_TYPED = {
    "points": ("points", 1.0, 2.0),
    "bytes": ("kB", 1e3, 50.0),
    "macs": ("million MACs", 1e6, 2.0),
    "params": ("thousand parameters", 1e3, 50.0),
    "ms": ("ms", 1.0, 10.0),
    "j": ("mJ", 1e-3, 1.0),
}
"""``{unit of a figure: (unit it is typed in, how many of the former, what stands first)}``."""


def edit_challenges(here: Room) -> None:
    """Draw the challenges of a room to be removed, and the form of a new one."""
    with st.expander("Change what is played for", icon=":material/flag:"), shown_errors():
        for challenge in here.challenges:
            what, act = st.columns([6, 1], vertical_alignment="center")
            what.markdown(f"**{plain(challenge.title)}**  \n{challenge.rule}")
            act.button(
                "Remove",
                icon=":material/delete:",
                key=f"workshop_remove_{challenge.name}",
                on_click=noticed,
                args=(partial(_remove, here, challenge.name),),
                disabled=len(here.challenges) == 1,
                help="What was entered for it is no longer ranked; the runs stay.",
            )
        _new(here)


def _new(here: Room) -> None:
    st.markdown("**A new one**")
    title = st.text_input("Title", max_chars=120, key="workshop_new_title")
    first, second = st.columns(2)
    objective = first.selectbox(
        "What wins",
        COUNTED,
        format_func=lambda name: f"lowest {FIGURES[name].title.lower()}",
        help="Only figures that come out the same whenever they are measured.",
        key="workshop_new_objective",
    )
    kept = second.multiselect(
        "Within limits of",
        [name for name in COUNTED if name != objective],
        format_func=lambda name: FIGURES[name].title,
        key="workshop_new_limits",
    )
    limits = {}
    for name in kept:
        unit, scale, usual = _TYPED[FIGURES[name].unit]
        limits[name] = scale * st.number_input(
            f"{FIGURES[name].title} at most, {unit}",
            min_value=0.0,
            value=usual,
            key=f"workshop_new_{name}",
            help=FIGURES[name].about,
        )
    devices = {name: profile.title for name, profile in catalogue().items()}
    device = ""
    if OF_DEVICE.intersection((objective, *kept)):
        device = st.selectbox(
            "On", list(devices), format_func=devices.__getitem__, key="workshop_new_device"
        )
    recipe = state.recipe()
    model = model_cards().get(recipe.model)
    data = data_cards().get(recipe.data.partition("?")[0])
    is_shared = model is not None and data is not None and not (model.owner or data.owner)
    if model is not None and data is not None and is_shared:
        about = f"{plain(model.title)}, and its data, {plain(data.title)}"
        st.caption(f"It is about the model of the sidebar, {about}.")
    else:
        st.caption(
            "Choose a model and data that ship in the sidebar: others cannot open an upload."
        )

    def add() -> None:
        found = Challenge(
            name_for(title, [one.name for one in here.challenges]),
            title.strip(),
            recipe.model,
            recipe.data,
            objective,
            tuple(Limit(name, most) for name, most in limits.items()),
            device,
        )
        rooms().set_challenges(here.code, [*here.challenges, found])
        st.session_state["workshop_new_title"] = ""

    st.button(
        "Add",
        icon=":material/add:",
        type="primary",
        on_click=noticed,
        args=(add,),
        disabled=not is_shared,
        key="workshop_add",
    )


def _remove(here: Room, name: str) -> None:
    left = [challenge for challenge in here.challenges if challenge.name != name]
    rooms().set_challenges(here.code, left)


def name_for(title: str, taken: list[str]) -> str:
    """Return a name for a challenge that no other one has.

    Example:
        >>> name_for("Within 50 kB!", ["within-50-kb"])
        'within-50-kb-2'
    """
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:36].strip("-")
    return free_name(words or "challenge", taken)
