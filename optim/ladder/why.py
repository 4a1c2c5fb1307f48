"""Why a step brings no speed-up on a device: what its time is spent on instead, in numbers.

A step is judged by what the recipe would take without it. Time is split by a *clock*, either that
of a device that was probed or the roofline of one of the catalogue, into starting operators,
multiplying, multiplying what only fills blocks of channels, and moving bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from optim.devices.parts import Parts
from optim.devices.profile import Runtime
from optim.ladder.clock import Clock, split
from optim.ladder.footprint import Footprint
from optim.ladder.reasons import REASONS, Compared, Reason, reasons_for

__all__ = ["Effect", "LayerTime", "effect_of", "layer_times"]

_GAIN = 1.05
"""Speed-up from which on a step brings something."""


@dataclass(frozen=True)
class LayerTime:
    """One layer without and with a step.

    Attributes:
        layer: Its name, or that of the operator where none owns it.
        kind: Of its largest operator, see ``KINDS``.
        before_ms: Time without the step; 0 where the layer was not there.
        after_ms: Time with it.
        macs_before: Multiply-accumulates without it.
        macs_after: With it.
    """

    layer: str
    kind: str
    before_ms: float
    after_ms: float
    macs_before: int
    macs_after: int


@dataclass(frozen=True)
class Effect:
    """What a step does to the time of an inference on one device.

    Attributes:
        before_ms: Time of the recipe without the step.
        after_ms: Time of the whole recipe.
        touched: Share of the time before in operators that the step changes, in 0..1.
        reasons: Why it is no faster, the weightiest first; empty if nothing is worth telling.
        layers: Every layer without and with the step.
        parts: What the time is spent on with the step.
    """

    before_ms: float
    after_ms: float
    touched: float
    reasons: tuple[Reason, ...] = ()
    layers: tuple[LayerTime, ...] = ()
    parts: Parts = field(default_factory=Parts)

    @property
    def speedup(self) -> float:
        """Time before over time after."""
        return self.before_ms / self.after_ms if self.after_ms else 1.0

    @property
    def bound(self) -> float:
        """Speed-up if what the step changes took no time at all (Amdahl, 1967)."""
        return 1.0 / (1.0 - self.touched) if self.touched < 1.0 else float("inf")

    @property
    def brings_speed(self) -> bool:
        """Whether it is faster beyond what anybody would notice."""
        return self.speedup >= _GAIN

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "before_ms": self.before_ms,
            "after_ms": self.after_ms,
            "speedup": self.speedup,
            "touched": self.touched,
            "bound": self.bound if self.touched < 1.0 else None,
            "brings_speed": self.brings_speed,
            "reasons": [
                {
                    "code": r.code,
                    "title": REASONS[r.code],
                    "text": r.text,
                    "share": r.share,
                    "layers": list(r.layers),
                }
                for r in self.reasons
            ],
            "layers": [vars(layer) for layer in self.layers],
            "parts": vars(self.parts),
        }


def effect_of(before: Footprint, after: Footprint, clock: Clock, runtime: Runtime) -> Effect:
    """Return what a step does to the time of an inference, and why it is no more.

    Args:
        before: The recipe without the step.
        after: The whole recipe.
        clock: Splits time on the device.
        runtime: What the runtime there has kernels for.
    """
    parts = split(after, clock)
    before_ms = split(before, clock).total
    layers = layer_times(before, after, clock)
    changed = _changed(before, after)
    touched = sum(clock.split(o).total for o in before.operators if o.owner in changed)
    return Effect(
        before_ms,
        parts.total,
        touched / before_ms if before_ms else 0.0,
        reasons_for(Compared(before, after, clock, runtime, parts, frozenset(changed))),
        layers,
        parts,
    )


def layer_times(before: Footprint, after: Footprint, clock: Clock) -> tuple[LayerTime, ...]:
    """Return the time of every layer in two versions of a network, in order."""
    found: dict[str, list[Any]] = {}
    for index, footprint in enumerate((before, after)):
        for operator in footprint.operators:
            if operator.is_free:
                continue
            row = found.setdefault(operator.owner, ["", 0.0, 0.0, 0, 0])
            row[0] = operator.kind if operator.macs or not row[0] else row[0]
            row[1 + index] += clock.split(operator).total
            row[3 + index] += operator.macs
    return tuple(LayerTime(layer, *row) for layer, row in found.items())


def _changed(before: Footprint, after: Footprint) -> set[str]:
    """Return the layers and other operators that differ between two versions."""

    def looks(footprint: Footprint) -> dict[str, list[tuple[Any, ...]]]:
        found: dict[str, list[tuple[Any, ...]]] = {}
        for o in footprint.operators:
            look = (o.kind, o.dtype, o.inputs, o.outputs, o.rows, o.macs)
            found.setdefault(o.owner, []).append(look)
        return found

    was, now = looks(before), looks(after)
    names = {name for name in was.keys() | now.keys() if was.get(name) != now.get(name)}
    names |= {
        name
        for name in after.zeros.keys() | before.zeros.keys()
        if after.zeros.get(name, 0.0) != before.zeros.get(name, 0.0)
    }
    return names | {
        name
        for name in after.weight_bits.keys() | before.weight_bits.keys()
        if after.weight_bits.get(name) != before.weight_bits.get(name)
    }
