"""One click that trains back what compression cost, and the card that says how far it is.

The training is a run of its own: the tab may be closed. What it trains is stored under the keys by
which the Lab looks results up, so that its recipe, shown here, is measured like any other.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.errors import CalibrationError, ConfigError, OptimError
from optim.recipe import Recipe
from optim.recovery import recovery
from optim.runs.run import ACTIVE, EpochRow, Run, State
from pages.components import state
from pages.components.runs import actions
from pages.components.runs.figures import accuracy_of, verdict_of
from pages.components.runs.polled import polled
from pages.components.runs.words import STATES, doing, left, plain
from pages.components.server import run_store, wake_engine

__all__ = ["finished_run", "recover_button", "recovery_of", "show_recovery", "title_of"]

RUN = "pages/runs/run.py"
"""Script of the page that shows all of a run."""
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
        on_click=_start,
        args=(wanted, title_of(recipe, str(info["name"]))),
        help=_HELP,
    )


def recovery_of(recipe: Recipe, info: dict[str, Any]) -> Recipe:
    """Return what is trained to recover a recipe's accuracy.

    Raises:
        CalibrationError: If the data have no part to train on.
        ConfigError: If there is nothing to recover.
    """
    if info["part"] == "all":
        raise CalibrationError(
            "These data have no training part.", hint="Use a folder or zip with train and test."
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


def _start(wanted: Recipe, title: str) -> None:
    """Submit the run, or follow the one that does or did the same."""
    try:
        store, spec = run_store(), {"recipe": wanted.to_json()}
        same = [
            run
            for run in store.runs(states=[*ACTIVE, State.PAUSED, State.FINISHED])
            if run.kind == "recipe" and run.spec == spec
        ]
        run = same[0] if same else store.submit("recipe", spec, title=title)
        state.follow(run.id)
        wake_engine()
    except OptimError as error:
        state.notice(error)


def finished_run() -> str:
    """Return the id of the followed run once it has finished; before that an empty text."""
    run = _followed()
    return run.id if run is not None and run.state is State.FINISHED else ""


def show_recovery(recipe: Recipe) -> None:
    """Draw the card of the run that is followed; nothing if none is."""
    run = _followed()
    if run is None:
        return
    with st.container(border=True, key="recovery_card", gap="xsmall"):
        polled(lambda: [run_store().get(run.id)], lambda runs: _card(runs[0], recipe))


def _followed() -> Run | None:
    """Return the followed run; a link may name one that is not here, which is then forgotten."""
    run_id = state.followed()
    if not run_id:
        return None
    try:
        return run_store().get(run_id)
    except ConfigError as error:
        state.follow("")
        state.notice(error)
        return None


def _card(run: Run, recipe: Recipe) -> None:
    look = STATES[run.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(look.title, color=look.color, icon=look.icon, help=look.about)
        st.markdown(f"**{plain(run.title)}**", width="content")
        st.space("stretch")
        _buttons(run, recipe)
    if run.state in ACTIVE:
        st.progress(min(1.0, run.progress), text=_so_far(run))
    elif run.state is State.FINISHED:
        figure = accuracy_of(run)
        reached = f" Accuracy {figure.after}." if figure else ""
        st.markdown(f"{verdict_of(run)}{reached}")
    elif run.error is not None:
        st.markdown(f"{run.error.get('message', '')} {run.error.get('hint', '')}".strip())
    else:
        st.caption(f"Stands at {100 * run.progress:.0f} %. {look.about}")


def _so_far(run: Run) -> str:
    epochs = run_store().epochs(run.id)
    words = [f"{100 * run.progress:.0f} %", doing(run), _newest_accuracy(epochs), left(run)]
    return " · ".join(filter(None, words))


def _newest_accuracy(epochs: list[EpochRow]) -> str:
    found = [row.figures["accuracy"] for row in epochs if "accuracy" in row.figures]
    return f"validation accuracy so far {100 * found[-1]:.1f} %" if found else ""


def _buttons(run: Run, recipe: Recipe) -> None:
    is_shown = run.spec.get("recipe") == recipe.to_json()
    # The card runs by itself; what changes the recipe, or ends the card, is seen by the whole page.
    if (
        run.state is State.FINISHED
        and not is_shown
        and st.button(
            "Show in the Lab",
            icon=":material/tune:",
            type="primary",
            on_click=_show,
            args=(run,),
            key="recovery_show",
        )
    ):
        st.rerun()
    if actions.can_resume(run):
        st.button(
            "Resume",
            icon=":material/play_arrow:",
            on_click=actions.resume,
            args=((run.id,),),
            key="recovery_resume",
        )
    if run.state in ACTIVE:
        st.button(
            "Cancel",
            icon=":material/stop:",
            on_click=actions.cancel,
            args=((run.id,),),
            key="recovery_cancel",
        )
    st.page_link(RUN, label="Details", query_params={"id": run.id})
    if run.state not in ACTIVE and st.button(
        "Close", type="tertiary", on_click=state.follow, args=("",), key="recovery_close"
    ):
        st.rerun()


def _show(run: Run) -> None:
    """Show the run's recipe in the Lab."""
    try:
        if (recipe := run.recipe) is not None:
            state.commit(recipe)
    except OptimError as error:
        state.notice(error)
