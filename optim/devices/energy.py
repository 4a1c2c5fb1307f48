"""Energy of an inference, estimated from operations and bytes, and what follows from it.

Figures of one operation are those of Horowitz at 45 nm and 0.9 V. They are brought to another node
as capacitance times squared voltage. Three things cost energy: the arithmetic of every MAC; the
instructions that bring it about, which one MAC pays alone on a microcontroller and thousands share
on an accelerator; and moving bytes: of weights and activations from the memory that holds them, and
of operands from memory on the chip, as often as they are not reused.

What is assumed of a kind of processor (instructions and reuse) is written in ``_KINDS``. It is
rough, so the interval is wide; ``bench/devices.py`` prints the error on published measurements.

References:
    Horowitz, Computing's Energy Problem, ISSCC 2014, doi:10.1109/ISSCC.2014.6757323.
    Dennard et al., Design of Ion-Implanted MOSFET's, JSSC 1974 (energy as C V^2, C as the node).
    Stillmaker and Baas, Scaling Equations for CMOS from 180 nm to 7 nm, Integration 2017,
    doi:10.1016/j.vlsi.2017.02.002 (why voltages are interpolated rather than scaled).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.devices.profile import DeviceProfile, Precision
from optim.devices.workload import BYTES, Workload
from optim.errors import ConfigError
from optim.quantity import How, Quantity

__all__ = [
    "CARBON_INTENSITY",
    "EnergyEstimate",
    "battery_life",
    "carbon",
    "energy_of",
    "node_factor",
    "nodes",
    "operation_energies",
    "payback",
]

_MAC_PJ = {"fp32": 4.6, "fp16": 1.5, "bf16": 1.5, "fp8": 0.6, "int8": 0.3, "w8a16": 1.5, "w4": 1.5}
"""Multiplication and addition, picojoules at 45 nm. Horowitz gives fp32 (3.7 + 0.9), fp16
(1.1 + 0.4) and int8 (0.2 + 0.1, sums of 32 bits); bf16 is taken as fp16, fp8 lies between, and
weights of fewer bits are widened first."""

_INSTRUCTION_PJ = 70.0
"""Fetching, decoding and controlling one instruction at 45 nm (Horowitz)."""

_SRAM_PJ_PER_BYTE = 20.0 / 8
"""Of a memory of 32 kB on the chip: 20 pJ for 64 bits at 45 nm (Horowitz)."""

_FLASH_PJ_PER_BYTE = 100.0 / 8
"""Of a memory of 1 MB on the chip: 100 pJ for 64 bits at 45 nm (Horowitz)."""

_DRAM_PJ_PER_BYTE = 1950.0 / 8
"""Of memory outside: 1.3 to 2.6 nJ for 64 bits (Horowitz). It does not follow the chip's node."""

_VOLTAGE = {180: 1.8, 130: 1.3, 90: 1.2, 65: 1.1, 45: 0.9, 32: 0.9, 20: 0.85, 14: 0.8, 10: 0.75}
_VOLTAGE |= {7: 0.7, 5: 0.7, 3: 0.65}
"""Supply by node in nanometres: general knowledge of processes, 45 nm as Horowitz."""

_SPREAD = 4.0
"""The interval is from a quarter to four times."""

CARBON_INTENSITY = {
    "world": 480.0,
    "European Union": 240.0,
    "France": 55.0,
    "Germany": 380.0,
    "India": 710.0,
    "United States": 370.0,
}
"""Grams of CO2e of a kilowatt-hour of electricity, rounded means of 2023 (Ember, Global Electricity
Review 2024; general knowledge of it). Networks differ by the hour: state one of your own if known.
"""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is assumed of a kind of processor.

    Attributes:
        instructions: For one MAC.
        reuse: MACs that one operand from memory on the chip serves.
        outside: Whether weights and activations lie outside of the chip.
    """

    instructions: float
    reuse: float
    outside: bool


_MCU = _Kind(instructions=6.0, reuse=2.0, outside=False)
# Fitted to the energies that MLPerf Tiny publishes; regulators and peripherals are thus in it.
_CPU = _Kind(instructions=1 / 4, reuse=8.0, outside=True)
_GPU = _Kind(instructions=1 / 32, reuse=32.0, outside=True)
_NPU = _Kind(instructions=1 / 1024, reuse=128.0, outside=True)
_ON_CHIP = _Kind(instructions=1 / 64, reuse=16.0, outside=False)

_KINDS = {
    "mcu": _MCU,
    "mcu_fpga_softcore": _MCU,
    "mcu_accel": _ON_CHIP,
    "fpga": _ON_CHIP,
    "edge_tpu": _NPU,
    "tpu": _NPU,
}
_SUFFIXES = {"gpu": _GPU, "npu": _NPU}


@dataclass(frozen=True, slots=True)
class EnergyEstimate:
    """Energy of one inference of a batch, in joules.

    Attributes:
        compute: Arithmetic and instructions.
        movement: Bytes between memories and arithmetic.
        total: Both.
    """

    compute: Quantity
    movement: Quantity
    total: Quantity

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as plain data."""
        return {
            "compute": self.compute.to_json(),
            "movement": self.movement.to_json(),
            "total": self.total.to_json(),
        }


def node_factor(process_nm: float) -> float:
    """Return the energy of an operation relative to 45 nm.

    Example:
        >>> node_factor(45)
        1.0
    """
    nodes = sorted(_VOLTAGE)
    volts = np.interp(math.log(process_nm), np.log(nodes), [_VOLTAGE[node] for node in nodes])
    return float(process_nm / 45 * (volts / _VOLTAGE[45]) ** 2)


def operation_energies(process_nm: float = 45) -> dict[str, Quantity]:
    """Return the energy of single operations, and of moving one byte, at a node.

    Args:
        process_nm: Node in nanometres; memory outside of the chip does not follow it.

    Returns:
        ``{what: joules}``, published at 45 nm and estimated elsewhere.

    Example:
        >>> print(operation_energies()["MAC, int8"])
        0.300 pJ
    """
    node = node_factor(process_nm)
    how = How.PUBLISHED if process_nm == 45 else How.ESTIMATED
    found = {
        "MAC, int8": node * _MAC_PJ["int8"],
        "MAC, fp16": node * _MAC_PJ["fp16"],
        "MAC, fp32": node * _MAC_PJ["fp32"],
        "One instruction": node * _INSTRUCTION_PJ,
        "Byte from a small memory on the chip": node * _SRAM_PJ_PER_BYTE,
        "Byte from a large memory on the chip": node * _FLASH_PJ_PER_BYTE,
    }
    joules = {name: Quantity.exact(1e-12 * pj, "j", how) for name, pj in found.items()}
    outside = Quantity.exact(1e-12 * _DRAM_PJ_PER_BYTE, "j", How.PUBLISHED)
    return {**joules, "Byte from memory outside": outside}


def nodes() -> tuple[int, ...]:
    """Return the nodes whose voltage is known, in nanometres, the oldest first."""
    return tuple(sorted(_VOLTAGE, reverse=True))


def energy_of(profile: DeviceProfile, precision: Precision, workload: Workload) -> EnergyEstimate:
    """Estimate the energy of an inference.

    Args:
        profile: The device; its class and process are read.
        precision: How the model is computed.
        workload: MACs, parameters, activations and batch.

    Raises:
        ConfigError: If the device's process or the model's MACs are not known.
    """
    if profile.process_nm is None:
        raise ConfigError(
            f"The energy on {profile.title} cannot be estimated: its process is not known.",
            hint="Give process_nm in a device file of your own.",
        )
    if workload.macs is None:
        raise ConfigError("The energy cannot be estimated without the model's MACs.", field="macs")
    kind = _KINDS.get(
        profile.device_class, _SUFFIXES.get(profile.device_class.split("_")[-1], _CPU)
    )
    node, width = node_factor(profile.process_nm), BYTES[precision]
    macs = workload.batch * workload.macs
    weights = width * (workload.params or 0)
    activations = width * workload.batch * (workload.activations or 0)
    compute = node * macs * (_MAC_PJ[precision] + kind.instructions * _INSTRUCTION_PJ)
    operands = node * 2 * width * macs / kind.reuse * _SRAM_PJ_PER_BYTE
    if kind.outside:
        held = (weights + 2 * activations) * _DRAM_PJ_PER_BYTE
    else:
        held = node * (weights * _FLASH_PJ_PER_BYTE + 2 * activations * _SRAM_PJ_PER_BYTE)
    movement = operands + held
    return EnergyEstimate(*(_joules(pj) for pj in (compute, movement, compute + movement)))


def battery_life(
    energy: Quantity, inferences_per_hour: float, capacity_mwh: float, idle_mw: float = 0.0
) -> Quantity:
    """Return how long a battery lasts, in hours.

    Args:
        energy: Of one inference, in joules.
        inferences_per_hour: How often it is asked.
        capacity_mwh: What the battery gives.
        idle_mw: What the device draws besides.

    Raises:
        ConfigError: If a figure is not positive, or the unit is not joules.
    """
    _check(energy)
    for name, value in (
        ("inferences_per_hour", inferences_per_hour),
        ("capacity_mwh", capacity_mwh),
    ):
        _positive(name, value)
    if not 0 <= idle_mw < math.inf:
        raise ConfigError(f"idle_mw must not be negative: got {idle_mw!r}.", field="idle_mw")

    def hours(joules: float) -> float:
        return capacity_mwh / (joules * inferences_per_hour / 3.6 + idle_mw)

    return Quantity(
        hours(energy.value), "h", hours(energy.high), hours(energy.low), energy.n, energy.how
    )


def carbon(energy: Quantity, grams_per_kwh: float = CARBON_INTENSITY["world"]) -> Quantity:
    """Return grams of CO2e of an energy, at an intensity such as one of ``CARBON_INTENSITY``.

    Raises:
        ConfigError: If the intensity is not positive, or the unit is not joules.
    """
    _check(energy)
    _positive("grams_per_kwh", grams_per_kwh)
    factor = grams_per_kwh / 3.6e6
    ends = (energy.value * factor, "g_co2e", energy.low * factor, energy.high * factor)
    return Quantity(*ends, energy.n, How.ESTIMATED)


def payback(spent: Quantity, before: Quantity, after: Quantity) -> Quantity | None:
    """Return after how many inferences the energy spent on compressing is saved.

    Args:
        spent: On compressing, in joules.
        before: Of one inference of the original, in joules.
        after: Of one inference of the result, on the same device.

    Returns:
        None if nothing is saved. Both energies of an inference err alike, as they come from one
        device and one method: the interval is that of the best and the worst of both.

    Raises:
        ConfigError: If a unit is not joules.
    """
    for one in (spent, before, after):
        _check(one)
    saved = before.value - after.value
    if saved <= 0:
        return None
    ends = [before.low - after.low, before.high - after.high, saved]
    least, most = min(ends), max(ends)
    if least <= 0:
        return None
    how = How.MEASURED if {spent.how, before.how, after.how} == {How.MEASURED} else How.ESTIMATED
    return Quantity(spent.value / saved, "count", spent.low / most, spent.high / least, how=how)


def _joules(picojoules: float) -> Quantity:
    joules = picojoules * 1e-12
    return Quantity(joules, "j", joules / _SPREAD, joules * _SPREAD, how=How.ESTIMATED)


def _check(energy: Quantity) -> None:
    if energy.unit != "j" or not energy.low > 0:
        raise ConfigError(f"An energy must be above 0 J: got {energy}.", field="energy")


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{name} must be a positive number: got {value!r}.", field=name)
