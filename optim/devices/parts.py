"""What the time of an operator consists of on a device of the catalogue.

An operator takes a fixed time to start, and then as long as the slower of multiplying at the peak
rate and of moving its bytes at the peak bandwidth needs (Williams et al., 2009). Channels that do
not fill the kernel's block are multiplied as zeros. No device reaches its peaks: the parts say what
limits a network, not how long it takes; that is what :mod:`optim.devices.predict` is for.

References:
    Williams, Waterman and Patterson, Roofline: An Insightful Visual Performance Model for Multicore
    Architectures, 2009, doi:10.1145/1498765.1498785
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from optim.devices import fabric
from optim.devices.operators import Operator
from optim.devices.profile import DeviceProfile, Precision, Runtime

__all__ = ["Parts", "Roofline", "precision_of", "skips_zeros"]

_OVERHEAD_US = {"gpu": 5.0, "tpu": 5.0, "npu": 10.0, "cpu": 1.0, "sbc": 2.0, "fpga": 1.0}
"""Typical time to start an operator where a device's own is not known (kernel launches of CUDA take
about 5 us; operators of ONNX Runtime on a server about 1 us). Decides what is named the limit."""
_OVERHEAD_CYCLES = 2000.0
"""The same for an interpreter on a microcontroller, in cycles."""
_OVERHEAD_DOUBT = 3.0
"""A typical time to start an operator is off by this factor, either way."""
_MACS_A_CYCLE = {"mcu": 2, "sbc": 64, "cpu": 1024}
"""MACs that no core does more of in a cycle, by class, where no peak rate is given: the DSP
instructions of a Cortex-M (wider units are given as a peak rate), two products of matrices of bytes
of a Cortex-A, the tile unit of a Xeon (AMX). Clocks that are raised for a while lie within them."""


@dataclass(frozen=True)
class Parts:
    """Milliseconds of an operator by what they are spent on.

    Attributes:
        overhead: Starting it.
        compute: Multiplying what the model has.
        padding: Multiplying zeros that fill blocks of channels.
        memory: Waiting for bytes beyond the time of multiplying.
    """

    overhead: float = 0.0
    compute: float = 0.0
    padding: float = 0.0
    memory: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.overhead + self.compute + self.padding + self.memory

    def __add__(self, other: Parts) -> Parts:
        return Parts(
            self.overhead + other.overhead,
            self.compute + other.compute,
            self.padding + other.padding,
            self.memory + other.memory,
        )

    def scaled(self, factor: float) -> Parts:
        """Return all parts times a factor."""
        return Parts(
            factor * self.overhead,
            factor * self.compute,
            factor * self.padding,
            factor * self.memory,
        )


_FALLBACK: dict[Precision, tuple[Precision, ...]] = {
    "fp32": ("fp32", "fp16", "bf16"),
    "fp16": ("fp16", "bf16", "fp32"),
    "int8": ("int8",),
}
"""What an operator may be computed with instead, nearest first; whole numbers become no floats."""


def precision_of(operator: Operator, runtime: Runtime) -> Precision | None:
    """Return what a runtime computes an operator with; None if it has no kernel for it."""
    wanted = cast("Precision", {"float32": "fp32", "float16": "fp16"}.get(operator.dtype, "int8"))
    return next((p for p in _FALLBACK[wanted] if p in runtime.precisions), None)


def skips_zeros(operator: Operator, runtime: Runtime) -> bool:
    """Return whether a runtime multiplies half of an operator's weights: sparse units take 2:4.

    They compute no fp32.
    """
    precision = precision_of(operator, runtime)
    return operator.two_of_four and runtime.sparsity == "2:4" and precision not in (None, "fp32")


class Roofline:
    """Splits the time of operators on one device and runtime.

    Args:
        profile: The device.
        runtime: One of its runtimes.
    """

    def __init__(self, profile: DeviceProfile, runtime: Runtime) -> None:
        self.profile, self.runtime = profile, runtime
        self._overhead_ms = _overhead_us(profile) / 1e3

    @property
    def overhead_ms(self) -> float:
        """Time of an empty inference: that of starting one operator."""
        return self._overhead_ms

    @property
    def overhead_doubt(self) -> float:
        """Factor that the time of starting an operator is off by, either way; 1 if it is known."""
        return 1.0 if self.profile.overhead_us is not None else _OVERHEAD_DOUBT

    @property
    def most_macs_per_ms(self) -> float | None:
        """A rate that no core of the class exceeds; None where clock or class say nothing of it."""
        device_class = self.profile.device_class
        most = _MACS_A_CYCLE.get(device_class, _MACS_A_CYCLE.get(device_class.rpartition("_")[2]))
        if most is None or self.profile.clock_mhz is None:
            return None
        return most * (self.profile.cores or 1) * self.profile.clock_mhz * 1e3

    def unknown_rates(self, operators: Iterable[Operator]) -> tuple[Precision, ...]:
        """Return precisions that operators multiply with and no rate is known of.

        The device's highest rate stands in, so that nothing can be said about what they gain.
        """
        used = (
            precision_of(o, self.runtime)
            for o in operators
            if o.macs and self._fabric_rate(o) is None
        )
        return tuple(sorted({p for p in used if p and p not in self.profile.peak_tops}))

    def split(self, operator: Operator) -> Parts:
        """Return the parts of an operator; what another operator does takes nothing."""
        if operator.is_free:
            return Parts()
        multiple = self.runtime.channel_multiple
        padded = _filled(operator.outputs, multiple)
        if operator.groups == 1:
            padded *= _filled(operator.inputs, multiple)
        compute = self._compute_ms(operator)
        bandwidth = self.profile.bandwidth_gb_s
        moving = self.moved_bytes(operator) / (bandwidth * 1e6) if bandwidth else 0.0
        return Parts(
            self._overhead_ms,
            compute,
            compute * (padded - 1.0),
            max(0.0, moving - compute * padded),
        )

    def _compute_ms(self, operator: Operator) -> float:
        precision = precision_of(operator, self.runtime)
        if (macs_per_s := self._fabric_rate(operator)) is not None:
            return 1e3 * operator.macs / macs_per_s
        known = self.profile.peak_tops
        rate = known.get(precision) if precision else None
        rate = rate or max(known.values(), default=None)
        macs = operator.macs / 2 if skips_zeros(operator, self.runtime) else operator.macs
        return macs / (rate * 1e9 / 2) if rate else 0.0

    def moved_bytes(self, operator: Operator) -> float:
        """Return all bytes that are read or written, as narrow as the runtime holds values."""
        if not (self.runtime.arbitrary_bits and operator.bits and operator.dtype == "int8"):
            return operator.moved_bytes
        weight_bits, activation_bits = operator.bits
        activations = operator.read_bytes + operator.written_bytes
        return (operator.weight_bytes * weight_bits + activations * activation_bits) / 8

    def _fabric_rate(self, operator: Operator) -> float | None:
        """Return the MACs per second of logic that is built for an operator's bits."""
        if not self.runtime.arbitrary_bits:
            return None
        return fabric.macs_per_s(self.profile, *(operator.bits or (8, 8)))


def _overhead_us(profile: DeviceProfile) -> float:
    if profile.overhead_us is not None:
        return profile.overhead_us
    if profile.device_class.startswith("mcu"):
        return _OVERHEAD_CYCLES / (profile.clock_mhz or 100.0)
    kind = profile.device_class.rpartition("_")[2]
    return _OVERHEAD_US.get(kind, 2.0)


def _filled(channels: int, multiple: int) -> float:
    """Return by how much a number of channels grows when it fills whole blocks."""
    return -(-channels // multiple) * multiple / channels
