"""What a model costs, in the figures that a search weighs; no sample is looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from optim.ladder.estimates import energy_on, latency_on_device, memory_on
from optim.ladder.footprint import footprint_of
from optim.ladder.rungs import fit_of, runtime_for
from optim.measure.costs import static_costs
from optim.measure.size import encoded_sizes
from optim.models.bundle import ModelBundle
from optim.quantity import How, Quantity
from optim.search.goals import Goals
from optim.search.target import HERE, device_named

__all__ = ["cheap_figures", "device_figures"]

_CHEAP = frozenset({"bytes", "macs", "params"})


def cheap_figures(
    bundle: ModelBundle, goals: Goals, file: Callable[[], bytes], how: How = How.MEASURED
) -> dict[str, Quantity]:
    """Return the bytes that count, MACs and parameters, as far as goals ask for them.

    Args:
        bundle: The model, or its outline.
        goals: Say whose bytes count.
        file: Writes the ONNX file it is deployed as.
        how: Estimated where the bundle is an outline.
    """
    found: dict[str, Quantity] = {}
    params, macs, _ = static_costs(bundle)
    found["macs"] = Quantity.exact(macs.value, "macs", how)
    found["params"] = Quantity.exact(params.value, "params", how)
    if goals.bytes_of == "onnx":
        found["bytes"] = Quantity.exact(len(file()), "bytes", how)
    else:
        size = encoded_sizes(bundle)[goals.bytes_of].value
        found["bytes"] = Quantity.exact(size, "bytes", how)
    return found


def device_figures(
    bundle: ModelBundle, goals: Goals, file: bytes, inputs: np.ndarray
) -> dict[str, Quantity]:
    """Return latency, RAM, flash and energy on the goals' device, as far as they can be told.

    A model whose operators the device's runtime has no kernels for has no latency there. Nothing is
    told of the computer that searches: its latency is measured.

    Args:
        bundle: The model.
        goals: Name the device.
        file: The ONNX file it is deployed as.
        inputs: ``(1, ...)`` float32, one sample as the network takes it.
    """
    if not goals.device or goals.device == HERE or _CHEAP.issuperset(_wanted(goals)):
        return {}
    profile = device_named(goals.device)
    footprint = footprint_of(bundle, file, inputs)
    runtime = runtime_for(footprint, profile)
    found: dict[str, Quantity | None] = {
        "flash": Quantity.exact(footprint.flash_bytes_on(runtime), "bytes", How.ESTIMATED)
    }
    if fit_of(footprint, profile).problem != "support":
        found["latency"], _ = latency_on_device(footprint, profile, runtime)
        found["ram"], _ = memory_on(footprint, profile, runtime)
        energy, _ = energy_on(footprint, profile, runtime)
        found["energy"] = energy.total if energy else None
    return {name: value for name, value in found.items() if value is not None}


def _wanted(goals: Goals) -> Collection[str]:
    return {name for name in goals.figures if name not in ("loss", "error", "training")}
