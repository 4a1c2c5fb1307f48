"""Predicted against measured on this machine, for every network of the zoo.

Latencies are measured while nothing else should run, like the probe itself; each network is taken
with fresh weights, which cost as much as trained ones, and as models that ship with 8 bits too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from optim.devices.calibration import Calibration
from optim.devices.own import keep_check, read_check
from optim.export.deploy import onnx_bytes
from optim.ladder.footprint import footprint_of
from optim.measure.latency import latency_of
from optim.models.bundle import ModelBundle
from optim.models.cards import model_cards
from optim.models.open import open_model
from optim.models.zoo import ZOO
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.step import Context
from optim.subject import open_subject
from optim.techniques.quantize import Quantize

__all__ = ["Checked", "check_here", "checks_here", "measure_checks"]


@dataclass(frozen=True)
class Checked:
    """One network on this machine.

    Attributes:
        name: What it is.
        predicted: From its operators and the probe, in ms.
        measured: In ONNX Runtime, in ms.
    """

    name: str
    predicted: Quantity
    measured: Quantity

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted.value / self.measured.value - 1.0

    @property
    def is_inside(self) -> bool:
        """Whether what was measured lies in the interval."""
        return self.predicted.low <= self.measured.value <= self.predicted.high

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "name": self.name,
            "predicted": self.predicted.to_json(),
            "measured": self.measured.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            data["name"],
            Quantity.from_json(data["predicted"]),
            Quantity.from_json(data["measured"]),
        )


def measure_checks(
    calibration: Calibration, told: Callable[[float], None] = lambda share: None
) -> list[Checked]:
    """Measure every network of the zoo, and those that ship with 8 bits; takes half a minute."""
    found = []
    names = [*ZOO, *(name for name, card in model_cards().items() if card.command)]
    for index, (name, bundle) in enumerate(_networks()):
        told(min(1.0, index / len(names)))
        file = onnx_bytes(bundle)
        inputs = np.zeros((1, *bundle.spec.shape), np.float32)
        operators = footprint_of(bundle, file, inputs).operators
        threads = calibration.probe.threads
        measured = latency_of(file, inputs, threads, interface=bundle.interface)
        found.append(Checked(name, calibration.estimate(operators).latency, measured))
    return found


def _networks() -> Iterator[tuple[str, ModelBundle]]:
    for name, architecture in ZOO.items():
        yield architecture.title if hasattr(architecture, "title") else name, open_model(name)
    for card in model_cards().values():
        if not card.command:  # came from outside
            continue
        recipe = Recipe(card.name, card.data)
        subject = open_subject(recipe)
        context = Context(subject.data, subject.bundle, recipe.seed, "quantize")
        quantized = Quantize(weight_bits=8, activation_bits=8).apply(subject.bundle, context)
        yield f"{card.title} for {subject.data.title}, 8 bits", quantized.bundle


def check_here(calibration: Calibration, told: Callable[[float], None]) -> list[Checked]:
    """Measure every network and keep what came out beside the probe of this machine."""
    found = measure_checks(calibration, told)
    rows = [checked.to_json() for checked in found]
    keep_check(json.dumps({"probe": calibration.probe.id, "rows": rows}).encode())
    return found


def checks_here(calibration: Calibration) -> list[Checked]:
    """Return what was kept for this probe of this machine; nothing if it was not checked."""
    content = read_check()
    if content.get("probe") != calibration.probe.id:
        return []
    return [Checked.from_json(row) for row in content["rows"]]
