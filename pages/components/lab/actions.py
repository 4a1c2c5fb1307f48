"""What the live panel's events do to the recipe."""

from __future__ import annotations

from typing import Any

from optim.errors import ConfigError, OptimError
from optim.order import OrderError
from optim.presets import PRESETS, default_recipe, preset_recipe
from pages.components import state

__all__ = ["commit_steps", "run_command"]


def commit_steps(steps: list[dict[str, Any]]) -> None:
    """Take the steps of a released slider into the recipe; refuse what is illegal.

    A step that cannot stand where it was put goes to where it can.
    """
    try:
        try:
            state.commit(state.with_steps(state.recipe(), steps))
        except OrderError as error:
            state.commit(state.with_steps(state.recipe(), steps, reorder=True))
            state.notice(OrderError(error.message, hint="The steps were put in order."))
    except OptimError as error:
        state.notice(error)


def run_command(name: str, value: Any) -> None:
    """Do what a button of the panel asks for."""
    present = state.recipe()
    if name == "undo":
        state.undo()
    elif name == "redo":
        state.redo()
    elif name == "order":
        state.commit(present.in_order())
    elif name == "reset":
        state.commit(default_recipe(present.model))
    elif name == "preset" and str(value) in PRESETS:
        state.commit(preset_recipe(str(value), present.model, present.data, present.seed))
    else:
        # A tab from before the server was updated may know other buttons.
        state.notice(
            ConfigError(
                f"There is no {name} {value!r} here.", hint="Reload the page in the browser."
            )
        )
