"""What is tried first: what others found, what was trained before, and what just fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from optim.errors import ConfigError
from optim.presets import preset_recipes
from optim.recipe import Recipe
from optim.search.autopilot.layers import Layers
from optim.search.autopilot.recipes import LAYERS, OWN, Recipes
from optim.search.autopilot.session import Session
from optim.search.choosing import front_of
from optim.search.figures import earlier_text
from optim.search.space import Dimension, Scalar
from optim.search.target import HERE
from optim.sensitivity.trials import layers_field
from optim.stored import stored_file
from optim.techniques import TECHNIQUES
from optim.techniques.distill import Distill
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize

__all__ = ["enqueue_starts", "presets", "trained_before"]

_FITTING_SHARE = 0.05
_MOST_FITTING, _MOST_OWN = 8, 4
_EPOCHS = (12, 4)
"""Lengths of distillation that are looked for: of the *Recover accuracy* button, and shorter."""


def enqueue_starts(session: Session, recipes: Recipes, layers: Layers) -> None:
    """Have tried first what earlier studies found, and what just fits the limits."""
    study = session.points
    earlier = [candidate for candidate in study.earlier() if candidate.point]
    points = [dict(candidate.point) for candidate in front_of(earlier, session.goals)]
    if points:
        session.say(earlier_text(len(points), "recipe"))
    points += _fitting(session, recipes, layers)
    for point in points:
        try:
            study.enqueue(point)
        except ConfigError:
            continue  # an earlier study had a value that is left out here


def trained_before(session: Session, recipes: Recipes) -> Iterator[Recipe]:
    """Yield recipes whose training is stored: for every number of bits the mildest that fits.

    Looked for is what presets and the *Recover accuracy* button train.
    """
    if "prune_channels" not in recipes.techniques:
        return
    students = list(_students(session, recipes))
    limited = any(limit.figure != session.goals.quality for limit in session.goals.asked)
    for bits in _bits(recipes):
        for student in students if limited else students[::3]:
            recipe = _in_bits(student, bits, recipes)
            if _fits(session, recipe):
                yield recipe
                if limited:
                    break


def _students(session: Session, recipes: Recipes) -> Iterator[Recipe]:
    """Yield pruned and distilled recipes that are stored, mildest first, each at its longest."""
    subject = session.bench.subject
    for ratio in recipes.space["prune_channels.pruning_ratio"].values[1:]:
        step = PruneChannels.model_validate({"pruning_ratio": ratio})
        pruned = session.asked.base.with_step(step).with_step(TECHNIQUES["reestimate_batchnorm"]())
        for epochs in _EPOCHS:
            recipe = pruned.with_step(Distill(epochs=epochs))
            if stored_file(recipe.chain(subject.bundle.hash, subject.data.hash)[-1]) is not None:
                yield recipe
                break


def _bits(recipes: Recipes) -> tuple[Scalar, ...]:
    if "quantize" not in recipes.techniques:
        return ("float",)
    return _mildest_first(recipes.space["quantize.weight_bits"])


def _in_bits(recipe: Recipe, bits: Scalar, recipes: Recipes) -> Recipe:
    """Return a recipe with weights of so many bits."""
    if bits == "float":
        return recipe
    found = recipe.with_step(Quantize.model_validate({"weight_bits": bits}))
    if "correct_bias" in recipes.repairs:
        found = found.with_step(TECHNIQUES["correct_bias"]())
    return found


def _fits(session: Session, recipe: Recipe) -> bool:
    """Whether a recipe keeps the limits of what can be told without samples."""
    session.check()
    goals = session.goals
    timed = goals.device == HERE and goals.limit("latency") is not None
    sizes = session.bench.outline(recipe, goals, timed=timed, check=session.check)
    if sizes is None:
        return False
    known = [limit for limit in goals.limits if limit.figure in sizes]
    return all(limit.over(sizes[limit.figure].value) <= 0 for limit in known)


def presets(session: Session, recipes: Recipes) -> list[dict[str, Scalar]]:
    """Return the points of eight bits and nothing else, and of presets without their training."""
    base = session.asked.base
    found = []
    eight = base.with_step(Quantize())
    for recipe in (eight, *preset_recipes(base.model, base.data, base.seed).values()):
        kept = tuple(entry for entry in recipe.active if entry.name in recipes.techniques)
        point = recipes.point(replace(base, entries=kept))
        if kept and point and point not in found:
            found.append(point)
    return found


def _fitting(session: Session, recipes: Recipes, layers: Layers) -> list[dict[str, Scalar]]:
    """Return points that just keep the limits of cost, those that may harm least first.

    For every number of bits, say, the smallest share of channels is looked for that has to go. How
    much that may harm is told from what single layers can spare.
    """
    strengths = [
        recipes.space[name]
        for technique in recipes.techniques
        if (name := _strength(technique)) in recipes.space
    ]
    off = recipes.point(recipes.base) or {}
    until = session.budget.spent + _FITTING_SHARE * session.budget.seconds
    found: list[dict[str, Scalar]] = []
    for second in strengths:
        for first in sorted(strengths, key=lambda d: len(d.values)):
            for value in _mildest_first(first) if first is not second else ():
                if session.budget.spent > until:
                    break
                point = {**off, **_conditions(recipes, first), first.name: value}
                fitted = _fitted(session, recipes, point, second)
                if fitted is not None and fitted not in found:
                    found.append(fitted)
    found.sort(key=lambda point: _harm(recipes, layers, point))
    found = found[:_MOST_FITTING]
    own = [_on_its_own(session, recipes, layers, point) for point in found[:_MOST_OWN]]
    return [*(point for point in own if point), *found]


def _on_its_own(
    session: Session, recipes: Recipes, layers: Layers, point: Mapping[str, Scalar]
) -> dict[str, Scalar] | None:
    """Return a point at which layers have settings of their own and the limits are kept.

    Settings of layers are spread for equal work, not for equal bytes: a level or two more may be
    needed.
    """
    name = _strength("prune_channels")
    layers_of = f"prune_channels.{LAYERS}"
    if name not in point or layers_of not in recipes.space:
        return None
    if OWN not in recipes.space[layers_of].values:
        return None
    values = _mildest_first(recipes.space[name])
    at = values.index(point[name])
    for value in values[at : at + 3]:
        tried = {**point, name: value, layers_of: OWN}
        if _fits(session, recipes.recipe(tried, layers.spread)):
            return recipes.space.clean(tried)
    return None


def _harm(recipes: Recipes, layers: Layers, point: Mapping[str, Scalar]) -> float:
    """Return how far the outputs of a point may move, all layers' harms added up."""
    names = [name for technique in recipes.techniques if (name := _strength(technique)) in point]
    return sum(layers.harm(name.partition(".")[0], point[name]) for name in names)


def _fitted(
    session: Session, recipes: Recipes, point: Mapping[str, Scalar], dimension: Dimension
) -> dict[str, Scalar] | None:
    """Return a point with the mildest value of one dimension that keeps limits of cost."""
    values = _mildest_first(dimension)

    def keeps(value: Scalar) -> bool:
        return _fits(session, recipes.recipe(with_value(value)))

    def with_value(value: Scalar) -> dict[str, Scalar]:
        return {**point, **_conditions(recipes, dimension), dimension.name: value}

    low, high = 0, len(values) - 1
    if not keeps(values[high]):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(values[middle]) else (middle + 1, high)
    return recipes.space.clean(with_value(values[low]))


def _strength(technique: str) -> str:
    """Return the dimension that says how much a technique takes away."""
    field = layers_field(TECHNIQUES[technique])
    return f"{technique}.{field[1].overrides}" if field else ""


def _mildest_first(dimension: Dimension) -> tuple[Scalar, ...]:
    """Return values in the order in which ever more is taken away.

    What leaves a model as it is lies at one end: a ratio of 0, all of the energy, floats.
    """
    technique, _, name = dimension.name.partition(".")
    field = layers_field(TECHNIQUES[technique])
    assert field is not None
    neutral = field[1].alone[name]
    return dimension.values if dimension.values[0] == neutral else dimension.values[::-1]


def _conditions(recipes: Recipes, dimension: Dimension) -> dict[str, Scalar]:
    """Return the values of other dimensions under which a dimension has an effect."""
    return {
        name: next(value for value in recipes.space[name].values if value in values)
        for name, values in dimension.when.items()
    }
