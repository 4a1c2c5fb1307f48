"""The answer for one device: does a model fit, how long does it take, and what is in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optim.devices.parts import Parts, Roofline, precision_of
from optim.devices.profile import DeviceProfile, Runtime
from optim.ladder.clock import split
from optim.ladder.footprint import Footprint

__all__ = ["CONSTRAINTS", "Fit", "fit_of", "limit_of", "runtime_for"]

CONSTRAINTS: Mapping[str, str] = {
    "support": "Operator support",
    "flash": "Flash",
    "ram": "RAM",
    "compute": "Compute",
    "bandwidth": "Bandwidth",
    "overhead": "Overhead",
    "unknown": "Not known",
}
"""What may bind, in the order in which it is looked at."""


@dataclass(frozen=True)
class Fit:
    """Whether a model fits a device.

    Attributes:
        runtime: What would run it there.
        problem: The first constraint it does not meet, a key of ``CONSTRAINTS``; empty if it fits.
        text: What is missing, or how much is used, in one sentence.
        needs: Bytes it needs of what binds; 0 where it is not bytes.
        has: Bytes there are.
        is_certain: Whether all was known that this was told from: the device's memory, and what
            the model's activations need.
    """

    runtime: Runtime
    problem: str
    text: str
    needs: int = 0
    has: int = 0
    is_certain: bool = True

    @property
    def fits(self) -> bool:
        """Whether nothing that is known speaks against it."""
        return not self.problem

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "runtime": self.runtime.name,
            "fits": self.fits,
            "problem": self.problem,
            "text": self.text,
            "needs": self.needs,
            "has": self.has,
            "is_certain": self.is_certain,
        }


def runtime_for(footprint: Footprint, profile: DeviceProfile) -> Runtime:
    """Return the first runtime of a device with kernels for a model; failing that, its first."""
    return next((r for r in profile.runtimes if not _missing(footprint, r)), profile.runtimes[0])


def fit_of(footprint: Footprint, profile: DeviceProfile) -> Fit:
    """Return whether a model fits a device: kernels first, then flash, then RAM.

    A microcontroller holds weights in flash, as the file stores them, and activations in RAM, with
    the largest weight that has to be unpacked; code, stack and the runtime's own memory come on
    top and are not counted. Other devices hold all in RAM.
    """
    runtime = runtime_for(footprint, profile)
    if missing := _missing(footprint, runtime):
        return Fit(
            runtime,
            "support",
            f"{runtime.name} computes {' and '.join(runtime.precisions)} on this device, and "
            f"{missing} here.",
        )
    weights = footprint.weight_bytes_on(runtime)
    arena = int(footprint.arena.value) if footprint.arena else 0
    both = "Weights and activations take" if footprint.arena else "Weights take"
    if profile.device_class.startswith("mcu"):
        unpacked = footprint.unpacked_bytes_on(runtime)
        what = "Activations and an unpacked layer take" if unpacked else "Activations take"
        checks = [
            ("flash", footprint.flash_bytes_on(runtime), profile.flash_bytes, "Weights take"),
            ("ram", arena + unpacked, profile.ram_bytes, what),
        ]
        if profile.flash_bytes is None and profile.ram_bytes is not None:
            checks = [("ram", weights + arena, profile.ram_bytes, both)]
    else:
        checks = [("ram", weights + arena, profile.ram_bytes, both)]
    is_certain = footprint.arena is not None and all(has is not None for _, _, has, _ in checks)
    fullest = (0.0, "unknown", "Its memory is not known.", 0, 0)
    for what, needs, has, words in checks:
        if has is None:
            continue
        text = f"{words} {_size(needs)} of {_size(has)} {CONSTRAINTS[what]}."
        if needs > has:
            return Fit(runtime, what, text, needs, has)
        fullest = max(fullest, (needs / has, what, text, needs, has))
    text = fullest[2]
    if footprint.arena is None:
        text += " What its activations take is not known before it runs."
    return Fit(runtime, "", text, fullest[3], fullest[4], is_certain)


def limit_of(footprint: Footprint, profile: DeviceProfile, runtime: Runtime) -> tuple[str, Parts]:
    """Return what the time of an inference is mostly spent on, a key of ``CONSTRAINTS``."""
    roofline = Roofline(profile, runtime)
    parts = split(footprint, roofline)
    if not profile.has_rate:
        return "unknown", parts
    spent = {
        "compute": parts.compute + parts.padding,
        "bandwidth": parts.memory,
        "overhead": parts.overhead,
    }
    return max(spent, key=lambda name: spent[name]), parts


def _missing(footprint: Footprint, runtime: Runtime) -> str:
    """Say what a runtime has no kernels for; empty if it has them all."""
    refused = [o for o in footprint.operators if o.macs and precision_of(o, runtime) is None]
    if not refused:
        return ""
    layers = list(dict.fromkeys(o.layer or o.name for o in refused))
    named = ", ".join(layers[:2]) + (f" and {len(layers) - 2} more" if len(layers) > 2 else "")
    return f"{named} {'wants' if len(layers) == 1 else 'want'} {refused[0].dtype}"


def _size(count: int) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
