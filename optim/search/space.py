"""Search spaces, read off the annotated fields of techniques and architectures.

What a field may be is written at the field and nowhere else (:mod:`optim.fields`). Here ranges,
choices and nested methods become *dimensions*; a field that has an effect only under conditions
becomes a dimension that is left out of a point where they do not hold, so that two points that
mean the same are the same. Values for single layers and names of models are no dimensions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from optim.errors import ConfigError
from optim.fields import Choice, Config, Control, Method, Range, controls
from optim.hashing import digest

__all__ = ["Dimension", "Point", "Scalar", "Space", "configured", "dimensions_of"]

Scalar = bool | int | float | str
Point = Mapping[str, Scalar]
"""A value of every dimension that has an effect, by its name."""


@dataclass(frozen=True)
class Dimension:
    """One thing that a search decides.

    Attributes:
        name: Dotted path, such as ``"prune_channels.pruning_ratio"``.
        label: Name for a reader.
        values: What it may be, in the order of the field; at least one.
        default: What it is if nobody decides.
        is_ordered: Whether neighbours in ``values`` are alike.
        when: ``{other dimension: values}`` under which it has an effect; the others come before it.
    """

    name: str
    label: str
    values: tuple[Scalar, ...]
    default: Scalar
    is_ordered: bool
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    def index(self, value: Scalar) -> int:
        """Return the position of a value.

        Raises:
            ConfigError: If it is none of the values.
        """
        for position, known in enumerate(self.values):
            # True equals 1 and 8.0 equals 8 here, and not in a recipe.
            if known == value and isinstance(known, bool) == isinstance(value, bool):
                return position
        allowed = ", ".join(map(str, self.values))
        raise ConfigError(f"{self.name} must be one of {allowed}: got {value!r}.", field=self.name)


@dataclass(frozen=True)
class Space:
    """All that may be tried.

    Attributes:
        dimensions: A dimension comes behind those that its conditions name.
    """

    dimensions: tuple[Dimension, ...]

    def __getitem__(self, name: str) -> Dimension:
        for dimension in self.dimensions:
            if dimension.name == name:
                return dimension
        names = ", ".join(d.name for d in self.dimensions) or "none"
        raise ConfigError(f"The space has no dimension {name!r}; it has {names}.", field=name)

    def __contains__(self, name: str) -> bool:
        return any(dimension.name == name for dimension in self.dimensions)

    @property
    def key(self) -> str:
        """Identity: two spaces with one key have the same points."""
        return digest(
            [(d.name, list(d.values), {k: list(v) for k, v in d.when.items()}) for d in self]
        )

    def __iter__(self) -> Iterator[Dimension]:
        return iter(self.dimensions)

    def narrowed(self, values: Mapping[str, Sequence[Scalar]]) -> Self:
        """Return a space in which dimensions have fewer values, and maybe fewer dimensions.

        Raises:
            ConfigError: If a dimension is not there, a value is none of its, or none is left.
        """
        found = {}
        for name, wanted in values.items():
            dimension = self[name]
            if not wanted:
                raise ConfigError(f"{name} needs at least one value.", field=name)
            kept = tuple(dimension.values[i] for i in sorted({*map(dimension.index, wanted)}))
            default = dimension.default if dimension.default in kept else kept[0]
            found[name] = replace(dimension, values=kept, default=default)
        left: dict[str, Dimension] = {}
        for dimension in (found.get(d.name, d) for d in self):
            # What has an effect under no value that is left is no dimension any more.
            if all(
                set(left[n].values) & set(v) if n in left else False
                for n, v in dimension.when.items()
            ):
                left[dimension.name] = dimension
        return replace(self, dimensions=tuple(left.values()))

    def count(self) -> int:
        """Return how many different points there are."""
        asked = {name for dimension in self for name in dimension.when}
        # Points that agree in all that later conditions ask for go on in the same way.
        groups: dict[tuple[tuple[str, Scalar], ...], int] = {(): 1}
        for dimension in self:
            grown: dict[tuple[tuple[str, Scalar], ...], int] = {}
            for known, number in groups.items():
                if not _holds(dimension, dict(known)):
                    grown[known] = grown.get(known, 0) + number
                elif dimension.name in asked:
                    for value in dimension.values:
                        key = (*known, (dimension.name, value))
                        grown[key] = grown.get(key, 0) + number
                else:
                    grown[known] = grown.get(known, 0) + number * len(dimension.values)
            groups = grown
        return sum(groups.values())

    def points(self) -> Iterator[dict[str, Scalar]]:
        """Yield every point once, the last dimension changing fastest."""

        def extended(point: dict[str, Scalar], position: int) -> Iterator[dict[str, Scalar]]:
            if position == len(self.dimensions):
                yield point
                return
            dimension = self.dimensions[position]
            if not _holds(dimension, point):
                yield from extended(point, position + 1)
                return
            for value in dimension.values:
                yield from extended({**point, dimension.name: value}, position + 1)

        yield from extended({}, 0)

    def clean(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return a point: what has no effect is left out, what is missing is at its default.

        Raises:
            ConfigError: If a value is illegal, or of no dimension.
        """
        if unknown := [name for name in values if name not in self]:
            self[unknown[0]]
        point: dict[str, Scalar] = {}
        for dimension in self:
            if _holds(dimension, point):
                value = values.get(dimension.name, dimension.default)
                point[dimension.name] = dimension.values[dimension.index(value)]
        return point

    def drawn(self, generator: random.Random) -> dict[str, Scalar]:
        """Return a point at random, every value of a dimension as likely as the others."""
        point: dict[str, Scalar] = {}
        for dimension in self:
            if _holds(dimension, point):
                point[dimension.name] = generator.choice(dimension.values)
        return point


def dimensions_of(
    config: type[Config], prefix: str, *, expert: bool = False
) -> tuple[Dimension, ...]:
    """Return the dimensions that the fields of a configuration class are.

    Args:
        config: A technique, a method or an architecture.
        prefix: What names begin with, as ``"resnet"`` in ``"resnet.width"``.
        expert: Whether fields that are shown only on request are dimensions as well; else they
            stay at their defaults.

    Example:
        >>> from optim.models.mlp import MLP
        >>> [d.name for d in dimensions_of(MLP, "mlp")][:2]
        ['mlp.depth', 'mlp.width']
    """
    found: list[Dimension] = []
    for control in controls(config):
        if control.kind.expert and not expert:
            continue
        when = {f"{prefix}.{name}": tuple(v) for name, v in control.kind.when.items()}
        found += _dimensions(control, f"{prefix}.{control.name}", when, expert)
    names = {dimension.name for dimension in found}
    # A condition on what is no dimension holds as the default of that field does.
    return tuple(
        replace(d, when={name: v for name, v in d.when.items() if name in names})
        for d in found
        if all(_default_holds(config, prefix, n, v) for n, v in d.when.items() if n not in names)
    )


def configured(config: type[Config], prefix: str, point: Point, **others: Any) -> Config:
    """Return a configuration as a point says; fields of no dimension are at their defaults.

    Args:
        config: The class whose fields :func:`dimensions_of` was asked for.
        prefix: The same as there.
        point: May hold dimensions of others, which are not looked at.
        others: Further fields.

    Raises:
        ConfigError: If a value is illegal.
    """
    fields: dict[str, Any] = {}
    for control in controls(config):
        name = f"{prefix}.{control.name}"
        if name not in point or not isinstance(control.kind, Range | Choice | Method):
            continue
        value = point[name]
        if isinstance(control.kind, Method):
            member = control.kind.family[str(value)]
            fields[control.name] = configured(member, f"{name}.{value}", point)
        else:
            fields[control.name] = value
    return config(**{**fields, **others})


def _dimensions(
    control: Control, name: str, when: Mapping[str, tuple[Scalar, ...]], expert: bool
) -> list[Dimension]:
    kind = control.kind
    if isinstance(kind, Range):
        whole = isinstance(control.default, int) and not isinstance(control.default, bool)
        stops = tuple(int(stop) if whole else stop for stop in kind.stops())
        if control.default not in stops:
            stops = tuple(sorted((*stops, control.default)))
        return [Dimension(name, kind.label, stops, control.default, True, when)]
    if isinstance(kind, Choice):
        values = tuple(kind.options)
        return [Dimension(name, kind.label, values, control.default, kind.ordered, when)]
    if isinstance(kind, Method):
        default = next(iter(control.default)) if isinstance(control.default, dict) else None
        members = tuple(kind.family)
        found = [Dimension(name, kind.label, members, default or control.default, False, when)]
        for member, cls in kind.family.items():
            nested = dimensions_of(cls, f"{name}.{member}", expert=expert)
            found += [replace(d, when={**when, name: (member,), **d.when}) for d in nested]
        return found
    return []


def _holds(dimension: Dimension, point: Point) -> bool:
    return all(point.get(name) in values for name, values in dimension.when.items())


def _default_holds(
    config: type[Config], prefix: str, name: str, values: tuple[Scalar, ...]
) -> bool:
    inner = name.removeprefix(f"{prefix}.")
    return next((c.default in values for c in controls(config) if c.name == inner), True)
