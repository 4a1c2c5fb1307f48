"""Latency, memory and energy of a footprint on a device: by published figures and by its operators.

The predictor knows parameters, MACs and activations, and was fitted to networks that are mostly
large. Of a small network the operators say more: where it lies outside of what was measured on a
device, or nothing was measured there, the time of starting every operator counts, and the rates
that networks reach beside the peak ones.
"""

from __future__ import annotations

import math

from optim.devices.energy import EnergyEstimate, energy_of
from optim.devices.memory import Interpreter, predict_memory, runtime_memory
from optim.devices.parts import Roofline, precision_of
from optim.devices.predict import latency_on, peak_share, workload_of
from optim.devices.profile import DeviceProfile, Precision, Runtime
from optim.devices.workload import Workload
from optim.errors import ConfigError
from optim.ladder.footprint import Footprint
from optim.quantity import How, Quantity

__all__ = ["energy_on", "latency_on_device", "memory_on"]

_OVERHEAD_DOUBT = 3.0
_NOT_BUILT = (
    "not validated: a ceiling of slices and lookup tables at these bit-widths, times what models "
    "reach of peak rates elsewhere"
)


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
    try:
        found = latency_on(profile, runtime, _precision(footprint, runtime), _row(footprint))
    except ConfigError as error:
        return None, (str(error),)
    if by_operators is None or (found.validated and not found.extrapolated):
        return found.latency, found.notes
    if not found.validated:
        return by_operators, found.notes
    # Two accounts, each of which may be far off for a network that is smaller than all measured
    # ones: the middle of both, and an interval that holds both.
    both = (found.latency, by_operators)
    latency = Quantity(
        math.sqrt(found.latency.value * by_operators.value),
        "ms",
        min(q.low for q in both),
        max(q.high for q in both),
        how=How.ESTIMATED,
    )
    return latency, found.notes


def memory_on(
    footprint: Footprint, profile: DeviceProfile, runtime: Runtime
) -> tuple[Quantity | None, str]:
    """Return the peak memory of one inference in bytes, and what it is made of.

    Where peaks of that device were published they decide; of microcontrollers and processors,
    what an interpreter keeps is added to weights and arena. None where neither speaks.
    """
    is_micro = profile.device_class.startswith("mcu")
    if is_micro or profile.device_class == "sbc" or profile.device_class.endswith("_cpu"):
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
    asked = workload_of(profile, runtime, _precision(footprint, runtime), _row(footprint))
    (found,) = predict_memory([asked])
    if found is None:
        return None, "no peak on a device of this class was published"
    where = "this class of devices" if found.origin == "class" else "this device"
    return found.memory, f"from published peaks on {where}, the runtime's own memory included"


def energy_on(
    footprint: Footprint, profile: DeviceProfile, runtime: Runtime
) -> EnergyEstimate | None:
    """Return the energy of one inference; None where the device's process is not known."""
    try:
        return energy_of(profile, _precision(footprint, runtime), _row(footprint))
    except ConfigError:
        return None


def _by_operators(
    footprint: Footprint, profile: DeviceProfile, runtime: Runtime
) -> Quantity | None:
    if not profile.has_rate:
        return None
    roofline = Roofline(profile, runtime)
    # A typical time to start an operator is off by three where the device's own is not known.
    doubt = 1.0 if profile.overhead_us is not None else _OVERHEAD_DOUBT
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
        macs=footprint.macs or None,
        params=footprint.params or None,
        activations=footprint.activations or None,
        task=footprint.task,
        input_shape="x".join(map(str, (1, *footprint.input_shape))),
    )
