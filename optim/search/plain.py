"""What both kinds of search check of plain data that may come from anybody."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from optim.errors import ConfigError

__all__ = ["checked_fields"]

_KINDS: dict[str, tuple[type, ...]] = {
    "a text": (str,),
    "true or false": (bool,),
    "a whole number": (int,),
    "a mapping": (Mapping,),
    "a list": (list, tuple),
}


def checked_fields(
    data: Mapping[str, Any], known: Collection[str], kinds: Mapping[str, str], what: str
) -> dict[str, Any]:
    """Return the fields of a search, if there are such and they are of the right kind.

    Args:
        data: From anybody.
        known: Names of all fields.
        kinds: ``{field: kind}``, kinds in words: ``"a text"``, ``"true or false"``,
            ``"a whole number"``, ``"a mapping"`` or ``"a list"``.
        what: The search, for messages.

    Returns:
        The fields; ``only``, where it is given, as ``{text: tuple}``.

    Raises:
        ConfigError: Naming the first that is wrong.
    """
    if unknown := sorted(set(map(str, data)) - set(known)):
        raise ConfigError(
            f"{what} has no field {unknown[0]!r}.",
            hint=f"Its fields are: {', '.join(sorted(known))}.",
            field=unknown[0],
        )
    for name, kind in {**kinds, "only": "a mapping"}.items():
        if name in data and not isinstance(data[name], _KINDS[kind]):
            raise ConfigError(
                f"{name} cannot be {data[name]!r}: {name} must be {kind}.", field=name
            )
    fields = dict(data)
    for name, values in fields.get("only", {}).items():
        if not isinstance(values, list | tuple):
            raise ConfigError(f"only must name lists: got {values!r}.", field=str(name))
    if "only" in fields:
        fields["only"] = {str(name): tuple(values) for name, values in fields["only"].items()}
    return fields
