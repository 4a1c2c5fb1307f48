"""One click that trains back what compression cost.

The training is a run of its own: the tab may be closed. What it trains is stored under the keys by
which the Lab looks results up, so that its recipe, shown here, is measured like any other.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.errors import CalibrationError, ConfigError, OptimError
from optim.recipe import Recipe
from optim.recovery import recovery
from pages.components.runs import actions

__all__ = ["recover_button", "recovery_of", "title_of"]

_HELP = (
    "Trains the compressed network in the background, with the original as its teacher, and then "
    "with the rounding in the loop. You may close the tab."
)


def recover_button(recipe: Recipe, info: dict[str, Any]) -> None:
    """Draw the button; where nothing can be recovered it is off and says why.

    Args:
        recipe: The recipe shown.
        info: The evaluator's answer to the question ``model``.
    """
    try:
        wanted = recovery_of(recipe, info)
    except OptimError as error:
        st.button(
            "Recover accuracy",
            icon=":material/model_training:",
            disabled=True,
            help=f"{error.message} {error.hint}".strip(),
        )
        return
    st.button(
        "Recover accuracy",
        icon=":material/model_training:",
        on_click=actions.train_recipe,
        args=(wanted, title_of(recipe, str(info["name"]))),
        help=_HELP,
    )


def recovery_of(recipe: Recipe, info: dict[str, Any]) -> Recipe:
    """Return what is trained to recover a recipe's accuracy.

    Raises:
        CalibrationError: If the data tell no classes or objects, or have no part to train on.
        ConfigError: If there is nothing to recover, or the model cannot be trained.
    """
    if "distill" in info["refused"]:
        raise ConfigError(info["refused"]["distill"])
    if info["metric"]["name"] not in ("accuracy", "map"):
        raise CalibrationError(
            "Training needs samples whose classes, or objects, somebody knows.",
            hint="Pruning, quantization and bias correction work without.",
        )
    if info["part"] == "all":
        raise CalibrationError(
            "These data have no training part.",
            hint="Add them with train and test, or let parts be drawn.",
        )
    return recovery(recipe)


def title_of(recipe: Recipe, model: str) -> str:
    """Return a title that tells this recovery from others of the same model."""
    words = []
    for entry in recipe.active:
        step: Any = entry.step
        if entry.name == "prune_channels":
            words.append(f"{100 * step.pruning_ratio:.0f} % fewer channels")
        elif entry.name == "prune_weights":
            words.append(f"{100 * step.sparsity:.0f} % zero weights")
        elif entry.name == "quantize":
            bits = step.weight_bits
            words.append(f"{bits}-bit weights" if isinstance(bits, int) else f"{bits} weights")
    return f"Recover {model}" + (f": {', '.join(words)}" if words else "")
