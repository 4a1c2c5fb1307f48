"""The space of recipes for one model: every technique that needs no training and pays.

A technique is in the space if it can change the model and lowers a figure that is asked for; its
dimensions are its fields. Values that cost what one nearer to the default costs are left out,
since they could only do harm, and so are methods that look at so many samples that a candidate
would take longer than there is time for. Techniques that lower nothing, and repair what the others
do, are in every recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optim.errors import ConfigError, OptimError
from optim.fields import Method, controls
from optim.quantity import Quantity
from optim.recipe import Entry, Recipe
from optim.search.space import Dimension, Point, Scalar, Space, configured, dimensions_of
from optim.sensitivity.trials import everywhere, layers_field
from optim.step import Step, refusal
from optim.techniques import TECHNIQUES

__all__ = ["LAYERS", "OWN", "Recipes", "checked_only", "recipes_for", "refined"]

LAYERS = "layers"
"""Last part of the dimension that says whether layers get settings of their own."""
_ON = "on"
_SAME, OWN = "same", "by sensitivity"
_REPAIRS = ("reestimate_batchnorm", "correct_bias")
_COSTLY = ("reconstruct",)
"""Fields whose other value takes seconds: they are tried on the best alone, see ``refined``."""
_EXCLUSIVE = {"share_weights": "quantize"}
"""What takes the place of another technique; the other one is taken."""

Costs = Callable[[Recipe], Mapping[str, Quantity] | None]
"""Returns what a recipe's model costs, without looking at samples; None if it cannot be made."""
Spreads = Callable[[str, Step, Scalar], Step | None]
"""Returns a technique with settings of single layers for the cost of one common level."""


@dataclass(frozen=True)
class Recipes:
    """All recipes that a search may try.

    Attributes:
        base: Model, data, seed and split; no steps.
        techniques: Those that the space decides about.
        repairs: Those that are in every recipe.
        space: Their fields.
        left_out: ``{technique: why it is not in the space}``.
    """

    base: Recipe
    techniques: tuple[str, ...]
    repairs: tuple[str, ...]
    space: Space
    left_out: Mapping[str, str]

    def recipe(self, point: Point, spreads: Spreads | None = None) -> Recipe:
        """Return the recipe that a point stands for.

        Args:
            point: Of the space.
            spreads: Gives layers settings of their own where the point wants that; without it,
                or where it has none, all layers get the same.

        Raises:
            ConfigError: If the point is not of this space.
        """
        point = self.space.clean(point)
        recipe = self.base
        for name in self.techniques:
            if point.get(f"{name}.{_ON}", True) is not True:
                continue
            step = configured(TECHNIQUES[name], name, point)
            assert isinstance(step, Step)
            if spreads is not None and point.get(f"{name}.{LAYERS}") == OWN:
                field = layers_field(step)
                assert field is not None
                step = spreads(name, step, getattr(step, field[1].overrides)) or step
            if not step.is_neutral:
                recipe = recipe.with_step(step, reorder=True)
        if recipe.entries:
            for name in self.repairs:
                recipe = recipe.with_step(TECHNIQUES[name](), reorder=True)
        return recipe.in_order()

    def point(self, recipe: Recipe) -> dict[str, Scalar] | None:
        """Return the point that a recipe is nearest to; None if it has a step of no dimension.

        Settings of single layers are left out.
        """
        values: dict[str, Scalar] = {}
        for name in self.techniques:
            own = [d for d in self.space if d.name.startswith(f"{name}.")]
            if own and own[0].name == f"{name}.{_ON}":
                values[own[0].name] = own[0].values[0]  # on, where it cannot be off
            else:
                values |= _off(TECHNIQUES[name], own, name)
        for entry in recipe.active:
            if entry.name in self.repairs:
                continue
            if entry.name not in self.techniques:
                return None
            if f"{entry.name}.{_ON}" in self.space:
                values[f"{entry.name}.{_ON}"] = True
            values |= {
                name: value
                for name, value in _values_of(entry.step, entry.name).items()
                if name in self.space and value in self.space[name].values
            }
        return self.space.clean(values)


def checked_only(only: Mapping[str, Sequence[Scalar]]) -> Mapping[str, Sequence[Scalar]]:
    """Return what narrows the space, if there are such fields of techniques, and such values.

    Whether they are in the space of a certain model is told when that is made.

    Raises:
        ConfigError: Naming the first that is wrong.
    """
    for name, values in only.items():
        technique = TECHNIQUES.get(name.partition(".")[0])
        if technique is None or technique.cost == "training":
            known = ", ".join(n for n, t in TECHNIQUES.items() if t.cost != "training")
            raise ConfigError(
                f"only names fields of techniques, such as quantize.weight_bits: got {name!r}.",
                hint=f"Techniques are {known}.",
                field=name,
            )
        prefix = name.partition(".")[0]
        own = Space(
            (
                Dimension(f"{prefix}.{_ON}", technique.title, (False, True), True, False),
                *(d for d in dimensions_of(technique, prefix) if d.values),
                Dimension(f"{prefix}.{LAYERS}", "Layers", (_SAME, OWN), _SAME, False),
            )
        )
        if name not in own:
            raise ConfigError(
                f"{prefix} has no field {name.partition('.')[2]!r} that is searched.",
                hint=f"Its fields are {', '.join(_shorter(own, prefix))}.",
                field=name,
            )
        if not values:
            raise ConfigError(f"{name} needs at least one value.", field=name)
        for value in values:
            own[name].index(value)
    return only


def _shorter(space: Space, prefix: str) -> list[str]:
    return [d.name.removeprefix(f"{prefix}.") for d in space]


def recipes_for(
    base: Recipe,
    costs: Costs,
    *,
    lane: str,
    task: str,
    figures: Sequence[str],
    by_sensitivity: Sequence[str] = (),
    most_passes: int = 2048,
    only: Mapping[str, Sequence[Scalar]] | None = None,
) -> Recipes:
    """Return the space of recipes for a model.

    Args:
        base: Names the model; its steps are not looked at.
        costs: Says what the model costs after a recipe.
        lane: Kind of the model, see ``ModelBundle.lane``.
        task: Kind of its task.
        figures: Keys of ``FIGURES`` that are asked for.
        by_sensitivity: Techniques of which it is known what single layers can spare.
        most_passes: Samples that one candidate may look at while it is made.
        only: ``{dimension: values}`` that narrow the space further.

    Raises:
        ConfigError: If nothing can make the model cheaper in these figures.
    """
    base = replace(base, entries=())
    before = costs(base)
    if before is None:
        raise ConfigError("What the model costs cannot be told.")
    left_out: dict[str, str] = {}
    names: list[str] = []
    repairs: list[str] = []
    for name, technique in TECHNIQUES.items():
        if technique.cost == "training":
            continue
        if reason := refusal(technique, lane, "", task):
            left_out[name] = reason
        elif name in _REPAIRS:
            repairs.append(name)
        elif reason := _useless(name, base, costs, before, figures):
            left_out[name] = reason
        else:
            names.append(name)
    for name, other in _EXCLUSIVE.items():
        if name in names and other in names:
            names.remove(name)
            left_out[name] = f"It stands in the place of {TECHNIQUES[other].title}."
    if not names:
        raise ConfigError(
            "No technique makes this model cheaper in what is asked for.",
            hint="Ask for bytes, or for fewer figures.",
            field="objectives",
        )
    dimensions: list[Dimension] = []
    for name in names:
        dimensions += _dimensions(name, base, costs, most_passes, name in by_sensitivity)
    space = Space(tuple(dimensions))
    return Recipes(
        base, tuple(names), tuple(repairs), space.narrowed(only) if only else space, left_out
    )


def refined(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Yield what a recipe becomes with one costly method in place of a cheap one, and its name.

    Those are methods that look at many samples, and refitting what stays. What was trained stays
    as it is: only steps behind the last training change.
    """
    trains = [i for i, entry in enumerate(recipe.active) if entry.step.cost == "training"]
    for entry in recipe.active[max(trains, default=-1) + 1 :]:
        step = entry.step
        for control in controls(type(step)):
            kind = control.kind
            if control.name in _COSTLY and getattr(step, control.name) is False:
                words = f"{entry.step.title.lower()}, {kind.label.lower()}"
                yield words, recipe.with_fields(entry.id, **{control.name: True})
            if not isinstance(kind, Method) or kind.expert:
                continue
            for name, method in kind.family.items():
                other = recipe.with_fields(entry.id, **{control.name: name})
                more = other.entry(entry.id).step.calibration_passes
                if name != "random" and step.calibration_passes < more <= _MOST_PASSES:
                    yield f"{kind.label.lower()}: {method.title}", other


_MOST_PASSES = 30_000


def _useless(
    name: str, base: Recipe, costs: Costs, before: Mapping[str, Quantity], figures: Sequence[str]
) -> str:
    """Say why a technique does not belong into the space; empty if it does."""
    step = TECHNIQUES[name]()
    field = layers_field(step)
    if field is None:
        return "It lowers no cost by itself."
    try:
        after = costs(replace(base, entries=(Entry(name, everywhere(step, field[1].tried[-1])),)))
    except OptimError as error:
        return str(error)
    if after is None:
        return "It cannot be applied to this model."
    known = [f for f in figures if f in before and f in after]
    if any(after[f].value < 0.99 * before[f].value for f in known):
        return ""
    return "It lowers nothing that is asked for."


def _dimensions(
    name: str, base: Recipe, costs: Costs, most_passes: int, by_sensitivity: bool
) -> list[Dimension]:
    technique = TECHNIQUES[name]
    found = [d for d in dimensions_of(technique, name) if d.values]
    found = [_affordable(d, technique, name, most_passes) for d in found]
    found = [
        replace(d, values=(d.default,)) if d.name.rpartition(".")[2] in _COSTLY else d
        for d in found
    ]
    # What belongs to a method that was left out never has an effect.
    offered = {d.name: d.values for d in found}
    found = [
        d
        for d in found
        if all(set(offered.get(n, values)) & set(values) for n, values in d.when.items())
    ]
    if _off(technique, found, name):
        head: list[Dimension] = []
    else:
        head = [Dimension(f"{name}.{_ON}", technique.title, (False, True), True, False)]
        found = [replace(d, when={f"{name}.{_ON}": (True,), **d.when}) for d in found]
    found = [_worthwhile(d, technique, name, base, costs) for d in found]
    if by_sensitivity:
        when = {head[0].name: (True,)} if head else {}
        layers = Dimension(f"{name}.{LAYERS}", "Layers", (_SAME, OWN), _SAME, False, when)
        found.append(layers)
    return [*head, *found]


def _affordable(
    dimension: Dimension, technique: type[Step], prefix: str, most_passes: int
) -> Dimension:
    """Return a dimension without what is only there to compare with, or looks at too much."""
    if dimension.is_ordered or len(dimension.values) < 2 or dimension.when:
        return dimension
    kept = []
    for value in dimension.values:
        if value == "random" and value != dimension.default:
            continue
        try:
            step = configured(technique, prefix, {dimension.name: value})
        except ConfigError:
            kept.append(value)
            continue
        assert isinstance(step, Step)
        if value == dimension.default or step.calibration_passes <= most_passes:
            kept.append(value)
    return replace(dimension, values=tuple(kept))


def _worthwhile(
    dimension: Dimension, technique: type[Step], prefix: str, base: Recipe, costs: Costs
) -> Dimension:
    """Return a dimension in which every value of one cost is the one nearest to the default."""
    if not dimension.is_ordered or len(dimension.values) > _MOST_PROBED:
        return dimension
    nested = dimension.name.removeprefix(f"{prefix}.").count(".")
    if nested:
        return dimension
    at = dimension.index(dimension.default)
    kept: dict[Any, Scalar] = {}
    for value in sorted(dimension.values, key=lambda v: abs(dimension.index(v) - at)):
        point = {**_conditions(dimension), dimension.name: value}
        try:
            step = configured(technique, prefix, point)
            assert isinstance(step, Step)
            found = costs(replace(base, entries=(Entry(prefix, step),)))
        except OptimError:
            continue
        if found is not None:
            kept.setdefault(tuple((k, q.value) for k, q in sorted(found.items())), value)
    values = set(map(repr, kept.values()))
    left = tuple(value for value in dimension.values if repr(value) in values)
    return replace(dimension, values=left or (dimension.default,))


_MOST_PROBED = 12


def _conditions(dimension: Dimension) -> dict[str, Scalar]:
    return {name: values[0] for name, values in dimension.when.items()}


def _off(technique: type[Step], found: Sequence[Dimension], prefix: str) -> dict[str, Scalar]:
    """Return the value of one field that switches a technique off, if not one among very many."""
    for dimension in found:
        if not dimension.is_ordered or len(dimension.values) > 40:
            continue
        for value in (dimension.values[0], dimension.values[-1]):
            try:
                step = configured(technique, prefix, {dimension.name: value})
            except ConfigError:
                continue
            assert isinstance(step, Step)
            if step.is_neutral:
                return {dimension.name: value}
    return {}


def _values_of(step: Any, prefix: str) -> dict[str, Scalar]:
    """Return the values of a configuration's fields by the names of their dimensions."""
    found: dict[str, Scalar] = {}
    for control in controls(type(step)):
        value = getattr(step, control.name)
        name = f"{prefix}.{control.name}"
        if isinstance(control.kind, Method):
            member = control.kind.name_of(value)
            found |= {name: member, **_values_of(value, f"{name}.{member}")}
        elif isinstance(value, bool | int | float | str):
            found[name] = value
    return found
