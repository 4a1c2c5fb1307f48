"""From what layers can spare to one setting a layer: what one common setting costs, for less harm.

The harms of single layers are added up, which is right while they are small, and the settings are a
knapsack (:mod:`optim.allocation`). What the model really costs with them is asked, because savings
do not add up where two layers share channels, and the budget corrected until it is met. A cost may
be time as well, where it was measured what each layer gains (:mod:`optim.sensitivity.times`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from optim.allocation import allocate
from optim.errors import ConfigError
from optim.fields import Range
from optim.quantity import format_value
from optim.sensitivity.profile import Cell, Level, Profile
from optim.sensitivity.trials import everywhere, is_gradual, on_layers, overridden, untouched
from optim.step import Step

__all__ = ["Spread", "spread"]

_TRIES = {"macs": 12, "bytes": 12, "time": 6}
_CLOSE = {"macs": 0.005, "bytes": 0.005, "time": 0.03}
"""A cost this little under the target is as good as equal."""

Unit = Literal["macs", "bytes", "time"]

Costs = Callable[[Step], tuple[int, int]]
"""Returns multiply-accumulates and bytes of the model after a step."""

Time = Callable[[Step], float]
"""Returns the latency of the model after a step, over that of the model as it is."""


@dataclass(frozen=True)
class Spread:
    """A technique with one setting a layer, beside the common setting that costs the same.

    Attributes:
        step: The technique with settings of single layers.
        common: The same with one level everywhere.
        levels: ``{layer: level}``.
        unit: What was held equal: ``"macs"``, ``"bytes"`` or ``"time"``, which is a share of the
            original's.
        target: What the common setting costs.
        reached: What the single settings cost; not more.
    """

    step: Step
    common: Step
    levels: dict[str, Level]
    unit: Unit
    target: float
    reached: float

    def summary(self) -> str:
        """Return in words what both settings cost."""
        of = {"macs": "", "bytes": " of weights", "time": " of the original's time"}[self.unit]
        unit = "x" if self.unit == "time" else self.unit
        single, common = (format_value(cost, unit) for cost in (self.reached, self.target))
        return f"One setting a layer takes {single}{of}, the common setting {common}."

    def to_json(self) -> dict[str, Any]:
        """Return plain data, without the steps."""
        return {key: getattr(self, key) for key in ("levels", "unit", "target", "reached")}


def spread(
    profile: Profile,
    name: str,
    step: Step,
    level: Level,
    costs: Costs,
    time: Time | None = None,
) -> Spread:
    """Choose a level for each layer that costs no more than one common level.

    Args:
        profile: What layers can spare.
        name: The technique's name in the index.
        step: Its other settings.
        level: The common level.
        costs: Asked for the model's real cost; see :data:`Costs`.
        time: Asked for its real time; time is held equal if it is given, see :data:`Time`.

    Raises:
        ConfigError: If nothing is known of the technique or of its times, or the level saves more
            than was tried.
    """
    rows = profile.rows_of(name)
    if not rows:
        raise ConfigError(
            f"Nothing is known of what layers can spare by {name}.", hint="Analyse the model first."
        )
    by_row = {
        row.layer: [c for c in profile.cells_of(name) if c.layer == row.layer] for row in rows
    }
    if time is not None and not profile.is_timed(name):
        raise ConfigError(
            f"Nothing is known of the time that layers take by {name}.",
            hint="Analyse the model with times, or hold another cost equal.",
        )
    unit: Unit = "time" if time else "macs" if name in profile.structural else "bytes"

    def cost_of(step: Step) -> float:
        return time(step) if time else costs(step)[0 if unit == "macs" else 1]

    common = everywhere(step, level)
    target = cost_of(common)
    if time is not None and target > 1 - _CLOSE[unit]:
        raise ConfigError(
            f"{level!r} everywhere takes {target:.2f} times as long as the model as it is: no time "
            "is gained that layers could share out.",
            hint="Choose a stronger common level, or hold another cost equal.",
            field="level",
        )
    options = {layer: _options(step, cells, profile, unit) for layer, cells in by_row.items()}
    original = _of_original(profile, unit)
    harms = [[option.harm for option in row] for row in options.values()]
    most = [max(option.saved for option in row) for row in options.values()]
    # What is not saved of the most is what a level costs.
    cost = [
        [saved - option.saved for option in row]
        for saved, row in zip(most, options.values(), strict=True)
    ]
    same = _same(options, level)
    best: Spread | None = None

    def asked(levels: dict[str, Level]) -> Spread:
        single = on_layers(step, levels)
        return Spread(single, common, levels, unit, target, cost_of(single))

    # Savings overlap where two rows share a layer, so that the sum of what is asked for has to be
    # larger than what is to be saved; by how much is found by halving.
    low, high = 0.0, float(sum(most))
    wanted = min(float(original - target), high)
    for _ in range(_TRIES[unit]):
        chosen = allocate(harms, cost, sum(most) - wanted, same)
        found = asked(
            {layer: row[i].level for (layer, row), i in zip(options.items(), chosen, strict=True)}
        )
        reached = found.reached
        if reached <= target and (best is None or reached > best.reached):
            best = found
        if (1 - _CLOSE[unit]) * target <= reached <= target or (
            reached > target and wanted == high
        ):
            break
        low, high = (low, wanted) if reached <= target else (wanted, high)
        wanted = (low + high) / 2 if best else high
    equal = dict.fromkeys(options, level)
    if same and (best is None or _harm(equal, options) < _harm(best.levels, options)):
        # Where savings overlap, the sum that was asked for may have left no room for it.
        found = asked(equal)
        best = found if found.reached <= target else best
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


def _harm(levels: Mapping[str, Level], options: Mapping[str, list[_Option]]) -> float:
    return sum(
        next(option.harm for option in row if option.level == levels[layer])
        for layer, row in options.items()
    )


def _same(options: Mapping[str, list[_Option]], level: Level) -> list[int] | None:
    """Return which option of each row is the common level; None where a row lacks it."""
    levels = [[option.level for option in row] for row in options.values()]
    return [row.index(level) for row in levels] if all(level in row for row in levels) else None


def _options(step: Step, cells: list[Cell], profile: Profile, unit: Unit) -> list[_Option]:
    """Return the levels a row may get; between those that were tried, what lies between."""
    original = _of_original(profile, unit)
    # A variant that is slower than the original, or as fast, gains nothing.
    tried = [_Option(c.level, c.harm.value, max(0.0, original - _of_cell(c, unit))) for c in cells]
    field = overridden(step)
    if not isinstance(field.kind, Range):
        return tried
    known = [_Option(untouched(step), 0.0, 0.0), *tried]
    if not is_gradual(step):
        return known
    known.sort(key=lambda option: float(option.level))
    at = [float(option.level) for option in known]
    stops = [stop for stop in field.kind.stops() if at[0] <= stop <= at[-1]]
    harms = np.interp(stops, at, [option.harm for option in known])
    saved = np.interp(stops, at, [option.saved for option in known])
    return [_Option(*o) for o in zip(stops, harms.tolist(), saved.tolist(), strict=True)]


def _of_original(profile: Profile, unit: Unit) -> float:
    return {"macs": profile.macs, "bytes": profile.bytes, "time": 1.0}[unit]


def _of_cell(cell: Cell, unit: Unit) -> float:
    if unit == "time":
        assert cell.time is not None
        return cell.time.value
    return cell.macs if unit == "macs" else cell.bytes
