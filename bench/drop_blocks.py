"""Residual blocks dropped without training: what is lost, and what int8 gains in speed.

``python bench/drop_blocks.py``: a ResNet-20 for CIFAR-10 loses one to four of its nine blocks, by
outputs (on 128 training images without labels), by influence, or at random. Accuracy is measured on
all test images, once; latency is that of the int8 file over the whole network's, in turns in ONNX
Runtime, one image on one thread. Beside it stands what removes as many MACs by narrower layers, and
blocks dropped by outputs with the weights behind them refitted.

``--only refitted`` measures one group anew and leaves the others as they were; ``--write`` puts
what is there into docs/benchmarks.md and measures nothing.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from cifar import resnet20
from common import DOCS, ROOT, documented, record

from optim.export.deploy import onnx_bytes
from optim.measure.costs import static_costs
from optim.measure.evaluate import predict
from optim.measure.latency import compare_files
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.step import Context, Step
from optim.storage import write_atomic
from optim.subject import open_subject
from optim.techniques.drop_blocks import DropBlocks
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm

BLOCKS, DROPPED = 9, (1, 2, 3, 4)
NARROW = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


GROUPS = {
    "outputs": "{} of 9 blocks, by outputs",
    "refitted": "{} of 9 blocks, by outputs, refitted",
    "influence": "{} of 9 blocks, by influence",
    "random": "{} of 9 blocks, at random",
    "narrower": "{:.0%} of the channels, refitted",
}
"""What is removed, and what it is called for a reader."""
PATH = ROOT / "bench" / "drop_blocks.json"


def main() -> None:
    parser = argparse.ArgumentParser(description="Residual blocks dropped without training.")
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--write", action="store_true", help="only the table")
    options = parser.parse_args()
    if options.write:
        write()
        return
    chosen = options.only
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

    known = json.loads(PATH.read_text(encoding="utf-8"))["results"] if PATH.is_file() else {}
    results: dict[str, Any] = {"original": {"accuracy": right.accuracy().to_json()}}
    for name in GROUPS:
        results[name] = group(name) if name in chosen else known.get(name, {})
    record("drop_blocks", results, shown=False)
    write()


def write() -> None:
    """Put the table into docs/benchmarks.md."""
    results = json.loads(PATH.read_text(encoding="utf-8"))["results"]
    write_atomic(DOCS, documented("drop_blocks", table(results)).encode())


def table(results: dict[str, Any]) -> str:
    """Return the table for docs/benchmarks.md."""
    lines = ["| | accuracy | lost, points | MACs | int8 time |", "|:--|--:|--:|--:|--:|"]
    for name, title in GROUPS.items():
        for amount, row in results[name].items():
            number = float(amount) if name == "narrower" else int(amount)
            accuracy, time = (
                Quantity.from_json(row[x]) for x in ("accuracy", "latency_over_whole")
            )
            lost = Quantity.from_json(row["lost"])
            lines.append(
                f"| {title.format(number)} | {accuracy} | {lost.value:+.1f} ± "
                f"{(lost.high - lost.low) / 2:.1f} | {row['macs']['value'] / 1e6:.1f} M | "
                f"{time.value:.2f} ± {(time.high - time.low) / 2:.2f}x |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
