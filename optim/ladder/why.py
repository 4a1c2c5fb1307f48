"""Why a step brings no speed-up on a device: what its time is spent on instead, in numbers.

A step is judged by what the recipe would take without it. Time is split by a *clock*, either that
of a device that was probed or the roofline of one of the catalogue, into starting operators,
multiplying, multiplying what only fills blocks of channels, and moving bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from optim.devices.operators import KINDS, Operator
from optim.devices.parts import Parts, precision_of, skips_zeros
from optim.devices.profile import Runtime
from optim.ladder.footprint import Footprint

__all__ = ["REASONS", "Clock", "Effect", "LayerTime", "Reason", "effect_of", "layer_times", "split"]

REASONS: Mapping[str, str] = {
    "zeros": "Zeros are multiplied like other weights",
    "bits": "No kernel multiplies so few bits",
    "floats": "Part of the network stays in floating point",
    "no_kernel": "The runtime has no such kernels",
    "conversions": "Values are converted to and fro",
    "depthwise": "Depthwise convolutions do not gain",
    "padding": "Channels do not fill the kernel's blocks",
    "overhead": "Starting operators takes as long as before",
    "memory": "Bytes are waited for, not multiplications",
    "untouched": "Other layers take the time",
}
"""Every reason and its heading."""

_WORTH = 0.05
"""Share of the time from which on a reason is told."""
_GAIN = 1.05
"""Speed-up from which on a step brings something."""
_NAMED = 4
"""Layers that a sentence names."""


class Clock(Protocol):
    """Splits the time of operators on one device."""

    @property
    def overhead_ms(self) -> float:
        """Time of an empty inference."""
        ...

    def split(self, operator: Operator) -> Parts:
        """Return the parts of an operator's time."""
        ...


@dataclass(frozen=True)
class Reason:
    """Why time did not fall.

    Attributes:
        code: A key of ``REASONS``.
        text: A sentence with the numbers.
        share: Of the time that is left, in 0..1.
        layers: Layers it holds for; all if empty.
    """

    code: str
    text: str
    share: float
    layers: tuple[str, ...] = ()


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


def split(footprint: Footprint, clock: Clock) -> Parts:
    """Return what an inference is spent on."""
    total = Parts(overhead=clock.overhead_ms)
    for operator in footprint.operators:
        total += clock.split(operator)
    return total


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
    touched = sum(clock.split(o).total for o in before.operators if _owner(o) in changed)
    context = _Context(before, after, clock, runtime, parts, frozenset(changed))
    reasons = [reason for find in _FINDERS for reason in find(context)]
    reasons = [reason for reason in reasons if reason.share >= _WORTH or reason.code in _TOLD]
    return Effect(
        before_ms,
        parts.total,
        touched / before_ms if before_ms else 0.0,
        tuple(sorted(reasons, key=lambda reason: -reason.share)),
        layers,
        parts,
    )


def layer_times(before: Footprint, after: Footprint, clock: Clock) -> tuple[LayerTime, ...]:
    """Return the time of every layer in two versions of a network, in order."""
    found: dict[str, list[Any]] = {}
    for index, footprint in enumerate((before, after)):
        for operator in footprint.operators:
            if operator.fused or operator.kind == "view":
                continue
            row = found.setdefault(_owner(operator), ["", 0.0, 0.0, 0, 0])
            row[0] = operator.kind if operator.macs or not row[0] else row[0]
            row[1 + index] += clock.split(operator).total
            row[3 + index] += operator.macs
    return tuple(LayerTime(layer, *row) for layer, row in found.items())


def _owner(operator: Operator) -> str:
    return operator.layer or operator.name


def _changed(before: Footprint, after: Footprint) -> set[str]:
    """Return the layers and other operators that differ between two versions."""

    def looks(footprint: Footprint) -> dict[str, list[tuple[Any, ...]]]:
        found: dict[str, list[tuple[Any, ...]]] = {}
        for o in footprint.operators:
            look = (o.kind, o.dtype, o.inputs, o.outputs, o.rows, o.macs)
            found.setdefault(_owner(o), []).append(look)
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


# --- reasons ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Context:
    before: Footprint
    after: Footprint
    clock: Clock
    runtime: Runtime
    parts: Parts
    changed: frozenset[str]

    def share(self, operators: Iterable[Operator]) -> float:
        """Share of the time that is left in some operators."""
        total = self.parts.total
        return sum(self.clock.split(o).total for o in operators) / total if total else 0.0

    @property
    def shrinks(self) -> bool:
        """Whether the step leaves fewer multiplications."""
        return self.after.macs < self.before.macs

    @property
    def more_zeros(self) -> frozenset[str]:
        """Layers in which the step leaves more zeros."""
        was = self.before.zeros
        return frozenset(n for n, share in self.after.zeros.items() if share > was.get(n, 0.0))

    @property
    def skips(self) -> bool:
        """Whether the step leaves zeros that the runtime skips."""
        more = self.more_zeros
        return any(o.layer in more and skips_zeros(o, self.runtime) for o in self.after.operators)

    @property
    def quantizes(self) -> bool:
        """Whether the step gives weights fewer bits."""
        return any(
            bits < self.before.weight_bits.get(name, 32)
            for name, bits in self.after.weight_bits.items()
        )


def _zeros(c: _Context) -> Iterable[Reason]:
    """Zeros that a dense kernel multiplies like everything else."""
    more = c.more_zeros
    owned = [o for o in c.after.operators if o.layer in more and not skips_zeros(o, c.runtime)]
    layers = list(dict.fromkeys(o.layer for o in owned))
    if not layers:
        return
    macs = sum(o.macs for o in owned)
    zeros = _mean([c.after.zeros[name] for name in layers])
    text = (
        f"{_percent(zeros)} of the weights in {_layers(layers)} are zero, and {c.runtime.name} "
        f"multiplies them all: {_count(macs)} MACs without the step and with it."
    )
    if c.runtime.sparsity == "2:4":
        text += (
            " It skips zeros only where two of every four weights are zero (2:4) and fewer than 32 "
            "bits are multiplied."
        )
    else:
        text += " Only whole channels that are removed save time here."
    yield Reason("zeros", text, c.share(owned), tuple(layers))


def _bits(c: _Context) -> Iterable[Reason]:
    """Weights of fewer bits than any kernel multiplies."""
    if not c.quantizes:
        return
    narrow = {
        name: bits
        for name, bits in c.after.weight_bits.items()
        if bits < 8 and bits < c.before.weight_bits.get(name, 32)
    }
    owned = [o for o in c.after.operators if o.layer in narrow]
    if owned:
        bits = sorted(set(narrow.values()))
        as_ = "int8" if all(o.dtype == "int8" for o in owned) else "floating point"
        rest = (
            f"{c.runtime.name} has no kernel for fewer bits. The file is smaller; an inference "
            "takes as long as with 8."
        )
        if "w4" in c.runtime.precisions:
            rest = (
                f"so this estimate takes it. {c.runtime.name} has kernels for narrow weights, and "
                "what they save is not in the estimate."
            )
        yield Reason(
            "bits",
            f"Weights of {_either(bits)} bits in {_layers(list(narrow))} are widened to {as_} "
            f"before they are multiplied: {rest}",
            c.share(owned),
            tuple(narrow),
        )


def _floats(c: _Context) -> Iterable[Reason]:
    """Operators that stay in floating point in a quantized network."""
    if not c.quantizes:
        return
    floats = [
        o
        for o in c.after.operators
        if o.dtype != "int8" and o.kind not in ("view", "convert") and not o.fused
    ]
    multiplied = [o for o in floats if o.macs]
    if floats:
        names = list(dict.fromkeys(_owner(o) for o in multiplied or floats))
        kinds = list(dict.fromkeys(KINDS[o.kind] for o in multiplied or floats))
        yield Reason(
            "floats",
            f"{len(floats)} of {_working(c.after)} operators still compute in floating point "
            f"({_listed(kinds)}: {_listed(names)}): {_percent(c.share(floats))} of the time that "
            "is left.",
            c.share(floats),
            tuple(names),
        )


def _no_kernel(c: _Context) -> Iterable[Reason]:
    """Operators that the runtime cannot compute as they are."""
    missing = [o for o in c.after.operators if o.macs and precision_of(o, c.runtime) is None]
    if missing:
        wanted = sorted({o.dtype for o in missing})
        yield Reason(
            "no_kernel",
            f"{c.runtime.name} computes {_listed(list(c.runtime.precisions))} here, and "
            f"{_counted(missing, 'operator')} would need {_either(wanted)}: refused, or left to "
            "something slower.",
            c.share(missing),
            tuple(dict.fromkeys(_owner(o) for o in missing)),
        )


def _conversions(c: _Context) -> Iterable[Reason]:
    """Conversions between floats and whole numbers that were not there before."""
    before = sum(o.kind == "convert" for o in c.before.operators)
    now = [o for o in c.after.operators if o.kind == "convert"]
    if len(now) > before:
        yield Reason(
            "conversions",
            f"{_counted(now, 'conversion')} between floats and whole numbers: "
            f"{_percent(c.share(now))} of the time that is left; {before} without the step.",
            c.share(now),
        )


def _depthwise(c: _Context) -> Iterable[Reason]:
    """Depthwise convolutions that are no faster than before."""
    was = {_owner(o): c.clock.split(o).total for o in c.before.operators if o.kind == "depthwise"}
    slow = [
        o
        for o in c.after.operators
        if o.kind == "depthwise"
        and _owner(o) in c.changed
        and c.clock.split(o).total > 0.95 * was.get(_owner(o), float("inf"))
    ]
    if slow:
        before = sum(was[_owner(o)] for o in slow)
        after = sum(c.clock.split(o).total for o in slow)
        yield Reason(
            "depthwise",
            f"{_counted(slow, 'depthwise convolution')}: {_ms(after)}, {_ms(before)} without the "
            "step. Each channel is used once: there is little to multiply for what is moved.",
            c.share(slow),
            tuple(_owner(o) for o in slow),
        )


def _padding(c: _Context) -> Iterable[Reason]:
    """Multiplications that only fill blocks of channels."""
    if not c.shrinks:
        return
    padded = [o for o in c.after.operators if c.clock.split(o).padding > 0 and o.macs]
    share = sum(c.clock.split(o).padding for o in padded) / (c.parts.total or 1.0)
    if padded:
        widest = sorted(padded, key=lambda o: -c.clock.split(o).padding)
        widths = list(dict.fromkeys(str(o.outputs) for o in widest))
        yield Reason(
            "padding",
            f"Layers are {_listed(widths)} channels wide. Kernels take whole blocks, so that "
            f"{_percent(share)} of the time that is left multiplies what only fills the last one: "
            "removing channels within a block saves nothing.",
            share,
            tuple(dict.fromkeys(_owner(o) for o in widest)),
        )


def _overhead(c: _Context) -> Iterable[Reason]:
    """Time that no operator's size changes."""
    if not (c.shrinks or c.quantizes or c.skips):
        return
    share = c.parts.overhead / (c.parts.total or 1.0)
    count = _working(c.after)
    yield Reason(
        "overhead",
        f"Calling the runtime and starting {count} operators takes {_ms(c.parts.overhead)}, "
        f"{_percent(share)} of what is left, whatever their size; without the step it takes "
        f"{_ms(split(c.before, c.clock).overhead)}.",
        share,
    )


def _memory(c: _Context) -> Iterable[Reason]:
    """Time in which bytes are waited for."""
    if not c.shrinks:
        return
    share = c.parts.memory / (c.parts.total or 1.0)
    was = split(c.before, c.clock).memory
    if c.parts.memory > 0.8 * was * c.after.macs / max(c.before.macs, 1):
        yield Reason(
            "memory",
            f"{_percent(share)} of what is left is spent on moving bytes, {_ms(c.parts.memory)} "
            f"against {_ms(was)} without the step: they fall with the width of a layer, and "
            "multiplications with its square.",
            share,
        )


def _untouched(c: _Context) -> Iterable[Reason]:
    """Layers that the step leaves as they are."""
    if not c.changed:
        return
    same = [
        o
        for o in c.after.operators
        if _owner(o) not in c.changed and not o.fused and o.kind != "view"
    ]
    heavy = sorted(same, key=lambda o: -c.clock.split(o).total)[:_NAMED]
    if same:
        named = [f"{_owner(o)} ({_percent(c.share([o]))})" for o in heavy]
        yield Reason(
            "untouched",
            f"The step changes nothing in {_listed(named)}: {_percent(c.share(same))} of the time "
            "that is left is in such operators.",
            c.share(same),
            tuple(_owner(o) for o in same),
        )


_FINDERS: Sequence[Callable[[_Context], Iterable[Reason]]] = (
    _zeros,
    _bits,
    _floats,
    _no_kernel,
    _conversions,
    _depthwise,
    _padding,
    _overhead,
    _memory,
    _untouched,
)
_TOLD = frozenset({"no_kernel", "zeros"})
"""Told however little time they take."""


# --- words --------------------------------------------------------------------------------------


def _working(footprint: Footprint) -> int:
    return sum(not o.fused and o.kind != "view" for o in footprint.operators)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _ms(value: float) -> str:
    return f"{value:.2g} ms" if value >= 1 else f"{1000 * value:.3g} µs"


def _count(macs: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if macs >= size:
            return f"{macs / size:.3g} {letter}"
    return str(macs)


def _listed(names: Sequence[Any]) -> str:
    """Return names as words; the last ones are counted where there are many."""
    texts = [str(name) for name in names]
    if len(texts) > _NAMED:
        return f"{', '.join(texts[: _NAMED - 1])} and {len(texts) - _NAMED + 1} more"
    return " and ".join([*([", ".join(texts[:-1])] if texts[1:] else []), *texts[-1:]])


def _layers(names: Sequence[str]) -> str:
    return f"{'layer' if len(names) == 1 else 'layers'} {_listed(names)}"


def _counted(things: Sequence[Any], word: str) -> str:
    return f"{len(things)} {word}{'s' if len(things) != 1 else ''}"


def _either(values: Sequence[Any]) -> str:
    return " or ".join(map(str, values))
