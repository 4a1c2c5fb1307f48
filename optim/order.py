"""Which steps combine, in which order, and why.

Steps say what must hold before them, what holds after them and what no longer does
(``requires``, ``ensures`` and ``removes`` of :class:`~optim.step.Step`). Everything here follows
from that, and a new technique joins by the same three lines:

- steps that each need and spoil the same condition *exclude* each other, in whatever order;
- a step whose condition does not hold where it stands is *refused*;
- a step whose work a later one undoes is *advised* against: it belongs behind that one;
- steps are *put in order* by moving as few as possible, so that neither is the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from optim.errors import ConfigError
from optim.step import Step

__all__ = ["OrderError", "Placed", "advice", "check_order", "in_order"]


class Placed(Protocol):
    """A step at its place, as an entry of a recipe is."""

    @property
    def id(self) -> str:
        """Unique among the steps."""

    @property
    def step(self) -> Step:
        """What is done."""

    @property
    def is_active(self) -> bool:
        """Whether it does anything."""


P = TypeVar("P", bound=Placed)

_AT_FIRST = frozenset({"float"})
"""What holds of every model before the first step."""

_REQUIRED = {
    "float": "{title!r} changes floating-point weights and must come before 'Quantize' or "
    "'Share weights'.",
    "quantized": "{title!r} trains weights that lie on a grid and must come after 'Quantize' or "
    "'Share weights'.",
}
"""Why a step cannot stand where its condition does not hold."""

_SPOILT = {"float": "puts floating-point weights on a grid, which can be done once"}
"""What a step does that needs a condition and removes it, so that no other such one can follow."""

_UNDONE = {
    "bn_measured": "{later!r} changes what batch norm sees: statistics should be taken behind it.",
    "recovered": "{later!r} takes away part of what was learned: training belongs behind it.",
    "bias_corrected": "{later!r} shifts outputs anew: biases should be corrected behind it.",
}
"""Why a step is better placed behind the one that undoes its work."""


class OrderError(ConfigError):
    """Steps cannot follow each other in this order; :func:`in_order` may find one."""


def check_order(entries: Iterable[Placed]) -> None:
    """Refuse steps whose conditions do not hold where they stand.

    Raises:
        OrderError: If two steps exclude each other, which no order mends; or else at the first step
            that cannot stand where it does.
    """
    entries = tuple(entries)
    _check_exclusive(entries)
    holding = set(_AT_FIRST)
    for entry in entries:
        if not entry.is_active:
            continue
        missing = entry.step.requires - holding
        if missing:
            raise OrderError(_REQUIRED[min(missing)].format(title=entry.step.title), field=entry.id)
        holding = (holding - entry.step.removes) | entry.step.ensures


def _check_exclusive(entries: Sequence[Placed]) -> None:
    for condition, does in _SPOILT.items():
        spoiling = [
            entry
            for entry in entries
            if entry.is_active and condition in entry.step.requires & entry.step.removes
        ]
        if len(spoiling) < 2:
            continue
        one, other = (entry.step.title for entry in spoiling[:2])
        again = f"{one!r} stands in the recipe twice, and it"
        both = f"Only one of {one!r} and {other!r} can stand in a recipe: each"
        raise OrderError(
            f"{again if one == other else both} {does}.",
            hint=f"Remove {spoiling[0].id!r} or {spoiling[1].id!r}, or switch one off.",
            field=spoiling[1].id,
        )


def advice(entries: Sequence[Placed]) -> dict[str, str]:
    """Return ``{entry id: why it is better placed later}`` for steps whose work is undone.

    What is undone and done again further down, as when pruning and training alternate, is fine.
    """
    active = [entry for entry in entries if entry.is_active]
    found = {}
    for position, entry in enumerate(active):
        behind = active[position + 1 :]
        for condition in sorted(entry.step.ensures & _UNDONE.keys()):
            undoing = [later for later in behind if condition in later.step.removes]
            if undoing and not any(condition in later.step.ensures for later in behind):
                title = undoing[-1].step.title
                found[entry.id] = _UNDONE[condition].format(later=title)
    return found


def in_order(entries: Sequence[P]) -> tuple[P, ...]:
    """Return entries in an order in which each can be applied and none is undone.

    Those that need not move keep their order; switched off ones stay behind what they follow.

    Raises:
        OrderError: If there is no such order: of what stands in the way of every one.
    """
    left, done = list(entries), list[P]()
    while left:
        free = next((e for e in left if not any(_before(o, e, entries) for o in left)), None)
        if free is None:
            check_order(entries)
            return tuple(entries)  # it can be applied, and nothing better is known
        left.remove(free)
        done.append(free)
    check_order(done)
    return tuple(done)


def _before(one: Placed, other: Placed, entries: Sequence[Placed]) -> bool:
    """Whether ``one`` has to come before ``other``."""
    if one is other:
        return False
    first, then = _conditions(one), _conditions(other)
    for condition in _AT_FIRST:
        # It holds until it is removed, and who needs it comes before that.
        if condition in first["requires"] and condition in then["removes"]:
            return True
    needs = (first["ensures"] & then["requires"]) - _AT_FIRST
    undoes = {c for c in first["removes"] & then["ensures"] if c in _UNDONE}
    if undoes and _alternates(one, other, entries):
        undoes = set()
    return bool(needs or undoes)


def _alternates(removing: Placed, ensuring: Placed, entries: Sequence[Placed]) -> bool:
    """Whether a step stands before one that undoes it, and its like once more behind that."""
    order = list(entries)
    if order.index(ensuring) > order.index(removing):
        return False
    return ensuring.id not in advice(entries)


def _conditions(entry: Placed) -> Mapping[str, frozenset[str]]:
    """Return what a step needs, makes and spoils; nothing of one that does nothing."""
    names = ("requires", "ensures", "removes")
    return {name: getattr(entry.step, name) if entry.is_active else frozenset() for name in names}
