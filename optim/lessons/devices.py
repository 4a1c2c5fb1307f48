"""What lessons ask of devices: footprints of recipes, and the device of a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.devices.profile import DeviceProfile, catalogue
from optim.errors import ConfigError

if TYPE_CHECKING:
    from optim.ladder.footprint import Footprint
    from optim.lessons.bench import Bench
    from optim.quantity import Quantity
    from optim.recipe import Recipe

__all__ = ["device_with", "footprint", "latency", "memory"]


def device_with(chip: str) -> DeviceProfile:
    """Return the first device of the catalogue that was measured and has such a chip.

    Raises:
        ConfigError: If there is none.
    """
    for profile in catalogue().values():
        if chip in profile.chip and profile.measured_as:
            return profile
    raise ConfigError(f"No device of the catalogue has the chip {chip!r}.", field="chip")


def footprint(bench: Bench, recipe: Recipe) -> Footprint:
    """Return what the model of a recipe asks of a device."""
    from optim.ladder.footprint import footprint_of

    sample = bench.work.samples.inputs[:1]
    inputs = bench.bundle.spec.normalise(sample).numpy()
    return footprint_of(bench.prepared(recipe).bundle, bench.onnx(recipe), inputs)


def latency(found: Footprint, profile: DeviceProfile) -> Quantity | None:
    """Return the time of an inference there; None where too little is known."""
    from optim.ladder.estimates import latency_on_device
    from optim.ladder.rungs import runtime_for

    return latency_on_device(found, profile, runtime_for(found, profile))[0]


def memory(found: Footprint, profile: DeviceProfile) -> Quantity | None:
    """Return the peak of memory of an inference there; None where too little is known."""
    from optim.ladder.estimates import memory_on
    from optim.ladder.rungs import runtime_for

    return memory_on(found, profile, runtime_for(found, profile))[0]
