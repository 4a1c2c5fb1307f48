"""What can be done with runs, from starting to deleting; what cannot is said in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from optim.errors import OptimError
from optim.recipe import Recipe
from optim.runs.run import ACTIVE, ENDED, RESUMABLE, Run, State
from pages.components import state
from pages.components.server import run_store, wake_engine

__all__ = [
    "can_cancel",
    "can_pause",
    "can_resume",
    "cancel",
    "delete",
    "pause",
    "restore",
    "resume",
    "train_recipe",
]


def train_recipe(wanted: Recipe, title: str) -> None:
    """Start the run of a recipe and follow it, or follow the one that does or did the same."""

    def start() -> None:
        store, spec = run_store(), {"recipe": wanted.to_json()}
        same = [
            run
            for run in store.runs(states=[*ACTIVE, State.PAUSED, State.FINISHED])
            if run.kind == "recipe" and run.spec == spec
        ]
        run = same[0] if same else store.submit("recipe", spec, title=title)
        state.follow(run.id)
        wake_engine()

    _noticed(start)


def can_cancel(run: Run) -> bool:
    """Whether a run can be stopped for good."""
    return run.state not in ENDED and not run.deleted


def can_pause(run: Run) -> bool:
    """Whether a run can be stopped for a while."""
    return run.state in ACTIVE and not run.deleted


def can_resume(run: Run) -> bool:
    """Whether a run can go on."""
    return run.state in RESUMABLE and not run.deleted


def cancel(run_ids: Iterable[str]) -> None:
    """Stop runs for good."""
    _each(run_ids, lambda run_id: run_store().cancel(run_id))


def pause(run_ids: Iterable[str]) -> None:
    """Stop runs so that they can go on later."""
    _each(run_ids, lambda run_id: run_store().pause(run_id))


def resume(run_ids: Iterable[str]) -> None:
    """Let runs go on."""
    _each(run_ids, lambda run_id: run_store().resume(run_id))
    _noticed(wake_engine)


def delete(run_ids: Iterable[str]) -> None:
    """Put runs into the bin and remember which, so that it can be undone."""
    state.deleted(tuple(_each(run_ids, lambda run_id: run_store().delete(run_id))))


def restore(run_ids: Iterable[str]) -> None:
    """Take runs out of the bin."""
    _each(run_ids, lambda run_id: run_store().restore(run_id))
    state.deleted(())


def _each(run_ids: Iterable[str], act: Callable[[str], None]) -> list[str]:
    """Act on every run, and return those it worked for; the last failure is shown."""
    return [run_id for run_id in run_ids if _noticed(lambda run_id=run_id: act(run_id))]


def _noticed(act: Callable[[], None]) -> bool:
    """Do something, and keep an error to be shown; return whether there was none."""
    try:
        act()
    except OptimError as error:
        state.notice(error)
        return False
    return True
