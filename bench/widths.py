"""Channels removed in multiples of one, four and eight: bytes and time of 8-bit files.

Kernels of bytes take several channels at a time. The networks are pruned and not trained, since
only their shapes matter here, and their files are timed in turns. The table goes into
docs/benchmarks.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cifar import DATA
from common import DOCS, documented, record
from deployed import NETWORKS, Network, opened

from optim.export.deploy import onnx_bytes
from optim.measure.intervals import median_interval
from optim.models.bundle import ModelBundle
from optim.runtime.latency import measure_latency
from optim.runtime.session import InferenceSession
from optim.sensitivity.trials import remembering
from optim.step import Context, Step
from optim.storage import write_atomic
from optim.subject import Subject
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
MULTIPLES = (1, 4, 8)
BATCHES = (1, 64)
_ROUNDS = 30


def networks() -> list[Network]:
    """Return what is pruned; the network of ../shared only where that is."""
    found = [NETWORKS["default"]]
    return [*found, NETWORKS["resnet20"]] if DATA.is_dir() else found


def files(subject: Subject) -> dict[str, bytes]:
    """Return ``{"whole" or "ratio, multiple": ONNX file}``, all in 8 bits."""
    memo = remembering()

    def file(*steps: Step) -> bytes:
        bundle: ModelBundle = subject.bundle
        context = Context(subject.data, bundle, memo=memo)
        for step in steps:
            bundle = step.apply(bundle, context).bundle
        return onnx_bytes(bundle)

    pruned = {
        f"{ratio}, {n}": file(PruneChannels(pruning_ratio=ratio, round_to=n), Quantize())
        for ratio in RATIOS
        for n in MULTIPLES
    }
    return {"whole": file(Quantize()), **pruned}


def measured(subject: Subject) -> dict[str, Any]:
    """Return bytes and times of every file, these as shares of the whole network's as well."""
    made = files(subject)
    sessions = {name: InferenceSession.open(file, 1) for name, file in made.items()}
    found: dict[str, Any] = {name: {"bytes": len(file)} for name, file in made.items()}
    images = subject.bundle.spec.normalise(subject.samples().inputs[: max(BATCHES)]).numpy()
    for batch in BATCHES:
        blocks = measure_latency(sessions, images[:batch], rounds=_ROUNDS).blocks_ms
        for name, ms in blocks.items():
            found[name][f"batch {batch}"] = {
                "ms": round(float(np.median(ms)), 5),
                "of_whole": [round(x, 3) for x in median_interval(ms / blocks["whole"])],
            }
    return found


def table(results: dict[str, Any]) -> str:
    """Return the tables for docs/benchmarks.md."""
    columns = [(batch, n) for batch in BATCHES for n in MULTIPLES]
    heads = [f"batch {b}, {'any width' if n == 1 else f'in {n}s'}" for b, n in columns]
    lines = []
    for title, found in results.items():
        lines += [f"**{title}**", "", "| channels removed | " + " | ".join(heads) + " |"]
        lines.append("|--:|" + "--:|" * len(heads))
        for ratio in RATIOS:
            shares = [found[f"{ratio}, {n}"][f"batch {b}"]["of_whole"] for b, n in columns]
            cells = [f"{value:.2f} ({low:.2f} to {high:.2f})" for value, low, high in shares]
            lines.append(f"| {ratio:.0%} | " + " | ".join(cells) + " |")
        lines.append("")
    note = "Time as a share of the whole network's in 8 bits, ONNX Runtime, one thread."
    return "\n".join([*lines, note])


def main() -> None:
    results = {network.title: measured(opened(network)) for network in networks()}
    record("widths", results, shown=False)
    text = table(results)
    write_atomic(DOCS, documented("widths", text).encode())
    print(text)


if __name__ == "__main__":
    main()
