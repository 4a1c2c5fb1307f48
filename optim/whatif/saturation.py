"""What a recipe's model loses on x86 processors without VNNI, and with weights of reduced range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.instructions import vnni_here
from optim.ladder.changes import Change, reduced_range
from optim.measure.quality import METRICS
from optim.measure.saturation import Saturation, saturation_of
from optim.recipe import Recipe
from optim.whatif.answers import change, shown
from optim.whatif.engine import Engine

__all__ = ["Sums", "measure_sums", "saturation"]

_MOST = 512
"""Samples of a first answer."""


@dataclass(frozen=True)
class Sums:
    """What sums of 16 bits cost a recipe's model.

    Attributes:
        found: What was measured.
        n: On how many samples.
        change: The recipe with weights of reduced range; None where nothing saturates, or it is
            applied already.
        notes: What has to be known, in sentences.
    """

    found: Saturation
    n: int
    change: Change | None
    notes: tuple[str, ...]


def measure_sums(
    engine: Engine,
    recipe: Recipe,
    most: int = _MOST,
    *,
    check: Callable[[], None] = lambda: None,
) -> Sums:
    """Measure a recipe's model with sums of 32 bits, of 16 bits, and with reduced range.

    Args:
        engine: Opens and prepares the model.
        recipe: What is done to it.
        most: Samples of the validation part at most.
        check: Called between batches; raises to stop.

    Raises:
        OptimError: If the model cannot be opened, prepared or run.
    """
    bench = engine.workbench(recipe)
    now = bench.prepare(recipe, draft=False, check=check)
    samples = bench.samples.take(np.arange(min(most, len(bench.samples))))
    wanted = reduced_range(recipe)
    reduced = bench.prepare(wanted.recipe, draft=False, check=check) if wanted else None
    notes = [f"Left out, because not trained yet: {step}." for step in now.omitted]
    if reduced is not None and reduced.omitted != now.omitted:
        steps = ", ".join(step for step in reduced.omitted if step not in now.omitted)
        notes.append(f"With reduced range {steps} has to be trained again; that was not measured.")
        reduced = None
    bundle = reduced.bundle if reduced else None
    found = saturation_of(now.bundle, samples, bundle, check=check)
    if not found.at_risk:
        notes.append("No layer is computed on integers: nothing saturates.")
    elif not found.may_saturate:
        notes.append("No input makes a sum of 16 bits saturate.")
    return Sums(found, len(samples), wanted if found.may_saturate else None, tuple(notes))


def saturation(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return what sums of 16 bits cost a recipe's model, for a page."""
    sums = engine.memo(
        f"sums:{engine.workbench(recipe).prepare(recipe, draft=False).key}",
        lambda: measure_sums(engine, recipe),
    )
    found = sums.found
    return {
        "n": sums.n,
        "metric": METRICS[found.metric].title,
        "exact": shown(found.exact),
        "saturated": shown(found.saturated),
        "change": change(found.change),
        "agreement": shown(found.agreement),
        "reduced": shown(found.reduced),
        "reduced_change": change(found.reduced_change),
        "layers": sum(share > 0 for share in found.at_risk.values()),
        "of": len(found.at_risk),
        "may_saturate": found.may_saturate,
        "link": sums.change.recipe.to_link() if sums.change else None,
        "notes": list(sums.notes),
        "vnni_here": vnni_here(),
    }
