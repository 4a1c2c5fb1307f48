"""Why time did not fall further: every reason there is, found and told in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optim.devices.operators import KINDS, Operator
from optim.devices.parts import Parts, precision_of, skips_zeros
from optim.devices.profile import Runtime
from optim.ladder.clock import Clock, split
from optim.ladder.footprint import Footprint

__all__ = ["REASONS", "Compared", "Reason", "reasons_for"]

REASONS: Mapping[str, str] = {
    "zeros": "Zeros are multiplied like other weights",
    "bits": "No kernel multiplies so few bits",
    "floats": "Part of the network stays in floating point",
    "no_kernel": "The runtime has no such kernels",
    "conversions": "Values are converted to and fro",
    "depthwise": "Depthwise convolutions do not gain",
    "padding": "Channels do not fill the kernel's blocks",
    "overhead": "Starting operators takes time, whatever their size",
    "memory": "Bytes are waited for, not multiplications",
    "untouched": "Other layers take the time",
}
"""Every reason and its heading."""

_WORTH = 0.05
"""Share of the time from which on a reason is told."""
_NAMED = 4
"""Layers that a sentence names."""


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
class Compared:
    """A network without a step and with it, on one device.

    Attributes:
        before: The recipe without the step.
        after: The whole recipe.
        clock: Splits time on the device.
        runtime: What the runtime there has kernels for.
        parts: What an inference with the step is spent on.
        changed: Layers and other operators that the step changes.
    """

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


def _zeros(c: Compared) -> Iterable[Reason]:
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


def _bits(c: Compared) -> Iterable[Reason]:
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


def _floats(c: Compared) -> Iterable[Reason]:
    """Operators that stay in floating point in a quantized network."""
    if not c.quantizes:
        return
    floats = [
        o for o in c.after.operators if o.dtype != "int8" and o.kind != "convert" and not o.is_free
    ]
    multiplied = [o for o in floats if o.macs]
    if floats:
        names = list(dict.fromkeys(map(_called, multiplied or floats)))
        kinds = list(dict.fromkeys(KINDS[o.kind] for o in multiplied or floats))
        yield Reason(
            "floats",
            f"{len(floats)} of {_working(c.after)} operators still compute in floating point "
            f"({_listed(kinds)}: {_listed(names)}): {_percent(c.share(floats))} of the time that "
            "is left.",
            c.share(floats),
            tuple(names),
        )


def _no_kernel(c: Compared) -> Iterable[Reason]:
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
            tuple(dict.fromkeys(o.owner for o in missing)),
        )


def _conversions(c: Compared) -> Iterable[Reason]:
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


def _depthwise(c: Compared) -> Iterable[Reason]:
    """Depthwise convolutions that are no faster than before."""
    was = {o.owner: c.clock.split(o).total for o in c.before.operators if o.kind == "depthwise"}
    slow = [
        o
        for o in c.after.operators
        if o.kind == "depthwise"
        and o.owner in c.changed
        and c.clock.split(o).total > 0.95 * was.get(o.owner, float("inf"))
    ]
    if slow:
        before = sum(was[o.owner] for o in slow)
        after = sum(c.clock.split(o).total for o in slow)
        yield Reason(
            "depthwise",
            f"{_counted(slow, 'depthwise convolution')}: {_ms(after)}, {_ms(before)} without the "
            "step. Each channel is used once: there is little to multiply for what is moved.",
            c.share(slow),
            tuple(o.owner for o in slow),
        )


def _padding(c: Compared) -> Iterable[Reason]:
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
            "removing channels within a block saves nothing, and can even cost time.",
            share,
            tuple(dict.fromkeys(o.owner for o in widest)),
        )


def _overhead(c: Compared) -> Iterable[Reason]:
    """Time that no operator's size changes."""
    if not (c.shrinks or c.quantizes or c.skips):
        return
    share = c.parts.overhead / (c.parts.total or 1.0)
    count = _working(c.after)
    yield Reason(
        "overhead",
        f"Calling the runtime and starting {count} operators takes {_ms(c.parts.overhead)}, "
        f"{_percent(share)} of what is left; without the step it takes "
        f"{_ms(split(c.before, c.clock).overhead)}.",
        share,
    )


def _memory(c: Compared) -> Iterable[Reason]:
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


def _untouched(c: Compared) -> Iterable[Reason]:
    """Layers that the step leaves as they are."""
    if not c.changed:
        return
    same = [o for o in c.after.operators if o.owner not in c.changed and not o.is_free]
    heavy = sorted(same, key=lambda o: -c.clock.split(o).total)[:_NAMED]
    if same:
        named = [f"{_called(o)} ({_percent(c.share([o]))})" for o in heavy]
        yield Reason(
            "untouched",
            f"The step changes nothing in {_listed(named)}: {_percent(c.share(same))} of the time "
            "that is left is in such operators.",
            c.share(same),
            tuple(o.owner for o in same),
        )


_FINDERS: Sequence[Callable[[Compared], Iterable[Reason]]] = (
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


def reasons_for(compared: Compared) -> tuple[Reason, ...]:
    """Return why time did not fall further, the weightiest reason first."""
    found = [reason for find in _FINDERS for reason in find(compared)]
    found = [reason for reason in found if reason.share >= _WORTH or reason.code in _TOLD]
    return tuple(sorted(found, key=lambda reason: -reason.share))


# --- words --------------------------------------------------------------------------------------


def _working(footprint: Footprint) -> int:
    return sum(not o.is_free for o in footprint.operators)


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


def _called(operator: Operator) -> str:
    """Return the name of an operator's layer, or what it does: its own name says little."""
    return operator.layer or KINDS[operator.kind]


def _counted(things: Sequence[Any], word: str) -> str:
    return f"{len(things)} {word}{'s' if len(things) != 1 else ''}"


def _either(values: Sequence[Any]) -> str:
    return " or ".join(map(str, values))
