"""Latency of a model on a device, with an interval that holds four times in five.

Intervals are those of rows whose models, and for devices that were never measured whose devices,
were kept aside when the law was fitted (:mod:`optim.devices.fitting`). They widen where a model is
larger or smaller than all that was measured, and where its MACs are not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from optim.devices.law import Evaluated, Law, Origin, interval_names
from optim.devices.profile import DeviceProfile, Precision, Runtime
from optim.devices.roofline import hardware_ms
from optim.devices.workload import Workload
from optim.errors import ConfigError
from optim.quantity import How, Quantity

__all__ = [
    "CONSTANTS",
    "LatencyEstimate",
    "interval",
    "latency_on",
    "peak_share",
    "predict",
    "shipped_law",
    "workload_of",
]

CONSTANTS = Path(__file__).resolve().parent / "latency.npz"
"""The constants that ship; ``bench/devices.py`` makes them."""


_WIDEST = math.log(100)
"""An interval does not reach further: a hundred times more or less says that nothing is known."""


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """An estimated latency.

    Attributes:
        latency: In milliseconds, of a whole batch; its interval holds for four of five
            measurements of models that were kept aside, not for 95 % as elsewhere.
        origin: Whose constants were used: measured in this setting, in another one of this device,
            or on other devices of its class; ``"hardware"`` where only data sheets are known.
        extrapolated: Whether the model is larger or smaller than all that was measured.
        validated: Whether rows of this device were there to check it against.
        stand_in: Runtime whose constants were used, as published; empty if it is the one asked for.
    """

    latency: Quantity
    origin: Origin | str
    extrapolated: bool
    validated: bool
    stand_in: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know, in words."""
        said = []
        if not self.validated:
            said.append("not validated: nothing measured on this device was published")
        elif self.origin == "related":
            other = f": with {self.stand_in}" if self.stand_in else ""
            said.append(f"measured on this device in another setting{other}")
        if self.extrapolated:
            said.append("extrapolated: the model is outside of what was measured")
        return tuple(said)

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as plain data."""
        return {
            "latency": self.latency.to_json(),
            "interval": 0.8,
            "origin": self.origin,
            "extrapolated": self.extrapolated,
            "validated": self.validated,
            "notes": list(self.notes),
        }


@cache
def shipped_law() -> Law:
    """Return the law whose constants ship."""
    return Law.load(CONSTANTS)


def predict(rows: Sequence[Workload], law: Law | None = None) -> list[LatencyEstimate]:
    """Estimate latencies.

    Args:
        rows: What is asked for; anything may be missing in them.
        law: The constants; those that ship without it.
    """
    if not rows:
        return []
    law = law or shipped_law()
    found = law(rows)
    low, high = interval(law, rows, found)
    return [
        LatencyEstimate(
            _quantity(*np.exp(found.log_ms[i] + np.array([0.0, low[i], high[i]]))),
            found.origins[i],
            bool(found.extrapolated[i]),
            found.origins[i] != "class",
            "" if found.runtimes[i] == rows[i].runtime else found.runtimes[i],
        )
        for i in range(len(rows))
    ]


def latency_on(
    profile: DeviceProfile,
    runtime: Runtime,
    precision: Precision,
    workload: Workload,
    law: Law | None = None,
) -> LatencyEstimate:
    """Estimate the latency of a model on a device of the catalogue.

    Where nothing measured on the device was published, its data sheet decides
    (:mod:`optim.devices.roofline`), times what models really reached on other devices.

    Args:
        profile: The device.
        runtime: One of its runtimes.
        precision: One of the runtime's.
        workload: The model; what it says of device, runtime and precision is replaced.
        law: The constants; those that ship without it.

    Raises:
        ConfigError: If the runtime has no kernels for the precision, or the device is unknown to
            the measurements and its figures do not suffice.
    """
    law = law or shipped_law()
    asked = workload_of(profile, runtime, precision, workload)
    estimate = predict([asked], law)[0]
    if estimate.validated:
        return estimate
    if profile.device_class in law.classes and not profile.peak_tops:
        return estimate
    return _by_hardware(profile, precision, asked, law)


def peak_share(law: Law | None = None) -> tuple[float, float, float]:
    """Return how many times longer than at peak rates models take: median and 80 % interval."""
    facts = (law or shipped_law()).facts
    ends = (0.0, facts["hardware_low"], facts["hardware_high"])
    middle, low, high = (math.exp(facts["hardware"] + end) for end in ends)
    return middle, low, high


def workload_of(
    profile: DeviceProfile, runtime: Runtime, precision: Precision, workload: Workload
) -> Workload:
    """Return what is asked for, in the names of the published measurements.

    Raises:
        ConfigError: If the runtime has no kernels for the precision.
    """
    if precision not in runtime.precisions:
        raise ConfigError(
            f"precision must be one of {', '.join(runtime.precisions)}, which {runtime.name} has "
            f"kernels for on {profile.title}: got {precision!r}.",
            field="precision",
        )
    return replace(
        workload,
        device=profile.measured_as or "",
        device_class=profile.device_class,
        runtime=runtime.measured_as or "",
        precision=precision,
    )


def interval(law: Law, rows: Sequence[Workload], found: Evaluated) -> tuple[np.ndarray, np.ndarray]:
    """Return logarithms of the ends of the interval over the median."""
    ends = np.zeros((2, len(rows)))
    for index, row in enumerate(rows):
        names = interval_names(
            row, found.origins[index], found.families[index], found.imputed[index]
        )
        name = next(name for name in names if name in law.intervals)
        ends[:, index] = law.intervals[name]
    wider = np.where(found.extrapolated, law.facts["extrapolated"], 1.0)
    wider = wider * np.where(np.array(found.origins) == "related", law.facts["related"], 1.0)
    low, high = np.clip(ends * wider, -_WIDEST, _WIDEST)
    return np.minimum(low, 0), np.maximum(high, 0)


def _by_hardware(
    profile: DeviceProfile, precision: Precision, row: Workload, law: Law
) -> LatencyEstimate:
    ms = hardware_ms(profile, precision, row)
    if ms is None:
        what = "the model's MACs" if profile.peak_tops else "a peak rate"
        raise ConfigError(
            f"The latency on {profile.title} cannot be estimated without {what}.",
            hint=profile.limits,
        )
    middle, low, high = peak_share(law)
    return LatencyEstimate(_quantity(middle * ms, low * ms, high * ms), "hardware", False, False)


def _quantity(value: float, low: float, high: float) -> Quantity:
    return Quantity(
        float(value), "ms", float(min(low, value)), float(max(high, value)), how=How.ESTIMATED
    )
