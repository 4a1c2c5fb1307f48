"""Measure an entry to a challenge; see :mod:`optim.challenges`.

``spec`` is ``{"recipe": Recipe.to_json(), "challenge": Challenge.to_json()}``. Only registered
models and data are opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optim.runs.work import Kind, Work

if TYPE_CHECKING:
    from optim.recipe import Entry
    from optim.step import Resume

__all__ = ["KIND", "SUBMISSION"]

KIND = "submission"
"""Name of the kind in the index."""


def _prepare() -> None:
    import optim.challenges.measured
    import optim.train  # noqa: F401


def _work(work: Work) -> Mapping[str, Any]:
    """Run, verify, measure."""
    import torch

    from optim.challenges.challenge import Challenge
    from optim.challenges.measured import measure_entry
    from optim.recipe import Recipe

    torch.set_num_threads(work.threads)
    recipe = Recipe.from_json(work.run.spec["recipe"])
    challenge = Challenge.from_json(work.run.spec["challenge"])

    def tracker(entry: Entry) -> tuple[Resume, Callable[[dict[str, float]], None]]:
        return work.checkpoint(entry.id), lambda figures: work.record(entry.id, figures)

    found = measure_entry(
        recipe,
        challenge,
        tracker=tracker,
        progress=work.progress,
        check=work.check,
        trained=work.trained,
    )
    work.keep("recipe.yaml", recipe.to_yaml().encode())
    return found


SUBMISSION = Kind("Challenge entry", _work, _prepare)
