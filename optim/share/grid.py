"""The main sliders of a recipe on a grid, every combination evaluated by the what-if engine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from optim.errors import ConfigError
from optim.measure.quality import METRICS, quality, quality_of
from optim.measure.scorecard import ratio
from optim.models.cards import model_cards
from optim.recipe import Recipe
from optim.whatif.engine import Engine

__all__ = ["MOST_POINTS", "SAMPLES", "Axis", "axes_of", "evaluated"]

MOST_POINTS = 125
"""Combinations in one file."""
SAMPLES = 2000
"""Validation samples every combination is asked about, at most."""


@dataclass(frozen=True)
class Axis:
    """One slider.

    Attributes:
        entry: Id of the step.
        field: Its field.
        title: For a reader.
        values: From the mildest on.
        start: Position of the recipe's own value.
        percent: Whether values are shares.
    """

    entry: str
    field: str
    title: str
    values: tuple[float, ...]
    start: int
    percent: bool


_MAIN: tuple[tuple[str, str, str, tuple[float, ...], bool], ...] = (
    ("prune_channels", "pruning_ratio", "Channels removed", (0.0, 0.25, 0.5, 0.75), True),
    ("quantize", "weight_bits", "Bits of a weight", (8, 6, 4, 3), False),
    ("prune_weights", "sparsity", "Zero weights", (0.0, 0.5, 0.75), True),
)
"""Step, field, title and values of the sliders that a file can have."""


def axes_of(recipe: Recipe) -> tuple[Axis, ...]:
    """Return the sliders of a recipe: of the steps that it has and that are on.

    Raises:
        ConfigError: If it has none of them.
    """
    found = []
    for name, field, title, values, percent in _MAIN:
        entry = next((e for e in recipe.entries if e.name == name and e.enabled), None)
        if entry is None:
            continue
        own = getattr(entry.step, field)
        every = sorted({*values, own}, reverse=not percent)
        found.append(Axis(entry.id, field, title, tuple(every), every.index(own), percent))
    if not found:
        titles = ", ".join(title for _, _, title, _, _ in _MAIN)
        raise ConfigError(
            "The recipe has no step with a slider to share.",
            hint=f"Switch on a step that has one of: {titles}.",
        )
    # Where there would be too many combinations, the last slider stays where the recipe has it.
    while len(found) > 1 and _count(found) > MOST_POINTS:
        found.pop()
    return tuple(found)


def evaluated(
    engine: Engine,
    recipe: Recipe,
    *,
    samples: int = SAMPLES,
    told: Callable[[float, str], None] = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Evaluate every combination of a recipe's sliders.

    Args:
        engine: The caches.
        recipe: Its other steps stay as they are; a step whose training is not stored for a
            combination is left out there, and the point says so.
        samples: Validation samples every combination is asked about, at most.
        told: Called with a share in 0..1 and what is being done, with the time left.
        check: Called between combinations; raises to stop.

    Returns:
        ``axes``, ``points`` in the order of the axes (the last one fastest), ``original``,
        ``metric``, and what was measured: ``model``, ``data``, ``n``, ``part``, ``seconds``.
    """
    axes = axes_of(recipe)
    bench = engine.workbench(recipe)
    chunks = max(1, min(bench.n_chunks, samples // bench.chunk))
    base = bench.prepare(replace(recipe, entries=()), draft=False)
    first, card = bench.joined(base, chunks), engine.static(base)
    task = bench.subject.bundle.task
    began = time.monotonic()
    total = _count(axes)
    points = []
    for number, values in enumerate(itertools.product(*(axis.values for axis in axes))):
        check()
        told(number / total, _left(number, total, time.monotonic() - began))
        at = recipe
        for axis, value in zip(axes, values, strict=True):
            at = at.with_fields(axis.entry, **{axis.field: value if axis.percent else int(value)})
        candidate = bench.prepare(at, draft=False, check=check)
        said = bench.joined(candidate, chunks)
        judged = quality(said, first, task, every=False)
        own = engine.static(candidate)
        assert own.file is not None
        assert card.file is not None
        points.append(
            {
                "quality": judged.main.shown() if judged.main else None,
                "change": judged.change.to_json() if judged.change else None,
                "file": own.file.shown(),
                "file_change": ratio(card.file, own.file).to_json(),
                "macs": own.macs.shown(),
                "macs_change": ratio(card.macs, own.macs).to_json(),
                "params": own.params.shown(),
                "omitted": list(candidate.omitted),
            }
        )
    alone = quality_of(first, task)
    found = model_cards().get(recipe.model)
    return {
        "axes": [asdict(axis) for axis in axes],
        "points": points,
        "original": {
            "quality": alone.main.shown() if alone.main else None,
            "file": card.file.shown() if card.file else None,
            "macs": card.macs.shown(),
        },
        "metric": METRICS[bench.primary].title,
        "model": found.title if found else recipe.model,
        "data": bench.subject.data.title,
        "part": bench.subject.part,
        "n": len(first),
        "seconds": time.monotonic() - began,
        "recipe": recipe.to_yaml(),
    }


def _count(axes: Sequence[Axis]) -> int:
    total = 1
    for axis in axes:
        total *= len(axis.values)
    return total


def _left(done: int, total: int, seconds: float) -> str:
    words = f"point {done + 1} of {total}"
    return f"{words}, about {seconds / done * (total - done):.0f} s left" if done else words
