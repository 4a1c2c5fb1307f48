"""Train the same network in several ways, side by side; see :mod:`optim.alternatives`.

``spec`` is ``{"data": name, "seeds": [0, 1, 2], "alternatives": [Alternative.to_json(), ...]}``.
Figures of every epoch are recorded under ``title · seed n``; a cell that is trained is kept, and
one that was stopped goes on from its own checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optim.errors import ConfigError
from optim.runs.work import Kind, Work

if TYPE_CHECKING:
    from optim.step import Resume

__all__ = ["ALTERNATIVES", "MOST_CELLS", "cell_name"]

MOST_CELLS = 100
"""Alternatives times seeds; more is a search, and has better tools."""


def cell_name(title: str, seed: int) -> str:
    """Return the name under which the figures of one cell are recorded."""
    return f"{title} · seed {seed}"


def _prepare() -> None:
    import optim.alternatives.training
    import optim.train  # noqa: F401


def _work(work: Work) -> Mapping[str, Any]:
    """Train what is not trained yet; return every cell and what they say together."""
    import torch

    from optim.alternatives.alternative import Alternative
    from optim.alternatives.outcomes import Cell, compared
    from optim.alternatives.training import train_alternatives
    from optim.data.added import open_registered_data
    from optim.data.splits import with_validation

    torch.set_num_threads(work.threads)
    spec = work.run.spec
    alternatives = [Alternative.from_json(data) for data in _listed(spec, "alternatives")]
    seeds = [int(seed) for seed in _listed(spec, "seeds")]
    if len(alternatives) * len(seeds) > MOST_CELLS:
        raise ConfigError(
            f"Alternatives times seeds must be at most {MOST_CELLS}: "
            f"got {len(alternatives)} times {len(seeds)}.",
            hint="Compare fewer, or take fewer seeds.",
            field="alternatives",
        )
    data = with_validation(
        open_registered_data(str(spec.get("data"))), seen=(), policy="auto", seed=0
    )
    kept = work.checkpoint("cells")
    state = kept.load() or {"cells": []}
    cells = [Cell.from_json(cell) for cell in state["cells"]]

    def tracker(title: str, seed: int) -> tuple[Resume, Callable[[dict[str, float]], None]]:
        name = cell_name(title, seed)
        return work.checkpoint(name), lambda figures: work.record(name, figures)

    for cell in train_alternatives(
        alternatives,
        data,
        seeds=seeds,
        done=list(cells),
        tracker=tracker,
        progress=work.progress,
        check=work.check,
    ):
        cells.append(cell)
        kept.save({"cells": [cell.to_json() for cell in cells]})
    order = {alternative.title: i for i, alternative in enumerate(alternatives)}
    cells.sort(key=lambda cell: (order[cell.title], cell.seed))
    return {
        "schema": "optim.alternatives/1",
        "data": data.title,
        "samples": dict(data.parts),
        "cells": [cell.to_json() for cell in cells],
        "outcomes": [outcome.to_json() for outcome in compared(cells)],
    }


def _listed(spec: Mapping[str, Any], name: str) -> list[Any]:
    found = spec.get(name)
    if not isinstance(found, list) or not found:
        raise ConfigError(f"{name} must be a list that is not empty: got {found!r}.", field=name)
    return found


ALTERNATIVES = Kind("Alternatives", _work, _prepare)
