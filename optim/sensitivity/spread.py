"""From what layers can spare to one setting a layer: what one common setting costs, for less harm.

The harms of single layers are added up, which is right while they are small, and the settings are a
knapsack (:mod:`optim.allocation`). What the model really costs with them is asked, because savings
do not add up where two layers share channels, and the budget corrected until it is met.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from optim.allocation import allocate
from optim.errors import ConfigError
from optim.fields import Range
from optim.sensitivity.profile import Cell, Level, Profile
from optim.sensitivity.trials import everywhere, on_layers, overridden, untouched
from optim.step import Step

__all__ = ["Spread", "spread"]

_TRIES = 12
_CLOSE = 0.005
"""A cost this little under the target is as good as equal."""

Costs = Callable[[Step], tuple[int, int]]
"""Returns multiply-accumulates and bytes of the model after a step."""


@dataclass(frozen=True)
class Spread:
    """A technique with one setting a layer, beside the common setting that costs the same.

    Attributes:
        step: The technique with settings of single layers.
        common: The same with one level everywhere.
        levels: ``{layer: level}``.
        unit: What was held equal: ``"macs"`` or ``"bytes"``.
        target: What the common setting costs.
        reached: What the single settings cost; not more.
    """

    step: Step
    common: Step
    levels: dict[str, Level]
    unit: Literal["macs", "bytes"]
    target: int
    reached: int


def spread(profile: Profile, name: str, step: Step, level: Level, costs: Costs) -> Spread:
    """Choose a level for each layer that costs no more than one common level.

    Args:
        profile: What layers can spare.
        name: The technique's name in the index.
        step: Its other settings.
        level: The common level.
        costs: Asked for the model's real cost; see :data:`Costs`.

    Raises:
        ConfigError: If nothing is known of the technique, or the level saves more than was tried.
    """
    rows = profile.rows_of(name)
    if not rows:
        raise ConfigError(
            f"Nothing is known of what layers can spare by {name}.", hint="Analyse the model first."
        )
    by_row = {
        row.layer: [c for c in profile.cells_of(name) if c.layer == row.layer] for row in rows
    }
    saves_macs = any(cell.macs < profile.macs for cell in profile.cells_of(name))
    unit: Literal["macs", "bytes"] = "macs" if saves_macs else "bytes"
    common = everywhere(step, level)
    target = _of(costs(common), unit)
    options = {layer: _options(step, cells, profile, unit) for layer, cells in by_row.items()}
    original = profile.macs if unit == "macs" else profile.bytes
    harms = [[option.harm for option in row] for row in options.values()]
    most = [max(option.saved for option in row) for row in options.values()]
    # What is not saved of the most is what a level costs.
    cost = [
        [saved - option.saved for option in row]
        for saved, row in zip(most, options.values(), strict=True)
    ]
    best: Spread | None = None
    # Savings overlap where two rows share a layer, so that the sum of what is asked for has to be
    # larger than what is to be saved; by how much is found by halving.
    low, high = 0.0, float(sum(most))
    wanted = min(float(original - target), high)
    for _ in range(_TRIES):
        chosen = allocate(harms, cost, sum(most) - wanted)
        levels = {
            layer: row[i].level for (layer, row), i in zip(options.items(), chosen, strict=True)
        }
        single = on_layers(step, levels)
        reached = _of(costs(single), unit)
        if reached <= target and (best is None or reached > best.reached):
            best = Spread(single, common, levels, unit, target, reached)
        if (1 - _CLOSE) * target <= reached <= target or (reached > target and wanted == high):
            break
        low, high = (low, wanted) if reached <= target else (wanted, high)
        wanted = (low + high) / 2 if best else high
    if best is None:
        raise ConfigError(
            f"{level!r} everywhere saves more than the levels that were tried can.",
            hint="Choose a milder common level.",
            field="level",
        )
    return best


@dataclass(frozen=True)
class _Option:
    level: Level
    harm: float
    saved: float


def _options(
    step: Step, cells: list[Cell], profile: Profile, unit: Literal["macs", "bytes"]
) -> list[_Option]:
    """Return the levels a row may get; between those that were tried, what lies between."""
    original = profile.macs if unit == "macs" else profile.bytes
    tried = [
        _Option(c.level, c.harm.value, original - (c.macs if unit == "macs" else c.bytes))
        for c in cells
    ]
    field = overridden(step)
    if not isinstance(field.kind, Range):
        return tried
    known = sorted([_Option(untouched(step), 0.0, 0.0), *tried], key=lambda o: float(o.level))
    at = [float(option.level) for option in known]
    stops = [stop for stop in field.kind.stops() if at[0] <= stop <= at[-1]]
    harms = np.interp(stops, at, [option.harm for option in known])
    saved = np.interp(stops, at, [option.saved for option in known])
    return [_Option(*o) for o in zip(stops, harms.tolist(), saved.tolist(), strict=True)]


def _of(costs: tuple[int, int], unit: Literal["macs", "bytes"]) -> int:
    return costs[0 if unit == "macs" else 1]
