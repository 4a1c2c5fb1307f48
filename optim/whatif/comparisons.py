"""Questions about several recipes side by side, answered from what their models said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from optim.compare.contest import LayerFacts, Side, against, class_table, figures_of_card
from optim.compare.vectors import common, keep_predictions, kept_predictions, vector_key
from optim.data.preview import picture
from optim.errors import ConfigError, OptimError
from optim.inspect.flips import flips
from optim.measure.costs import model_costs
from optim.measure.predictions import Predictions
from optim.measure.quality import METRICS, quality_of
from optim.measure.scorecard import Scorecard
from optim.measure.size import layer_sizes
from optim.recipe import Recipe
from optim.whatif.engine import Engine, Prepared, Workbench

__all__ = ["MOST_CONTENDERS", "answered", "contest", "differing"]

MOST_CONTENDERS = 8
"""As many models as stand side by side."""
_MOST_MACS = 2e11
"""Work that one model may take: about five seconds on two cores of today."""
_MOST_SAMPLES = 48


def answered(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Have a recipe's model say what it says about samples, and keep that.

    Returns:
        ``n`` and ``of`` how many samples, and ``omitted``, ids of training steps that were left
        out. Asked of every model first, so that no question takes long.
    """
    bench, prepared, said = _said(engine, recipe)
    return {"n": len(said), "of": len(bench.samples), "omitted": list(prepared.omitted)}


def contest(
    engine: Engine, recipe: Recipe, contenders: Sequence[Mapping[str, Any]], reference: int = 0
) -> dict[str, Any]:
    """Compare models with one of them.

    Args:
        engine: The caches.
        recipe: Of the reference; all of it stands in ``contenders`` as well.
        contenders: ``recipe`` (None where there is none), and ``card``, the scorecard that a run
            stored (None without a run).
        reference: Position of the one that the others are compared with.

    Returns:
        See ``docs/schemas/compare-1.json``: ``entries`` in the order of the contenders, each with
        ``figures``, ``changes`` against the reference, ``classes`` and ``layers``.

    Raises:
        ConfigError: If there are too many, or no such reference.
    """
    if not 1 <= len(contenders) <= MOST_CONTENDERS or not 0 <= reference < len(contenders):
        raise ConfigError(
            f"From 1 to {MOST_CONTENDERS} models stand side by side: got {len(contenders)}, with "
            f"number {reference} as the reference.",
            hint="Take some out, or choose another reference.",
            field="contenders",
        )
    sides: list[Side | None] = []
    entries: list[dict[str, Any]] = []
    for contender in contenders:
        side, told = _side(engine, contender)
        sides.append(side)
        entries.append(told)
    first = sides[reference]
    for side, entry in zip(sides, entries, strict=True):
        if side is None:
            continue
        entry["figures"] = {
            name: None if figure is None else figure.shown()
            for name, figure in figures_of_card(side.card).items()
        }
        entry["metric"] = side.card.primary
        entry["layers"] = [layer.to_json() for layer in side.layers]
        if first is not None and side is not first:
            entry.update(against(first, side))
            entry["classes"] = class_table(first, side)
    return {
        "reference": reference,
        "metrics": {
            name: {"title": METRICS[name].title, "about": METRICS[name].about}
            for name in dict.fromkeys(side.card.primary for side in sides if side)
        },
        "entries": entries,
    }


def differing(
    engine: Engine, recipe: Recipe, other: Mapping[str, Any], start: int = 0, count: int = 12
) -> dict[str, Any]:
    """Return samples to which two models give another class, with what they look like.

    Args:
        engine: The caches.
        recipe: Of the reference.
        other: The recipe that is compared with it, plain data.
        start: From which one on; those that lost most probability of their old class come first.
        count: How many, at most.

    Raises:
        ConfigError: If start or count are out of range.
        MeasurementError: If outputs are no classes, or the samples are others.
    """
    if start < 0 or not 1 <= count <= _MOST_SAMPLES:
        raise ConfigError(
            f"start must be at least 0 and count from 1 to {_MOST_SAMPLES}: got {start} and "
            f"{count}.",
            field="count",
        )
    bench, _, mine = _said(engine, recipe)
    _, _, theirs = _said(engine, Recipe.from_json(other))
    before, after = common(mine, theirs)
    found = flips(before, after, bench.subject.bundle.task)
    names = bench.subject.bundle.task.class_names
    place = {int(sample): row for row, sample in enumerate(bench.samples.ids)}
    return {
        "share": found.share.shown(),
        "counts": dict(found.counts),
        "total": len(found.found),
        "n": len(after),
        "part": bench.subject.part,
        "samples": [
            {
                **flip.to_json(),
                "target_name": None if flip.target is None else names[flip.target],
                "before_name": names[flip.before],
                "after_name": names[flip.after],
                **picture(np.asarray(bench.samples.inputs[place[flip.id]])),
            }
            for flip in found.found[start : start + count]
        ],
    }


def _side(engine: Engine, contender: Mapping[str, Any]) -> tuple[Side | None, dict[str, Any]]:
    """Return what is known of a contender, and what has to be said of it."""
    told: dict[str, Any] = {"n": 0, "part": "", "omitted": [], "stored": False, "problem": ""}
    card = Scorecard.from_json(contender["card"]) if contender.get("card") else None
    if contender.get("recipe") is None:
        told.update(stored=card is not None, problem="" if card else "There is no recipe of it.")
        return (Side(card) if card else None), told
    recipe = Recipe.from_json(contender["recipe"])
    try:
        bench, prepared, said = _said(engine, recipe)
        data = bench.subject.data.hash
        told.update(part=bench.subject.part, omitted=list(prepared.omitted))
        if prepared.omitted and card is not None:
            # What was trained is gone: the figures that the run stored are those of its result.
            told.update(stored=True, omitted=[], n=card.main.n if card.main else 0)
            return Side(card, data), told
        layers = engine.memo(f"contest-layers:{prepared.key}", lambda: _layers(prepared))
        alone = quality_of(said, bench.subject.bundle.task)
        static = engine.static(prepared)
    except OptimError as error:
        told.update(stored=card is not None, problem=error.message)
        return (Side(card) if card else None), told
    own = replace(
        static,
        quality=alone.figures,
        primary=alone.primary,
        latency=card.latency if card else None,
        conditions=card.conditions if card else {},
    )
    told["n"] = len(said)
    return Side(own, data, said, bench.subject.bundle.task, layers), told


def _said(engine: Engine, recipe: Recipe) -> tuple[Workbench, Prepared, Predictions]:
    """Return what a recipe's model says, from disk where it was asked before.

    Of large models fewer samples are looked at, unless all their answers are known.
    """
    bench = engine.workbench(recipe)
    prepared = bench.prepare(recipe, draft=False)
    able = max(1, int(_MOST_MACS // (bench.chunk * max(1, bench.macs))))
    chunks = min(bench.n_chunks, max(able, bench.known_chunks(prepared)))
    for n in dict.fromkeys((len(bench.samples), min(chunks * bench.chunk, len(bench.samples)))):
        key = vector_key(prepared.key, bench.subject.hash, n)
        if (kept := kept_predictions(key)) is not None:
            return bench, prepared, kept
    said = bench.joined(prepared, chunks)
    keep_predictions(vector_key(prepared.key, bench.subject.hash, len(said)), said)
    return bench, prepared, said


def _layers(prepared: Prepared) -> tuple[LayerFacts, ...]:
    sizes = {size.name: size for size in layer_sizes(prepared.bundle)}
    return tuple(
        LayerFacts(
            cost.name,
            tuple(cost.shape),
            sizes[cost.name].bits,
            sizes[cost.name].sparsity,
            cost.macs,
            sizes[cost.name].bytes["bit_width"],
        )
        for cost in model_costs(prepared.bundle)
        if cost.shape and cost.name in sizes
    )
