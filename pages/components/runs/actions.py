"""What can be done with runs, from starting to deleting; what cannot is said in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from optim.errors import AccessError, OptimError
from optim.hashing import digest
from optim.recipe import Recipe
from optim.runs.run import ACTIVE, ENDED, RESUMABLE, Run, State
from optim.stored import stored_file
from pages.components import access, state
from pages.components.server import run_store, wake_engine

__all__ = [
    "can_cancel",
    "can_delete",
    "can_pause",
    "can_restore",
    "can_resume",
    "cancel",
    "delete",
    "is_of",
    "noticed",
    "pause",
    "restore",
    "resume",
    "train_recipe",
]


def train_recipe(wanted: Recipe, title: str) -> None:
    """Start the run of a recipe and follow it, or follow the one that does or did the same."""

    def start() -> None:
        access.refuse_presentation()
        store, spec = run_store(), {"recipe": wanted.to_json()}
        same = [
            run
            for run in store.runs(states=[*ACTIVE, State.PAUSED, State.FINISHED])
            if run.kind == "recipe" and set(run.spec) == set(spec) and is_of(run, wanted)
            if access.may_see_run(run) and _is_kept(run)
        ]
        state.follow(same[0].id if same else _submitted(spec, title))
        wake_engine()

    noticed(start)


def is_of(run: Run, recipe: Recipe) -> bool:
    """Whether a run is of a recipe, whatever version that was written in."""
    try:
        return run.recipe == recipe
    except OptimError:
        return False


def _is_kept(run: Run) -> bool:
    """Whether what a finished run has trained is still there; it may be removed."""
    keys = (run.result or {}).get("students", ())
    return run.state is not State.FINISHED or all(stored_file(key) for key in keys)


def can_cancel(run: Run) -> bool:
    """Whether a run can be stopped for good."""
    return run.state not in ENDED and not run.deleted and access.may_change(run)


def can_pause(run: Run) -> bool:
    """Whether a run can be stopped for a while."""
    return run.state in ACTIVE and not run.deleted and access.may_change(run)


def can_resume(run: Run) -> bool:
    """Whether a run can go on."""
    return run.state in RESUMABLE and not run.deleted and access.may_change(run)


def can_delete(run: Run) -> bool:
    """Whether a run can be put into the bin."""
    return not run.deleted and access.may_change(run)


def can_restore(run: Run) -> bool:
    """Whether a run can be taken out of the bin."""
    return run.deleted and access.may_change(run)


def cancel(run_ids: Iterable[str]) -> None:
    """Stop runs for good."""
    _each(run_ids, lambda run_id: run_store().cancel(run_id))


def pause(run_ids: Iterable[str]) -> None:
    """Stop runs so that they can go on later."""
    _each(run_ids, lambda run_id: run_store().pause(run_id))


def resume(run_ids: Iterable[str]) -> None:
    """Let runs go on."""

    def again(run_id: str) -> None:
        access.check_run()
        run_store().resume(run_id)

    _each(run_ids, again)
    noticed(wake_engine)


def delete(run_ids: Iterable[str]) -> None:
    """Put runs into the bin and remember which, so that it can be undone."""
    gone = _each(run_ids, lambda run_id: run_store().delete(run_id))
    state.deleted(tuple(gone))
    for run_id in gone:
        access.note("deleted", kind="run", run=run_id)


def restore(run_ids: Iterable[str]) -> None:
    """Take runs out of the bin."""
    _each(run_ids, lambda run_id: run_store().restore(run_id))
    state.deleted(())


def _each(run_ids: Iterable[str], act: Callable[[str], None]) -> list[str]:
    """Act on every run, and return those it worked for; the last failure is shown."""

    def permitted(run_id: str) -> None:
        access.refuse_presentation()
        if not access.may_change(run_store().get(run_id)):
            raise AccessError(
                "This run belongs to somebody else.", hint="Train the same recipe yourself."
            )
        act(run_id)

    return [run_id for run_id in run_ids if noticed(lambda run_id=run_id: permitted(run_id))]


def _submitted(spec: dict[str, Any], title: str) -> str:
    access.check_run()
    run = run_store().submit("recipe", spec, title=title, owner=access.owner())
    access.note("ran", digest(spec), run=run.id)
    return run.id


def noticed(act: Callable[[], None]) -> bool:
    """Do something, and keep an error to be shown; return whether there was none."""
    try:
        act()
    except OptimError as error:
        state.notice(error)
        return False
    return True
