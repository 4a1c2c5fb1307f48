"""Accuracy after quantization without training: widths, roundings, calibration draws.

The ResNet-20 for CIFAR-10 with few bits a weight and an activation, calibrated on 512 training
images without labels. A draw is a seed: it decides which images those are. Every cell is compared
with the original on the same 5,000 test images, which are the same for every draw. Settings were
chosen on the other half of CIFAR-10's test images: what the original was trained on would not do,
it knows that by heart. Intervals are over images and draws.

Cells are written as they are done, and those that are there are not computed again::

    python bench/quantize.py                             # the table, computes nothing
    python bench/quantize.py --run                       # all that are missing
    python bench/quantize.py --run --roundings gptq --draws 0 1
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
from common import ROOT, machine, packed, unpacked

from optim.hashing import digest
from optim.measure.evaluate import predict
from optim.measure.intervals import crossed_interval
from optim.measure.size import encoded_sizes
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.storage import write_atomic
from optim.subject import Subject, open_subject
from optim.techniques.quantize import Quantize

MODEL = "resnet20:../shared/data/weights/resnet20_cifar10_jpeg.safetensors"
DATA = "../shared/data/cifar10"
SPLIT = "test"
RESULTS = ROOT / "bench" / "quantize.json"

WIDTHS: dict[str, dict[str, Any]] = {
    "W8A8": {"weight_bits": 8, "activation_bits": 8},
    "W4A8": {"weight_bits": 4, "activation_bits": 8},
    "W4A4": {"weight_bits": 4, "activation_bits": 4},
    "W4A4, ends 8": {"weight_bits": 4, "activation_bits": 4, "ends": "eight"},
    "W3A8": {"weight_bits": 3, "activation_bits": 8},
    "W2A8": {"weight_bits": 2, "activation_bits": 8},
    "W2A8, ends 8": {"weight_bits": 2, "activation_bits": 8, "ends": "eight"},
}
"""All layers have these bits; ``ends 8`` keeps weights and inputs of the first and last at 8."""
ROUNDINGS = ("gptq", "nearest", "block", "adaround")
DRAWS = (0, 1, 2, 3, 4)
SAMPLES = 512


def step_of(width: str, rounding: str) -> Quantize:
    """Return what a cell does to the original."""
    return Quantize(rounding=rounding, samples=SAMPLES, **WIDTHS[width])


def key_of(width: str, rounding: str, draw: int) -> str:
    """Return the name of a cell in the results; another setting gives another name."""
    fields = step_of(width, rounding).changed()
    return f"{width}, {rounding}, draw {draw}, {digest(MODEL, DATA, SPLIT, fields)[:8]}"


def read() -> dict[str, Any]:
    """Return the results so far."""
    if RESULTS.is_file():
        found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
        return found
    return {"command": "python bench/quantize.py --run", "machine": machine(), "cells": {}}


def opened() -> Subject:
    """Open network and data, with the same halves of the test images for every draw."""
    return open_subject(Recipe(MODEL, DATA, split=SPLIT), base=ROOT)


def run(widths: list[str], roundings: list[str], draws: list[int]) -> None:
    """Compute the cells that are missing, the first draw of all before the second."""
    results, subject = read(), opened()
    samples = subject.data.part("test")
    if "original" not in results:
        right = predict(subject.bundle, samples)
        results["original"] = {"n": len(samples), "right": packed(right.correct)}
    for draw in draws:
        for rounding in roundings:
            for width in widths:
                key = key_of(width, rounding, draw)
                if key in results["cells"]:
                    continue
                recipe = Recipe(MODEL, DATA, split=SPLIT, seed=draw)
                start = time.process_time()
                quantized, _ = apply_recipe(recipe.with_step(step_of(width, rounding)), subject)
                spent = time.process_time() - start
                sizes = encoded_sizes(quantized)
                results["cells"][key] = {
                    "date": datetime.now(UTC).date().isoformat(),
                    "processor_s": round(spent, 1),
                    "right": packed(predict(quantized, samples).correct),
                    "bytes": {name: size.value for name, size in sizes.items()},
                }
                write_atomic(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
                print(key, changes(results, width, rounding), flush=True)


def changes(results: dict[str, Any], width: str, rounding: str) -> str:
    """Return by how many points the accuracy changes, mean over the draws, paired."""
    found = right_by_draw(results, width, rounding)
    if not found:
        return "not run"
    before = unpacked(results["original"]["right"], results["original"]["n"])
    return points({draw: right.astype(float) - before for draw, right in found.items()})


def right_by_draw(results: dict[str, Any], width: str, rounding: str) -> dict[int, np.ndarray]:
    """Return ``{draw: (N,) bool}``, what was right, of the draws that were run."""
    if "original" not in results:
        return {}
    keys = {draw: key_of(width, rounding, draw) for draw in DRAWS}
    count = results["original"]["n"]
    return {
        draw: unpacked(results["cells"][key]["right"], count)
        for draw, key in keys.items()
        if key in results["cells"]
    }


def points(changes: dict[int, np.ndarray]) -> str:
    """Return the mean of ``{draw: (N,) changes}`` in points, its interval, and the draws."""
    mean, low, high = crossed_interval(100 * np.stack(list(changes.values()), axis=1))
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f}), {len(changes)}"


def table(results: dict[str, Any]) -> str:
    """Return all results as Markdown."""
    if "original" not in results:
        return "Nothing was run."
    count = results["original"]["n"]
    accuracy = 100 * unpacked(results["original"]["right"], count).mean()
    lines = [
        f"The original: {accuracy:.2f} % of {count:,} test images. Change in points with its 95 % "
        "interval, paired, over images and draws, and the number of draws it is the mean of.",
        "",
        f"| | {' | '.join(ROUNDINGS)} |",
        f"|:--|{'--:|' * len(ROUNDINGS)}",
    ]
    for width in WIDTHS:
        shown = (changes(results, width, rounding) for rounding in ROUNDINGS)
        lines.append(f"| {width} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table; compute what is missing if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="compute the cells that are missing")
    parser.add_argument("--widths", nargs="+", choices=WIDTHS, default=list(WIDTHS))
    parser.add_argument("--roundings", nargs="+", choices=ROUNDINGS, default=list(ROUNDINGS))
    parser.add_argument("--draws", nargs="+", type=int, choices=DRAWS, default=list(DRAWS))
    chosen = parser.parse_args()
    if chosen.run:
        if not (ROOT / DATA).is_dir():
            sys.exit(f"This bench needs {DATA} and the weights beside it; they are not here.")
        run(chosen.widths, chosen.roundings, chosen.draws)
    print(table(read()))


if __name__ == "__main__":
    main()
