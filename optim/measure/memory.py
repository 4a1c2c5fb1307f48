"""Memory for activations: what a static allocator needs, by a schedule of what lives when.

Every value lives from the kernel that writes it to the last that reads it. Where a kernel has read
the numbers of a place before it writes there (activation functions, sums), its result takes the
place of an input that nobody reads any more. Two figures follow:

* the *peak*, the largest sum of what lives at one time: no allocator needs less in this order;
* the *arena*, the memory in which every value has a fixed offset. Offsets are found greedily, the
  largest value first, each at the lowest place that is free while it lives. This is what a
  microcontroller reserves.

Both are counts from the graph, not from a device: code, stack and scratch memory of kernels are not
in them.

References:
    Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020,
    arXiv:2001.03288 (greedy by size)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optim.graph.dataflow import Dataflow, Kernel
from optim.models.bundle import ModelBundle
from optim.quantity import How, Quantity
from optim.runtime.deployed import deployed_dataflow

__all__ = ["ActivationMemory", "Placed", "activation_memory", "schedule_memory"]

_ALIGNMENT = 16
"""Bytes at whose multiples values begin, as in TensorFlow Lite Micro."""


@dataclass(frozen=True)
class Placed:
    """One stretch of memory and the values that stand there one after another.

    Attributes:
        values: Names of the stored values, each of which takes the place of the one before.
        bytes: Its size.
        first: Step that writes it first; 0 for what is given.
        last: Last step that needs it.
        offset: Where it begins in the arena, in bytes.
    """

    values: tuple[str, ...]
    bytes: int
    first: int
    last: int
    offset: int = 0

    def meets(self, other: Placed) -> bool:
        """Whether both are needed at one time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class ActivationMemory:
    """What the activations of one inference need.

    Attributes:
        peak: Largest sum of the values that live at one time, in bytes.
        arena: Size of the memory in which all have fixed offsets, in bytes.
        total: Sum of all values, in bytes: what is needed where nothing is reused.
        at: Name of the kernel at the peak.
        live: ``(kernel, bytes that live while it runs)``, in order.
        placed: Where everything stands.
    """

    peak: Quantity
    arena: Quantity
    total: Quantity
    at: str
    live: tuple[tuple[str, int], ...]
    placed: tuple[Placed, ...]

    @property
    def offsets(self) -> dict[str, int]:
        """Return ``{stored value: offset in the arena}``."""
        return {name: place.offset for place in self.placed for name in place.values}

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys."""
        return {
            "peak": self.peak.to_json(),
            "arena": self.arena.to_json(),
            "total": self.total.to_json(),
            "at": self.at,
            "live": [{"kernel": kernel, "bytes": count} for kernel, count in self.live],
        }


def activation_memory(bundle: ModelBundle) -> ActivationMemory:
    """Return the memory that one inference of a deployed model needs for its activations.

    Quantized values count at the width they are stored in, others as float32. One inference takes
    one sample, or as many as a file is fixed to.

    Raises:
        UnsupportedModelError: If the size of a value is not known before it is computed.
    """
    return schedule_memory(deployed_dataflow(bundle))


def schedule_memory(flow: Dataflow) -> ActivationMemory:
    """Return the memory that kernels need in the order in which they stand."""
    placed = _assigned(_lifetimes(flow))
    live = tuple(
        (kernel.name, sum(p.bytes for p in placed if p.first <= step <= p.last))
        for step, kernel in enumerate(flow.kernels)
    )
    given = sum(flow.values[name].bytes for name in set(flow.inputs))
    at, peak = max(live, key=lambda item: item[1], default=("", given))
    arena = max((p.offset + p.bytes for p in placed), default=0)

    def counted(count: int) -> Quantity:
        return Quantity.exact(count, "bytes", How.ESTIMATED)

    return ActivationMemory(
        peak=counted(peak),
        arena=counted(arena),
        total=counted(sum(value.bytes for value in flow.values.values())),
        at=at,
        live=live,
        placed=placed,
    )


def _lifetimes(flow: Dataflow) -> list[Placed]:
    """Return every stretch of memory with the steps during which it is needed."""
    last: dict[str, int] = dict.fromkeys(flow.inputs, 0)
    for step, kernel in enumerate(flow.kernels):
        last.update(dict.fromkeys((*kernel.inputs, *kernel.outputs), step))
    last.update(dict.fromkeys(flow.outputs, max(0, len(flow.kernels) - 1)))
    places: list[Placed] = []
    stands: dict[str, int] = {}

    def take(name: str, step: int, place: int | None = None) -> None:
        size = flow.values[name].bytes
        if place is None:
            place = len(places)
            places.append(Placed((name,), size, step, last[name]))
        else:
            known = places[place]
            places[place] = Placed((*known.values, name), known.bytes, known.first, last[name])
        stands[name] = place

    for name in dict.fromkeys(flow.inputs):
        take(name, 0)
    for step, kernel in enumerate(flow.kernels):
        for name in kernel.outputs:
            source = _replaceable(flow, kernel, name, step, last)
            take(name, step, stands[source] if source else None)
    return places


def _replaceable(
    flow: Dataflow, kernel: Kernel, output: str, step: int, last: Mapping[str, int]
) -> str:
    """Return the input whose place a result can take; empty if there is none."""
    if not kernel.is_elementwise or len(kernel.outputs) != 1:
        return ""
    result = flow.values[output]
    for name in kernel.inputs:
        value = flow.values[name]
        fits = (value.bytes, value.width) == (result.bytes, result.width)
        if fits and last[name] == step and name not in flow.outputs:
            return name
    return ""


def _assigned(places: list[Placed]) -> tuple[Placed, ...]:
    """Give every stretch an offset: the largest first, at the lowest place free while it lives."""
    done: list[Placed] = []
    for place in sorted(places, key=lambda p: (-p.bytes, p.first)):
        offset = 0
        for other in sorted((p for p in done if p.meets(place)), key=lambda p: p.offset):
            if offset + place.bytes <= other.offset:
                break
            offset = max(offset, _aligned(other.offset + other.bytes))
        done.append(Placed(place.values, place.bytes, place.first, place.last, offset))
    return tuple(sorted(done, key=lambda p: (p.first, p.offset)))


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
