"""Images per second of the accuracy evaluation: ours, a plain PyTorch loop, ONNX Runtime.

All three in one run, in turns, on the default model; the ratio is what counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from common import record
from torch.utils.data import DataLoader, TensorDataset

from optim.export.deploy import onnx_bytes
from optim.measure.evaluate import predict, predict_in_runtime
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.runtime.session import InferenceSession
from optim.subject import open_subject
from optim.techniques.quantize import Quantize

ROUNDS = 7


def plain_loop(module, x, y) -> None:
    """The loop people write: a DataLoader, a forward, a comparison."""
    loader = DataLoader(TensorDataset(x, y), batch_size=128)
    correct = 0
    with torch.no_grad():
        for inputs, targets in loader:
            correct += (module(inputs).argmax(1) == targets).sum().item()


def main() -> None:
    subject = open_subject(Recipe("clutter-resnet8", "cluttered-digits"))
    samples, bundle = subject.samples(), subject.bundle
    x, y = bundle.spec.normalise(samples.inputs), torch.from_numpy(samples.targets.copy())
    quantized, _ = apply_recipe(
        Recipe("clutter-resnet8", "cluttered-digits").with_step(Quantize()), subject
    )
    sessions = {
        name: InferenceSession.open(onnx_bytes(model), torch.get_num_threads())
        for name, model in (("float", bundle), ("int8", quantized))
    }
    ways: dict[str, Callable[[], object]] = {
        "plain PyTorch loop": lambda: plain_loop(bundle.module, x, y),
        "ours": lambda: predict(bundle, samples),
        "ours, simulating int8": lambda: predict(quantized, samples),
        "ONNX Runtime": lambda: predict_in_runtime(sessions["float"], bundle, samples),
        "ONNX Runtime, int8 file": lambda: predict_in_runtime(sessions["int8"], bundle, samples),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    base = times["plain PyTorch loop"]
    record(
        "evaluate",
        {
            name: {
                "images_per_s": len(samples) / statistics.median(values),
                "times_plain_loop": statistics.median(
                    b / v for b, v in zip(base, values, strict=True)
                ),
            }
            for name, values in times.items()
        },
    )


if __name__ == "__main__":
    main()
