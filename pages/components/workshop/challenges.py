"""What is played for: what wins, the way to enter, one's own entries, and who leads."""

from __future__ import annotations

import time

import streamlit as st

from optim.challenges.challenge import Challenge
from optim.errors import ConfigError, OptimError
from optim.models.cards import model_cards
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.runs.run import ACTIVE, Run
from optim.search.figures import FIGURES
from optim.workshop.board import board, figures_of, is_for, misses_of
from optim.workshop.room import Entry, Participant, Room
from pages.components import access, state
from pages.components.errors import shown_errors
from pages.components.runs.words import STATES, age, doing, plain
from pages.components.server import wake_engine
from pages.components.workshop.me import rooms

__all__ = ["EVERY_S", "pick_challenge", "show_challenge"]

EVERY_S = 2.0
"""Seconds between two looks at what was measured."""
_LAB = "pages/lab/lab.py"
_MEDALS = {1: "orange", 2: "gray", 3: "violet"}
_MINE = 5


def pick_challenge(here: Room) -> Challenge:
    """Draw the choice of a challenge."""
    names = {challenge.name: challenge for challenge in here.challenges}
    chosen = st.segmented_control(
        "Challenge",
        list(names),
        format_func=lambda name: names[name].title,
        default=next(iter(names)),
        required=True,
        wrap=True,
        key="workshop_challenge",
        persist_state="session",
    )
    return names.get(str(chosen), here.challenges[0])


def show_challenge(here: Room, challenge: Challenge, who: Participant | None) -> None:
    """Draw a challenge: what wins, entering, own entries, and the board.

    Args:
        here: The room.
        challenge: One of its challenges.
        who: Who looks; None for who leads without taking part.
    """
    left, right = st.columns([2, 3])
    with left:
        with st.container(border=True, gap="small"):
            st.markdown(f"**{challenge.rule}**")
            model = model_cards().get(challenge.model)
            st.caption(
                f"The model is {model.title if model else challenge.model}. Quality is that of "
                "validation samples, measured when you enter."
            )
            if who is not None:
                _enter(here, challenge, who)
        if who is not None:
            _own(here, challenge, who)
    with right:
        _board(here, challenge, who)


def _enter(here: Room, challenge: Challenge, who: Participant) -> None:
    recipe = state.recipe()
    refused = _refusal(challenge, recipe)
    with st.container(horizontal=True):
        if st.button("Open in the Lab", icon=":material/tune:", key="workshop_lab"):
            state.commit(challenge.brought_in(recipe))
            st.switch_page(_LAB)
        if here.is_frozen:
            st.badge("frozen", icon=":material/lock:", color="gray")
            return
        st.button(
            "Enter what the Lab shows",
            type="primary",
            icon=":material/send:",
            disabled=bool(refused),
            on_click=_send,
            args=(challenge.name, who),
            key="workshop_enter",
        )
    steps = " · ".join(e.step.title for e in recipe.active)
    st.caption(plain(refused) or steps or "Set the sliders in the Lab, come back, and enter.")


def _refusal(challenge: Challenge, recipe: Recipe) -> str:
    """Say why a recipe cannot be entered; empty where it can."""
    try:
        challenge.check(recipe)
    except ConfigError as error:
        return str(error)
    return ""


def _send(challenge: str, who: Participant) -> None:
    try:
        access.check_run()
        rooms().enter(who, challenge, state.recipe(), access.owner())
        access.note("ran", kind="submission")
        wake_engine()
    except OptimError as error:
        state.notice(error)


def _own(here: Room, challenge: Challenge, who: Participant) -> None:
    """Draw one's own entries; again every few seconds while one is being measured."""
    quality = challenge.quality

    def read() -> list[tuple[Entry, Run]]:
        found = rooms().entries(here.code, who.key)
        return [pair for pair in found if is_for(pair[1], challenge)][:_MINE]

    fresh = read()
    is_active = any(run.state in ACTIVE for _, run in fresh)

    @st.fragment(run_every=EVERY_S if is_active else None)
    def shown() -> None:
        with shown_errors(), st.container(border=True, key="workshop_own", gap="small"):
            found = read()
            if is_active and not any(run.state in ACTIVE for _, run in found):
                st.rerun()
            st.markdown("**Your entries**")
            if not found:
                st.caption("None yet. The first one is the hardest.")
            for _, run in found:
                _entry(challenge, run, quality)

    shown()


def _entry(challenge: Challenge, run: Run, quality: str) -> None:
    look = STATES[run.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(look.title, color=look.color, icon=look.icon)
        place, waiting = rooms().place(run.id)
        if run.state in ACTIVE:
            where = f"place {place} of {waiting} in the queue" if place else doing(run)
            st.caption(where if not run.progress else f"{100 * run.progress:.0f} % · {doing(run)}")
        elif figures := figures_of(run):
            st.markdown(f"**{_score(challenge, figures, quality)}**", width="content")
            st.caption(age(time.time() - run.created_at))
        elif run.error:
            st.caption(plain(str(run.error.get("message", ""))))
    for sentence in misses_of(run, challenge) if figures_of(run) else ():
        st.markdown(f":small[:orange-badge[limit missed] {sentence}]")


def _score(challenge: Challenge, figures: dict[str, Quantity], quality: str) -> str:
    """Return what counts of an entry, for a reader."""
    parts = [_text(name, figures[name], quality) for name in challenge.figures if name in figures]
    return ", ".join(parts)


def _text(name: str, figure: Quantity, quality: str) -> str:
    if name == "error":
        low, high = (100 - end for end in (figure.high, figure.low))
        share = Quantity(
            (100 - figure.value) / 100, "fraction", low / 100, high / 100, figure.n, figure.how
        )
        return f"{quality} {share}"
    return f"{FIGURES[name].title.lower()} {figure}"


def _board(here: Room, challenge: Challenge, who: Participant | None) -> None:
    """Draw who leads, again every few seconds."""
    quality = challenge.quality

    @st.fragment(run_every=None if here.is_frozen else EVERY_S)
    def shown() -> None:
        with shown_errors(), st.container(border=True, key="workshop_board", gap="small"):
            people = rooms().participants(here.code)
            lines = board(challenge, people, rooms().entries(here.code))
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown("**Leaderboard**", width="content")
                st.badge("final" if here.is_frozen else "live", color="gray")
                st.space("stretch")
                st.caption(f"{len(people)} in the room", width="content")
            if not lines:
                st.caption("Nothing was measured yet. Whoever enters first leads.")
            for line in lines:
                name, score, count = st.columns([2.2, 4, 1], vertical_alignment="center")
                with name, st.container(horizontal=True, vertical_alignment="center"):
                    rank = str(line.rank) if line.rank else "–"
                    st.badge(rank, color=_MEDALS.get(line.rank or 0, "gray"))  # type: ignore[arg-type]
                    own = who is not None and line.entry.key == who.key
                    text = plain(line.nickname)
                    st.markdown(f"**{text}** (you)" if own else text)
                with score:
                    st.markdown(_score(challenge, dict(line.figures), quality))
                    if line.misses:
                        st.caption(" ".join(line.misses))
                with count:
                    st.caption(f"{line.entries} entered")

    shown()
