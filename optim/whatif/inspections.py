"""Questions about both models beside each other, answered from what they said already."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from optim.data.preview import picture
from optim.errors import ConfigError
from optim.inspect.flips import flips
from optim.inspect.overview import overview
from optim.measure.predictions import Predictions
from optim.recipe import Recipe
from optim.whatif.engine import Engine, Prepared, Workbench

__all__ = ["flipped", "inspection"]

_MOST_MACS = 2e11
"""Work that one question may take: about five seconds on two cores of today."""
_MOST = 48
"""Samples that are handed over at once."""


def inspection(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return quality, classes and confidence of both models.

    Returns:
        What :meth:`optim.inspect.overview.Overview.to_json` has, the ``part`` and ``of`` how many
        samples there are, and the ids of training steps that were left out as ``omitted``.
    """
    bench, candidate, before, after = _both(engine, recipe)
    found = engine.memo(
        f"inspection:{candidate.key}:{bench.subject.hash}:{len(after)}",
        lambda: overview(before, after, bench.subject.bundle.task).to_json(),
    )
    return {
        **found,
        "part": bench.subject.part,
        "of": len(bench.samples),
        "omitted": list(candidate.omitted),
    }


def flipped(
    engine: Engine, recipe: Recipe, kind: str, start: int = 0, count: int = 12
) -> dict[str, Any]:
    """Return samples that get another class now, with what they look like.

    Args:
        engine: The caches.
        recipe: The compressed model.
        kind: See :data:`optim.inspect.flips.FlipKind`; empty for the first kind there is.
        start: Of those of the kind, from which one on.
        count: How many, at most.

    Returns:
        ``share`` of all samples, ``counts`` by kind, ``kind``, ``n`` and ``of`` how many samples
        were looked at, and ``samples``: each what
        :class:`optim.inspect.flips.Flip` has, with names of the classes, and either ``image`` or
        ``values``.

    Raises:
        ConfigError: If there is no such kind, or start or count are out of range.
        MeasurementError: If outputs are no classes.
    """
    if start < 0 or not 1 <= count <= _MOST:
        raise ConfigError(
            f"start must be at least 0 and count from 1 to {_MOST}: got {start} and {count}.",
            field="count",
        )
    bench, candidate, before, after = _both(engine, recipe)
    found = flips(before, after, bench.subject.bundle.task)
    kind = kind or next(
        (k for k, number in found.counts.items() if number), next(iter(found.counts))
    )
    if kind not in found.counts:
        raise ConfigError(
            f"kind must be one of {', '.join(found.counts)}: got {kind!r}.", field="kind"
        )
    names = bench.subject.bundle.task.class_names
    chosen = [flip for flip in found.found if flip.kind == kind][start : start + count]
    return {
        "share": found.share.to_json(),
        "counts": dict(found.counts),
        "kind": kind,
        "n": len(after),
        "of": len(bench.samples),
        "part": bench.subject.part,
        "omitted": list(candidate.omitted),
        "samples": [
            {
                **flip.to_json(),
                "target_name": None if flip.target is None else names[flip.target],
                "before_name": names[flip.before],
                "after_name": names[flip.after],
                **picture(np.asarray(bench.samples.inputs[flip.index])),
            }
            for flip in chosen
        ],
    }


def _both(engine: Engine, recipe: Recipe) -> tuple[Workbench, Prepared, Predictions, Predictions]:
    """Return the compressed model, and what the original and it say.

    The whole part is looked at where it is known already, or soon will be; others wait meanwhile.
    """
    bench = engine.workbench(recipe)
    original = bench.prepare(replace(recipe, entries=()), draft=False)
    candidate = bench.prepare(recipe, draft=False)
    able = max(1, int(_MOST_MACS // (2 * bench.chunk * max(1, bench.macs))))
    known = min(bench.known_chunks(model) for model in (original, candidate))
    chunks = min(bench.n_chunks, max(able, known))
    before, after = (bench.joined(model, chunks) for model in (original, candidate))
    return bench, candidate, before, after
