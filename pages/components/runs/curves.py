"""Turn the epochs of a run into what a chart draws: one curve a figure, one stretch a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optim.recipe import Recipe
from optim.runs.run import EpochRow

__all__ = ["accuracy_info", "epochs_of", "loss_info", "planned_epochs"]


def planned_epochs(recipe: Recipe | None) -> dict[str, int]:
    """Return ``{entry id: epochs}`` of the steps of a recipe that train, in order."""
    if recipe is None:
        return {}
    return {
        entry.id: int(getattr(entry.step, "epochs", 0))
        for entry in recipe.active
        if entry.step.cost == "training"
    }


def accuracy_info(
    rows: Sequence[EpochRow], titles: Mapping[str, str], planned: Mapping[str, int]
) -> dict[str, Any]:
    """Return the curves of accuracy in percent; without any, none was recorded.

    Args:
        rows: Epochs in order of steps.
        titles: ``{step: its name for a reader}``.
        planned: ``{step: epochs}`` that will be trained, so that the axis does not move.
    """
    names = {"accuracy": "validation", "train_accuracy": "training"}
    return _info(rows, titles, planned, names, factor=100.0)


def loss_info(
    rows: Sequence[EpochRow], titles: Mapping[str, str], planned: Mapping[str, int]
) -> dict[str, Any]:
    """Return the curve of the training loss; arguments as in :func:`accuracy_info`."""
    return _info(rows, titles, planned, {"loss": "training"}, factor=1.0)


def epochs_of(rows: Sequence[EpochRow], step: str) -> list[EpochRow]:
    """Return the epochs of one step."""
    return [row for row in rows if row.step == step]


def _info(
    rows: Sequence[EpochRow],
    titles: Mapping[str, str],
    planned: Mapping[str, int],
    names: Mapping[str, str],
    factor: float,
) -> dict[str, Any]:
    trained = [step for step in dict.fromkeys(row.step for row in rows) if step not in planned]
    # A step whose result was stored is planned and has no epochs: it takes no room.
    ahead = _ahead(rows, list(planned))
    steps, start = [], 0
    for step in [*planned, *trained]:
        own = epochs_of(rows, step)
        length = max([row.epoch for row in own], default=0)
        if own or step in ahead:
            length = max(length, planned.get(step, 0))
        if length:
            title = titles.get(step, step)
            steps.append({"step": step, "title": title, "start": start, "end": start + length})
            start += length
    offset = {step["step"]: step["start"] for step in steps}
    curves = [
        {
            "name": name,
            "stretches": [
                [
                    (offset[step["step"]] + row.epoch, factor * row.figures[key])
                    for row in epochs_of(rows, step["step"])
                    if key in row.figures
                ]
                for step in steps
            ],
        }
        for key, name in names.items()
    ]
    return {
        "steps": [{k: step[k] for k in ("title", "start", "end")} for step in steps],
        "curves": [c for c in curves if any(c["stretches"])],
        "end": start,
    }


def _ahead(rows: Sequence[EpochRow], planned: Sequence[str]) -> set[str]:
    """Return the planned steps after the last one that has trained."""
    begun = [i for i, step in enumerate(planned) if any(row.step == step for row in rows)]
    return set(planned[max(begun, default=-1) + 1 :])
