"""Run a recipe from beginning to end, as ``optim run`` does; what it trains is kept for the Lab.

``spec`` is ``{"recipe": Recipe.to_json()}``. With ``"base"``, a folder, the recipe's model and data
may be files; without, only registered names are opened, because a link may come from anybody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optim.runs.work import Kind, Work

if TYPE_CHECKING:
    from optim.recipe import Entry
    from optim.step import Resume

__all__ = ["RECIPE"]


def _prepare() -> None:
    import optim.runner
    import optim.train  # noqa: F401


def _work(work: Work) -> Mapping[str, Any]:
    """Apply, export, verify, measure; keep the files."""
    import torch

    from optim.recipe import Recipe
    from optim.runner import run

    torch.set_num_threads(work.threads)
    recipe, base = Recipe.from_json(work.run.spec["recipe"]), work.run.spec.get("base")

    def tracker(entry: Entry) -> tuple[Resume, Callable[[dict[str, float]], None]]:
        return work.checkpoint(entry.id), lambda figures: work.record(entry.id, figures)

    result = run(
        recipe,
        base=Path(base or "."),
        registered_only=base is None,
        progress=work.progress,
        check=work.check,
        stored=True,
        tracker=tracker,
        trained=work.trained,
    )
    found = result.to_json()
    work.keep("recipe.yaml", recipe.to_yaml().encode())
    work.keep("scorecard.json", (json.dumps(found, indent=1) + "\n").encode())
    work.keep("report.txt", result.report().encode())
    result.verification.require()
    work.keep("model.onnx", result.file)
    return {**found, "students": work.students}


RECIPE = Kind("Recipe", _work, _prepare)
