"""Latency, memory and energy of a footprint on a device: by published figures and by its operators.

The predictor knows parameters, MACs and activations, and was fitted to networks that are mostly
large. Of a small network the operators say more: where it lies outside of what was measured on a
device, or nothing was measured there, the time of starting every operator counts, and the rates
that networks reach beside the peak ones.
"""

from __future__ import annotations

import math

from optim.devices.energy import EnergyEstimate, energy_of
from optim.devices.memory import (
    Interpreter,
    is_interpreted,
    predict_memory,
    runtime_memory,
)
from optim.devices.parts import Roofline, precision_of
from optim.devices.predict import LatencyEstimate, latency_on, peak_share, workload_of
from optim.devices.profile import DeviceProfile, Precision, Runtime
from optim.devices.workload import Workload
from optim.errors import ConfigError
from optim.ladder.footprint import Footprint
from optim.quantity import How, Quantity

__all__ = ["energy_on", "latency_on_device", "memory_on"]

_NOT_BUILT = (
    "not validated: a ceiling of slices and lookup tables at these bit-widths, times what models "
    "reach of peak rates elsewhere"
)
_NOTHING_MULTIPLIED = (
    "not validated: the model multiplies nothing, and every model with published figures does"
)
_LEAST = "raised to what starting every operator and multiplying at the highest rate takes at least"


def latency_on_device(
    footprint: Footprint, profile: DeviceProfile, runtime: Runtime
) -> tuple[Quantity | None, tuple[str, ...]]:
    """Return the latency of one inference in ms with its 80 % interval, and what to know of it.

    None where too little is known of the device.
    """
    by_operators = _by_operators(footprint, profile, runtime)
    if by_operators and runtime.arbitrary_bits:
        # What was published of designs for other widths says nothing about this one.
        return by_operators, (_NOT_BUILT,)
    if not footprint.macs:
        return by_operators, (_NOTHING_MULTIPLIED,)
    try:
        found = latency_on(profile, runtime, _precision(footprint, runtime), _row(footprint))
    except ConfigError as error:
        return None, (error.message,)
    if found.validated and not found.extrapolated:
        return found.latency, found.notes
    estimate = _with_operators(found, by_operators)
    latency = _at_least(estimate, footprint, Roofline(profile, runtime))
    raised = (_LEAST,) if latency.value > estimate.value else ()
    return latency, (*found.notes, *raised)


def _with_operators(found: LatencyEstimate, by_operators: Quantity | None) -> Quantity:
    """Return an estimate of a network that is unlike all that was measured on a device."""
    if by_operators is None:
        return found.latency
    if not found.validated:
        return by_operators
    # Two accounts, each of which may be far off for a network that is smaller than all measured
    # ones: the middle of both, and an interval that holds both.
    both = (found.latency, by_operators)
    return Quantity(
        math.sqrt(found.latency.value * by_operators.value),
        "ms",
        min(q.low for q in both),
        max(q.high for q in both),
        how=How.ESTIMATED,
    )


def _at_least(latency: Quantity, footprint: Footprint, roofline: Roofline) -> Quantity:
    """Return an estimate that is nowhere below what no inference is faster than.

    That is starting every operator and the runtime, and multiplying at the highest rate; without a
    known rate and clock, starting alone.
    """
    working = [operator for operator in footprint.operators if not operator.is_free]
    doubt = roofline.overhead_doubt
    least = (1 + len(working)) * roofline.overhead_ms / doubt
    if roofline.profile.has_rate:
        least += sum(
            _rate_doubt(roofline.unknown_rates([o]))[0] * roofline.split(o).compute for o in working
        )
    elif most := roofline.most_macs_per_ms:
        least += footprint.macs / most
    # If even the middle is too low, the estimate says nothing; starting may take this much longer.
    high = latency.high if latency.value >= least else max(latency.high, doubt**2 * least)
    value, low = max(latency.value, least), max(latency.low, least)
    return Quantity(value, "ms", low, high, how=How.ESTIMATED)


def memory_on(
    footprint: Footprint, profile: DeviceProfile, runtime: Runtime
) -> tuple[Quantity | None, str]:
    """Return the peak memory of one inference in bytes, and what it is made of.

    Where peaks of that device were published they decide; of microcontrollers and processors,
    what an interpreter keeps is added to weights and arena. None where neither speaks.
    """
    is_micro = profile.device_class.startswith("mcu")
    if is_interpreted(profile.device_class):
        if footprint.arena is None:
            return None, "what activations take is not known before it runs"
        stays = is_micro and bool(profile.flash_bytes)
        unpacked = footprint.unpacked_bytes_on(runtime) if stays else 0
        in_ram = 0 if stays else footprint.weight_bytes_on(runtime)
        interpreter: Interpreter = "onnxruntime" if "ONNX Runtime" in runtime.name else "other"
        peak = runtime_memory(
            sum(not operator.is_free for operator in footprint.operators),
            in_ram,
            int(footprint.arena.value) + unpacked,
            "micro" if is_micro else interpreter,
        )
        also = ", one unpacked layer" if unpacked else ""
        held = f"arena{also} (weights stay in flash)" if stays else "weights, arena"
        return peak, f"{held} and what an interpreter keeps"
    if not footprint.macs:
        return None, "the model multiplies nothing, and every model with a published peak does"
    asked = workload_of(profile, runtime, _precision(footprint, runtime), _row(footprint))
    (found,) = predict_memory([asked])
    if found is None:
        return None, "no peak on a device of this class was published"
    where = "this class of devices" if found.origin == "class" else "this device"
    return found.memory, f"from published peaks on {where}, the runtime's own memory included"


def energy_on(
    footprint: Footprint, profile: DeviceProfile, runtime: Runtime
) -> tuple[EnergyEstimate | None, str]:
    """Return the energy of one inference, or None and why it cannot be told."""
    if not footprint.macs:
        return None, "the model multiplies nothing, and energy is estimated from multiplications"
    if profile.process_nm is None:
        return None, "the process of the device's chip is not known"
    return energy_of(profile, _precision(footprint, runtime), _row(footprint)), ""


def _by_operators(
    footprint: Footprint, profile: DeviceProfile, runtime: Runtime
) -> Quantity | None:
    if not profile.has_rate:
        return None
    roofline = Roofline(profile, runtime)
    doubt = roofline.overhead_doubt
    value = low = high = 0.0
    overhead = roofline.overhead_ms
    middle, least, most = peak_share()
    for operator in footprint.operators:
        parts = roofline.split(operator)
        overhead += parts.overhead
        working = parts.total - parts.overhead
        faster, slower = _rate_doubt(roofline.unknown_rates([operator]))
        value += math.sqrt(faster * slower) * middle * working
        low += faster * least * working
        high += slower * most * working
    return Quantity(
        overhead + value, "ms", overhead / doubt + low, overhead * doubt + high, how=How.ESTIMATED
    )


def _rate_doubt(unknown: tuple[Precision, ...]) -> tuple[float, float]:
    """Return between which times of what the highest rate gives the truth may lie.

    In the catalogue whole numbers of 8 bits are multiplied 4 to 32 times as fast as float32.
    """
    faster = 1 / 4 if "int8" in unknown else 1.0
    slower = 32.0 if set(unknown) - {"int8"} else 1.0
    return faster, slower


def _precision(footprint: Footprint, runtime: Runtime) -> Precision:
    """Return what a runtime computes most of a model with."""
    largest = max(footprint.operators, key=lambda o: o.macs)
    return precision_of(largest, runtime) or runtime.precisions[0]


def _row(footprint: Footprint) -> Workload:
    return Workload(
        macs=footprint.macs,
        params=footprint.params or None,
        activations=footprint.activations or None,
        task=footprint.task,
        input_shape="x".join(map(str, (1, *footprint.input_shape))),
    )
