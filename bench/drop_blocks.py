"""Residual blocks dropped without training: what is lost, and what int8 gains in speed.

``python bench/drop_blocks.py``: a ResNet-20 for CIFAR-10 loses one to four of its nine blocks, by
outputs (on 128 training images without labels), by influence, or at random. Accuracy is measured on
all test images, once; latency is that of the int8 file over the whole network's, in turns in ONNX
Runtime, one image on one thread. Beside it stands what removes as many MACs by narrower layers, and
blocks dropped by outputs with the weights behind them refitted.

``--only refitted`` measures one group anew and leaves the others as they were.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from cifar import resnet20
from common import ROOT, record

from optim.export.deploy import onnx_bytes
from optim.measure.costs import static_costs
from optim.measure.evaluate import predict
from optim.measure.latency import compare_files
from optim.models.bundle import ModelBundle
from optim.recipe import Recipe
from optim.step import Context, Step
from optim.subject import open_subject
from optim.techniques.drop_blocks import DropBlocks
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm

BLOCKS, DROPPED = 9, (1, 2, 3, 4)
NARROW = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


GROUPS = ("outputs", "influence", "random", "refitted", "narrower")


def main() -> None:
    parser = argparse.ArgumentParser(description="Residual blocks dropped without training.")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS))
    chosen = parser.parse_args().only
    wanted = resnet20()
    if wanted is None:
        print("This bench needs ../shared/data/cifar10 and the weights beside it.")
        return
    subject = open_subject(Recipe(*wanted))
    original, context = subject.bundle, Context(data=subject.data, reference=subject.bundle)
    right = predict(original, subject.samples("test"))
    whole = onnx_bytes(Quantize().apply(original, context).bundle)
    image = original.spec.normalise(subject.samples("test").inputs[:1]).numpy()

    def row(*steps: Step) -> dict[str, Any]:
        bundle: ModelBundle = original
        for step in steps:
            bundle = step.apply(bundle, context).bundle
        found = predict(bundle, subject.samples("test"))
        file = onnx_bytes(Quantize().apply(bundle, context).bundle)
        speed = compare_files(whole, file, image, 1)
        figures = {
            "accuracy": found.accuracy(),
            "lost": found.against(right).difference,
            "macs": static_costs(bundle)[1],
            "latency_over_whole": speed.change.difference,
        }
        print(*steps, *(f"{name} {figure}" for name, figure in figures.items()), flush=True)
        return {name: figure.to_json() for name, figure in figures.items()} | {"bytes": len(file)}

    def group(name: str) -> dict[Any, Any]:
        norms = ReestimateBatchNorm()
        if name == "narrower":
            prunings = (PruneChannels(pruning_ratio=share, reconstruct=True) for share in NARROW)
            return {step.pruning_ratio: row(step, norms) for step in prunings}
        ratios = {count: round(count / BLOCKS, 3) for count in DROPPED}
        if name == "refitted":  # which measures the norms as well
            return {c: row(DropBlocks(ratio=r, reconstruct=True)) for c, r in ratios.items()}
        return {c: row(DropBlocks(ratio=r, criterion=name), norms) for c, r in ratios.items()}

    path = ROOT / "bench" / "drop_blocks.json"
    known = json.loads(path.read_text(encoding="utf-8"))["results"] if path.is_file() else {}
    results: dict[str, Any] = {"original": {"accuracy": right.accuracy().to_json()}}
    for name in GROUPS:
        results[name] = group(name) if name in chosen else known.get(name, {})
    record("drop_blocks", results)


if __name__ == "__main__":
    main()
