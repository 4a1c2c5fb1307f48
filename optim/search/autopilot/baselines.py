"""What else somebody could have done: measured on the same samples, at the same sizes.

===============================  ================================================================
eight bits and nothing else      what every runtime offers
presets                          recipes made by hand, with students where some are stored
channels or weights at random    the found recipe without training, and the same with chance in
                                 place of its importance or criterion
smaller trained models           those of this machine for the same data, as they are and in 8 bits
a narrower network               of the same family, trained from the start for as long as there is
                                 time (:mod:`optim.search.autopilot.narrower`)
===============================  ================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from optim.errors import Cancelled, OptimError
from optim.fields import Method, controls
from optim.measure.quality import quality
from optim.models.cards import ModelCard, model_cards
from optim.presets import PRESETS, preset_recipes
from optim.recipe import Recipe
from optim.search.autopilot.bench import Bench
from optim.search.candidate import Candidate
from optim.search.goals import Goals
from optim.search.loss import loss_of
from optim.step import refusal
from optim.techniques.quantize import Quantize

__all__ = ["baselines_of"]

Check = Callable[[], None]
_STAGE = "baseline"


def baselines_of(
    bench: Bench, goals: Goals, about: Candidate | None, check: Check
) -> Iterator[tuple[str, Callable[[], Candidate]]]:
    """Yield the baselines that apply: a title, and what measures it.

    Args:
        bench: Measures recipes of the model.
        goals: What is asked for.
        about: The candidate that they are drawn for; None if nothing was found.
        check: Called between pieces; raises to stop.
    """
    base, bundle = bench.base, bench.subject.bundle

    def of(recipe: Recipe) -> Callable[[], Candidate]:
        return lambda: bench.measure(recipe, goals, stage=_STAGE, check=check)

    if not refusal(Quantize, bundle.lane, "", bundle.task.kind):
        yield "Eight bits and nothing else", of(base.with_step(Quantize()))
    if about is not None:
        yield from _random(Recipe.from_json(about.made["recipe"]), of)
    for name, recipe in preset_recipes(base.model, base.data, base.seed).items():
        if recipe.active and name != "gentle":
            yield f"Preset {PRESETS[name].title}", of(recipe)
    for card in _smaller(bench):
        for title, recipe in _of_other(card, base):
            yield title, partial(_measured_other, bench, recipe, goals, check)


def _random(
    recipe: Recipe, of: Callable[[Recipe], Callable[[], Candidate]]
) -> Iterator[tuple[str, Callable[[], Candidate]]]:
    """Yield a recipe without its training, and the same with what goes chosen at random."""
    bare = replace(recipe, entries=tuple(e for e in recipe.entries if e.step.cost != "training"))
    blind = bare
    for entry in bare.active:
        for control in controls(type(entry.step)):
            kind = control.kind
            if isinstance(kind, Method) and "random" in kind.family:
                blind = blind.with_fields(entry.id, **{control.name: "random"})
    if blind == bare:
        return
    if bare != recipe:
        yield "The recipe taken, without its training", of(bare)
    yield "The same, what goes chosen at random", of(blind)


def _smaller(bench: Bench) -> list[ModelCard]:
    """Return trained models for the same data that are smaller, the most accurate first."""
    base = bench.base
    own = model_cards().get(base.model)
    if own is None:
        return []
    found = [
        card
        for card in model_cards().values()
        if card.data == own.data == base.data
        and card.name != own.name
        and card.params < own.params
        and (card.listed or card.owner == own.owner)
    ]
    return sorted(found, key=lambda card: -card.params)[:3]


def _of_other(card: ModelCard, base: Recipe) -> Iterator[tuple[str, Recipe]]:
    other = replace(base, model=card.name, entries=())
    yield f"{card.title}, as it is", other
    if not refusal(Quantize, card.lane, "", card.kind):
        yield f"{card.title}, in 8 bits", other.with_step(Quantize())


def _measured_other(bench: Bench, recipe: Recipe, goals: Goals, check: Check) -> Candidate:
    """Measure another model against the original of this search, on the same samples."""
    failed = Candidate({}, {"recipe": recipe.to_json()}, {}, "failed", _STAGE)
    try:
        other = Bench(recipe, registered_only=bench.engine.registered_only)
        if other.subject.data.hash != bench.subject.data.hash:
            return replace(failed, note="It is measured on other samples.")
        prepared = other.bench.prepare(recipe, draft=False, check=check)
        judged = quality(
            other.bench.joined(prepared, other.bench.n_chunks),
            bench.baseline,
            bench.subject.bundle.task,
            every=False,
        )
        figures = {**other.costs_of(prepared.bundle, recipe, goals), "loss": loss_of(judged)}
    except Cancelled:
        raise
    except OptimError as error:
        return replace(failed, note=str(error))
    return replace(failed, figures=figures, outcome="measured", quality=judged.main)
