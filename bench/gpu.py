"""ONNX Runtime on a GPU beside its CPU: latency in turns, and whether both give the same numbers.

Needs onnxruntime-gpu and a GPU; elsewhere nothing is measured and nothing is written. Until the
file it writes is there, the pages say that nothing was tested on a GPU.
"""

from __future__ import annotations

import subprocess
from typing import Any

import numpy as np
from common import record

from optim.data.dataset import Samples
from optim.models.open import open_model
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.runtime.providers import gpus_here
from optim.subject import open_subject
from optim.sweet_spot.measuring import measure_grid
from optim.sweet_spot.runtimes import contenders
from optim.techniques.quantize import Quantize

BATCHES = (1, 8, 64)
MODELS = ("resnet20", "mobilenetv2", "vit-tiny")


def networks() -> dict[str, tuple[Any, Recipe]]:
    """Return networks with the recipes they were made by."""
    found = {name: (open_model(name), Recipe(name, "digits")) for name in MODELS}
    recipe = Recipe("digits-resnet8", "digits").with_step(Quantize())
    found["digits-resnet8, 8 bits"] = (apply_recipe(recipe, open_subject(recipe))[0], recipe)
    return found


def measured(bundle: Any, recipe: Recipe, runtimes: tuple[str, ...]) -> dict[str, Any]:
    """Measure one network; differences are of outputs, relative to their range on the CPU."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((max(BATCHES), *bundle.spec.shape)).astype(np.float32)
    samples = Samples(x, np.zeros(len(x), np.int64), np.arange(len(x)))
    found, refused = contenders(bundle, recipe, samples, runtimes)
    grid = measure_grid(found, x, BATCHES, (1,))
    expected = found["onnx"].open(1).run(x)
    reach = float(expected.max() - expected.min())
    differences = {
        name: float(np.abs(found[name].open(1).run(x) - expected).max()) / reach
        for name in grid.ran
        if name != "onnx"
    }
    return {
        "ran": {name: ran.version for name, ran in grid.ran.items()},
        "refused": {**refused, **grid.refused},
        "largest_difference": differences,
        "cells": [cell.to_json() for cell in grid.cells],
    }


def main() -> None:
    there = gpus_here()
    if not there:
        print("skipped: ONNX Runtime has neither CUDA nor TensorRT here")
        return
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    name = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    rows = {
        title: measured(bundle, recipe, ("onnx", *there))
        for title, (bundle, recipe) in networks().items()
    }
    record("gpu", {"gpu": name, "networks": rows})


if __name__ == "__main__":
    main()
