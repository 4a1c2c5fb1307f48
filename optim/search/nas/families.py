"""The spaces that architectures are searched in: the fields of the zoo's families.

The fields that give a family its shape (depth, width, kernel, ...) are searched; what all families
share (activation, normalisation, dropout) stays at its default unless somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from optim.errors import ConfigError, OptimError
from optim.models.architecture import Architecture
from optim.models.zoo import ARCHITECTURES
from optim.search.space import Point, Scalar, Space, configured, dimensions_of

__all__ = ["FAMILIES", "SHARED", "architecture_at", "families_for", "family_named", "space_of"]

FAMILIES: tuple[str, ...] = (
    "ds-cnn",
    "mobilenetv2",
    "resnet",
    "mlp",
    "cnn-1d",
    "vit",
    "cells",
)
"""Families whose fields make a space, by their names in the zoo."""

SHARED = frozenset({"activation", "normalisation", "dropout", "block_dropout"})
"""Fields that say nothing of a network's shape."""


def family_named(name: str) -> str:
    """Return the zoo's name of a family; hyphens and capitals do not matter.

    Raises:
        ConfigError: If there is no space of that name.

    Example:
        >>> family_named("DSCNN")
        'ds-cnn'
    """
    for family in FAMILIES:
        if _plain(family) == _plain(name):
            return family
    raise ConfigError(f"space must be one of {', '.join(FAMILIES)}: got {name!r}.", field="space")


def families_for(input_shape: tuple[int, ...]) -> list[str]:
    """Return the families whose reference network takes inputs of a shape.

    Example:
        >>> families_for((30,))
        ['mlp']
    """
    return [family for family in FAMILIES if _some_fit(family, input_shape)]


def space_of(
    family: str,
    input_shape: tuple[int, ...],
    *,
    also: Collection[str] = (),
    only: Mapping[str, Sequence[Scalar]] | None = None,
) -> Space:
    """Return the space of a family for inputs of a shape.

    Values with which no network takes such inputs, whatever the other fields are, are left out.

    Args:
        family: A name of :data:`FAMILIES`.
        input_shape: Of one sample.
        also: Fields of :data:`SHARED` that are searched as well.
        only: ``{field: values}`` that narrow it.

    Raises:
        ConfigError: If there is no such field or value, or none is left.
        UnsupportedModelError: If no network of the family takes such inputs.
    """
    if unknown := sorted(set(also) - SHARED):
        raise ConfigError(
            f"also must be of {', '.join(sorted(SHARED))}: got {unknown[0]!r}.", field="also"
        )
    narrowed = {_named(family, name): tuple(values) for name, values in (only or {}).items()}
    fixed = {f"{family}.{name}" for name in SHARED - set(also)} - narrowed.keys()
    space = Space(
        tuple(d for d in dimensions_of(ARCHITECTURES[family], family) if d.name not in fixed)
    ).narrowed(narrowed)
    fitting = {
        dimension.name: values
        for dimension in space
        if (values := _fitting(family, space, dimension.name, input_shape))
        and len(values) < len(dimension.values)
    }
    space = space.narrowed(fitting)
    if not any(_fits(family, point, input_shape) for point in _some(space)):
        architecture_at(family, space.clean({})).check(input_shape)
    return space


def architecture_at(family: str, point: Point) -> Architecture:
    """Return the architecture that a point is.

    Raises:
        ConfigError: If fields exclude each other, such as heads that do not divide a width.
    """
    found = configured(ARCHITECTURES[family], family, point)
    assert isinstance(found, Architecture)
    return found


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _named(family: str, name: str) -> str:
    """Return the full name of a field that may be given without its family."""
    return name if name.startswith(f"{family}.") else f"{family}.{name}"


def _some_fit(family: str, input_shape: tuple[int, ...]) -> bool:
    space = Space(dimensions_of(ARCHITECTURES[family], family))
    return any(_fits(family, point, input_shape) for point in _some(space))


def _some(space: Space) -> Iterator[dict[str, Scalar]]:
    """Yield the default of a space, and what differs from it in one dimension."""
    yield space.clean({})
    yield from (space.clean({d.name: value}) for d in space for value in d.values)


def _fitting(
    family: str, space: Space, name: str, input_shape: tuple[int, ...]
) -> tuple[Scalar, ...]:
    return tuple(
        value
        for value in space[name].values
        if _fits(family, space.clean({name: value}), input_shape)
    )


def _fits(family: str, point: Point, input_shape: tuple[int, ...]) -> bool:
    try:
        architecture_at(family, point).check(input_shape)
    except OptimError:
        return False
    return True
