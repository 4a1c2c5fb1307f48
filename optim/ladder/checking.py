"""Predicted against measured on this machine, for every network of the zoo.

Latencies are measured while nothing else should run, like the probe itself; each network is taken
with fresh weights, which cost as much as trained ones, and as models that ship with 8 bits too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np

from optim.devices.calibration import Calibration
from optim.devices.checked import Checked
from optim.devices.own import keep_check
from optim.export.deploy import onnx_bytes
from optim.ladder.footprint import footprint_of
from optim.measure.latency import latency_of
from optim.models.bundle import ModelBundle
from optim.models.cards import model_cards
from optim.models.open import open_model
from optim.models.zoo import ZOO
from optim.recipe import Recipe
from optim.step import Context
from optim.subject import open_subject
from optim.techniques.quantize import Quantize

__all__ = ["check_here", "measure_checks", "networks"]


def measure_checks(
    calibration: Calibration, told: Callable[[float], None] = lambda share: None
) -> list[Checked]:
    """Measure every network of the zoo, and those that ship with 8 bits; takes half a minute."""
    found = []
    names = [*ZOO, *(name for name, card in model_cards().items() if card.command)]
    for index, (name, bundle) in enumerate(networks()):
        told(min(1.0, index / len(names)))
        file = onnx_bytes(bundle)
        inputs = np.zeros((1, *bundle.spec.shape), np.float32)
        operators = footprint_of(bundle, file, inputs).operators
        threads = calibration.probe.threads
        measured = latency_of(file, inputs, threads, interface=bundle.interface)
        found.append(Checked(name, calibration.estimate(operators).latency, measured))
    return found


def networks() -> Iterator[tuple[str, ModelBundle]]:
    """Yield every network of the zoo, and those that ship with 8 bits too, with their names."""
    for name in ZOO:
        yield name, open_model(name)
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
