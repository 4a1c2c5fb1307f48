"""The question what single layers should get, beside one setting for all that costs the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from optim.errors import ConfigError
from optim.measure.quality import Quality, quality
from optim.recipe import Entry, Recipe
from optim.recovery import norms_measured
from optim.sensitivity.kept import kept_profile, key_of
from optim.sensitivity.profile import SAMPLES
from optim.sensitivity.settings import settings_of_layers
from optim.sensitivity.trials import techniques
from optim.step import Step
from optim.techniques import TECHNIQUES, name_of
from optim.whatif.answers import change, shown
from optim.whatif.engine import Engine, Workbench

__all__ = ["spread_over_layers"]


def spread_over_layers(
    engine: Engine, recipe: Recipe, technique: str, level: Any, *, in_time: bool = False
) -> dict[str, Any]:
    """Return settings of single layers that cost no more than one level on all, both measured.

    Args:
        engine: Opens and prepares models.
        recipe: Its model is looked at; a step of the technique in it gives the other settings.
        technique: Name in the index.
        level: The common level.
        in_time: Whether both shall take as much time, as measured here, and not as many MACs.

    Raises:
        ConfigError: If the model was not analysed, or the level is not legal or saves too much.
    """
    profile = kept_profile(key_of(recipe, SAMPLES))
    if profile is None:
        raise ConfigError(
            "Nothing is known of what the layers can spare.", hint="Analyse the model first."
        )
    if technique not in techniques():
        raise ConfigError(
            f"technique must be one of {', '.join(techniques())}: got {technique!r}.",
            field="technique",
        )
    bench = engine.workbench(recipe)

    found = settings_of_layers(
        bench.subject, profile, _step_of(recipe, technique), level, in_time=in_time
    )
    is_smaller = technique in profile.structural
    common, single = (_with(recipe, step, is_smaller) for step in (found.common, found.step))
    return {
        "technique": technique,
        **found.to_json(),
        "common": _measured(bench, common),
        "single": _measured(bench, single),
        "gain": _gain(bench, common, single),
        "step": found.step.changed(),
        "norms": is_smaller,
    }


def _step_of(recipe: Recipe, technique: str) -> Step:
    """Return the step of a technique in a recipe, or one at its defaults."""
    for entry in recipe.entries:
        if name_of(entry.step) == technique:
            return entry.step
    return TECHNIQUES[technique]()


def _with(recipe: Recipe, step: Step, is_smaller: bool) -> Recipe:
    """Return a recipe of one step: both models are the original with this alone.

    What makes the model smaller is followed by new statistics of batch norm, as in the analysis.
    """
    alone = replace(recipe, entries=(Entry(name_of(step), step),))
    return norms_measured(alone) if is_smaller else alone


def _measured(bench: Workbench, recipe: Recipe) -> dict[str, Any]:
    """Return quality of a recipe's model on all samples that select, beside the original's."""
    found = _compared(bench, recipe, replace(recipe, entries=()))
    return {
        "quality": shown(found.main) if found.main else None,
        "change": change(found.change) if found.change else None,
        "cost": found.cost,
    }


def _gain(bench: Workbench, common: Recipe, single: Recipe) -> dict[str, Any] | None:
    """Return the quality of single settings against the common one's, paired."""
    found = _compared(bench, single, common).change
    return change(found) if found else None


def _compared(bench: Workbench, recipe: Recipe, other: Recipe) -> Quality:
    after, before = (
        bench.joined(bench.prepare(one, draft=False), bench.n_chunks) for one in (recipe, other)
    )
    return quality(after, before, bench.subject.bundle.task)
