"""The table of Deep Compression on MNIST: how many times smaller a file gets, at what loss.

LeNet-300-100 and LeNet-5 are trained, pruned while they train on, their weights shared, the shared
values trained, and packed; what is counted is every byte of the packed file on the disk, graph,
biases and codebooks included, against four bytes a parameter. Beside them stands the honest rival:
a small network of at most the same bytes, trained from scratch for as many epochs and quantized to
8 bits. The test samples are looked at once, at the end.

Work goes on where it was stopped: every stage of every seed, and every epoch of the one in hand, is
kept in the cache, results in ``deep_compression.json``. What was not run says so.

References:
    Han et al., Deep Compression, 2015, arXiv:1510.00149: 40 and 39 times at 1.58 % and 0.74 % error
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from common import DOCS, ROOT, documented, machine

from optim.codecs.opack import sizes_of
from optim.data import open_data, with_validation
from optim.export.packed import open_packed, packed_model
from optim.hashing import digest
from optim.measure.evaluate import predict, predict_in_runtime
from optim.models.bundle import ModelBundle, Provenance, TorchModel
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.models.input_spec import InputSpec
from optim.models.lenet5 import LeNet5
from optim.models.resnet import ResNet
from optim.runs.checkpoint import Checkpoint, checkpoints_of, forget_checkpoints
from optim.runs.files import LocalFiles
from optim.step import Context
from optim.storage import cache_home, write_atomic
from optim.techniques.finetune import FineTune
from optim.techniques.finetune_quantized import FineTuneQuantized
from optim.techniques.prune_gradually import PruneGradually
from optim.techniques.quantize import Quantize
from optim.techniques.share_weights import ShareWeights

DATA = ROOT.parent / "shared" / "data" / "mnist"
RESULTS = ROOT / "bench" / "deep_compression.json"
FILES = cache_home() / "bench" / "deep-compression"
SEEDS = range(5)
SPEC = InputSpec((1, 28, 28), mean=(0.1307,), std=(0.3081,), scale=255.0)
LOOP = {"batch_size": 128, "shift": 0, "weight_decay": 0.0001}
SHIFTED = LOOP | {"shift": 1}
"""Random shifts while it is pruned: what is left of a network learns less by heart."""
RIVAL_WIDTHS = range(4, 33, 4)


@dataclass(frozen=True)
class Network:
    """One column of the table.

    Attributes:
        title: As in the literature.
        fresh: Makes it, with fresh weights of a seed.
        train: Its training.
        prune: Its pruning.
        share: How its weights share values.
        learn: The training of shared values.
    """

    title: str
    fresh: Callable[[int], Any]
    train: FineTune
    prune: PruneGradually
    share: ShareWeights
    learn: FineTuneQuantized


def lenet_300_100(seed: int):
    """Return the two hidden layers of LeCun et al., 1998."""
    import torch
    from torch import nn

    from optim.layers.graph import trace

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = {
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(784, 300),
            "act1": nn.ReLU(),
            "fc2": nn.Linear(300, 100),
            "act2": nn.ReLU(),
            "head": nn.Linear(100, 10),
        }
    module = nn.Sequential()
    for name, layer in layers.items():
        module.add_module(name, layer)
    return trace(module.eval(), fold=False)


NETWORKS = {
    "lenet-300-100": Network(
        "LeNet-300-100",
        lenet_300_100,
        FineTune(epochs=20, learning_rate=0.1, **LOOP),
        PruneGradually(sparsity=0.97, epochs=50, learning_rate=0.05, end=0.6, **SHIFTED),
        ShareWeights(bits=4, bias_bits=3),
        FineTuneQuantized(epochs=3, learning_rate=0.01, **SHIFTED),
    ),
    "lenet-5": Network(
        "LeNet-5",
        lambda seed: LeNet5().build((1, 28, 28), 10, seed),
        FineTune(epochs=10, learning_rate=0.05, **LOOP),
        PruneGradually(sparsity=0.99, epochs=30, learning_rate=0.05, end=0.6, **SHIFTED),
        ShareWeights(bits=3, bias_bits=3),
        FineTuneQuantized(epochs=3, learning_rate=0.01, **SHIFTED),
    ),
}


# --- data -----------------------------------------------------------------------------------------


def mnist(seed: int):
    """Return MNIST with a tenth of its training samples put aside, drawn by a seed."""
    path = FILES / "mnist.npz"
    if not path.is_file():
        arrays: dict[str, np.ndarray] = {}
        for part in ("train", "test"):
            arrays[f"x_{part}"], arrays[f"y_{part}"] = _pictures(DATA / f"{part}.zip")
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        write_atomic(path, file.getvalue())
    return with_validation(open_data(str(path)), seen=(), policy="train", seed=seed)


def _pictures(archive: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(N, 1, 28, 28)`` pictures of a zip of class folders, and their labels ``(N,)``."""
    from PIL import Image

    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.endswith(".png"))
        pictures = [np.asarray(Image.open(io.BytesIO(opened.read(name)))) for name in names]
    return np.stack(pictures)[:, None], np.array([int(name.split("/")[-2]) for name in names])


# --- stages ---------------------------------------------------------------------------------------


def trained(name: str, seed: int) -> ModelBundle:
    """Return a network as it is before compression."""
    network, data = NETWORKS[name], mnist(seed)
    fresh = ModelBundle(
        name=network.title,
        content=TorchModel(network.fresh(seed), LeNet5() if name == "lenet-5" else None),
        spec=SPEC,
        task=data.task,
        provenance=Provenance(name, seen=()),
    )
    return _stage(name, "trained", seed, fresh, fresh, [network.train])


def pruned(name: str, seed: int) -> ModelBundle:
    """Return a network most of whose weights are zero."""
    network, whole = NETWORKS[name], trained(name, seed)
    return _stage(name, "pruned", seed, whole, whole, [network.train, network.prune])


def _stage(
    name: str, stage: str, seed: int, before: ModelBundle, reference: ModelBundle, steps: list[Any]
) -> ModelBundle:
    """Apply the last of some steps to a model, or return what it gave the last time."""
    key = digest(name, stage, seed, [[type(s).__name__, s.changed()] for s in steps])
    path = FILES / f"{name}-{stage}-{seed}-{key[:12]}.safetensors"
    if not path.is_file():
        states = LocalFiles(FILES)
        context = Context(
            mnist(seed),
            reference,
            seed,
            stage,
            resume=Checkpoint(checkpoints_of(states, key), stage),
            record=lambda row: print(f"  {stage} {row}", file=sys.stderr, flush=True),
        )
        start = time.perf_counter()
        save_checkpoint(steps[-1].apply(before, context).bundle, path)
        forget_checkpoints(states, key)
        took = time.perf_counter() - start
        print(f"{name}, seed {seed}: {stage} in {took:.0f} s", file=sys.stderr, flush=True)
    return load_checkpoint(path)


def shared(name: str, seed: int) -> ModelBundle:
    """Return a network whose weights share values, and the values trained."""
    network, whole = NETWORKS[name], trained(name, seed)
    steps = [network.train, network.prune, network.share]
    before = _stage(name, "shared", seed, pruned(name, seed), whole, steps)
    return _stage(name, "learned", seed, before, whole, [*steps, network.learn])


def rival(name: str, seed: int, most: int) -> tuple[ModelBundle, bytes]:
    """Return the widest small network that packs into so many bytes, and its file.

    It trains for as many epochs as the other did in all; which width is found without training.
    """
    network, data = NETWORKS[name], mnist(seed)
    epochs = network.train.epochs + network.prune.epochs + network.learn.epochs
    eight = Quantize()
    for width in reversed(RIVAL_WIDTHS):
        architecture = ResNet(depth=8, width=width)
        fresh = ModelBundle(
            name=f"ResNet-8, width {width}",
            content=TorchModel(architecture.build(SPEC.shape, 10, seed), architecture),
            spec=SPEC,
            task=data.task,
            provenance=Provenance("rival", seen=()),
        )
        small = eight.apply(fresh, Context(data, fresh, seed, "quantize")).bundle
        if len(packed_model(small)) <= most:
            break
    loop = LOOP | {"shift": network.prune.shift}
    train = FineTune(epochs=epochs, learning_rate=0.1, **loop)
    learned = _stage(name, f"rival-{width}", seed, fresh, fresh, [train])
    small = eight.apply(learned, Context(data, fresh, seed, "quantize")).bundle
    return small, packed_model(small)


# --- results --------------------------------------------------------------------------------------


def measured(name: str, seed: int, with_rival: bool) -> dict[str, Any]:
    """Return errors and bytes of one seed; only here test samples are looked at."""
    test = mnist(seed).part("test")
    whole, small = trained(name, seed), shared(name, seed)
    file = packed_model(small)
    params = sum(p.numel() for p in whole.module.parameters())
    before, after = predict(whole, test), predict_in_runtime(open_packed(file, 1), small, test)
    found = {
        "params": params,
        "bytes": len(file),
        "holds": asdict(sizes_of(file)),
        "times_smaller": 4 * params / len(file),
        "sparsity": small.sparsity,
        "error_before": 1 - before.accuracy().value,
        "error_after": 1 - after.accuracy().value,
        "change": after.against(before).to_json(),
    }
    if with_rival:
        other, data = rival(name, seed, len(file))
        judged = predict_in_runtime(open_packed(data, 1), other, test)
        own = {"title": other.name, "bytes": len(data), "error": 1 - judged.accuracy().value}
        found["rival"] = own
    return found


def settings(name: str) -> str:
    """Identity of all that decides the results of a network."""
    network = NETWORKS[name]
    steps = [network.train, network.prune, network.share, network.learn]
    return digest([[type(step).__name__, step.changed()] for step in steps], LOOP)


def read() -> dict[str, Any]:
    """Return ``{"network, seed n": {...}}``; empty before the first."""
    if not RESULTS.is_file():
        return {}
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
    return found


def run(names: list[str], seeds: list[int], with_rival: bool) -> None:
    """Measure what is missing, one seed of every network after the other."""
    for seed in seeds:
        for name in names:
            key, results = f"{name}, seed {seed}", read()
            known = results.get(key, {})
            is_current = known.get("settings") == settings(name)
            if is_current and ("rival" in known or not with_rival):
                continue
            found = measured(name, seed, with_rival)
            about = {"settings": settings(name), "date": datetime.now(UTC).date().isoformat()}
            results = {**read(), key: {**found, **about, "machine": machine()}}
            data = {"command": "python bench/deep_compression.py --run", "results": results}
            write_atomic(RESULTS, (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())
            print(f"{key}: {found['times_smaller']:.0f} times smaller", file=sys.stderr, flush=True)


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown, mean and spread over seeds; what is missing says so."""
    lines = [
        "| network | seeds | error before | error after | bytes | times smaller "
        "| rival of the same bytes: error |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for name, network in NETWORKS.items():
        found = [results.get(f"{name}, seed {seed}") for seed in SEEDS]
        run_ = [r for r in found if r and r["settings"] == settings(name)]
        if not run_:
            lines.append(f"| {network.title} | 0 of {len(SEEDS)} | not run | | | | not run |")
            continue
        rivals = [r["rival"] for r in run_ if "rival" in r]
        cells = [
            network.title,
            f"{len(run_)} of {len(SEEDS)}",
            _spread([100 * r["error_before"] for r in run_], "{:.2f}", " %"),
            _spread([100 * r["error_after"] for r in run_], "{:.2f}", " %"),
            _spread([r["bytes"] for r in run_], "{:,.0f}"),
            _spread([r["times_smaller"] for r in run_], "{:.0f}"),
            _spread([100 * r["error"] for r in rivals], "{:.2f}", " %") if rivals else "not run",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: list[float], form: str, unit: str = "") -> str:
    """Return mean and standard deviation; the value alone if there is one."""
    shown = form.format(mean(values))
    return f"{shown} ± {form.format(stdev(values))}{unit}" if len(values) > 1 else f"{shown}{unit}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", action="store_true", help="compute what is missing")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--no-rival", action="store_true", help="leave the rival out")
    asked = parser.parse_args()
    if asked.run:
        run(asked.networks, asked.seeds, not asked.no_rival)
    text = table(read())
    DOCS.write_text(documented("deep_compression", text), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
