"""The fastest file at no more than one point of loss: ours beside the fastest of other toolkits.

Every file computes in int8. Ours may also lose blocks or channels, be refitted or trained for a few
epochs, and store weights with 4 bits; the others are ONNX Runtime's static quantization and NNCF,
as in ``bench/peers.py``, of the whole network, and of one that lost channels by torch-pruning and
was trained in the same loop. All files run in the same runtime, in turns, so that only ratios
within one run count. Which file of each side is *the fastest* is decided on images that its
accuracy is not told of: candidates that lose more than a point there are out.

Training is kept in the cache, and goes on where it was stopped; a candidate that was not trained is
not in the table::

    python bench/deployed.py                                    # the table, computes nothing
    python bench/deployed.py --train "channels in 8s"           # one candidate
    python bench/deployed.py --run                              # measures all that is there
    python bench/deployed.py --write                            # the table into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import peers
import recover
import structured
from common import DOCS, ROOT, documented, machine, packed, unpacked

from optim.export.deploy import onnx_bytes
from optim.hashing import digest
from optim.measure.evaluate import predict, predict_in_runtime
from optim.measure.intervals import median_interval
from optim.measure.predictions import accuracy_change
from optim.models.bundle import ModelBundle
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.runs.checkpoint import forget_checkpoints
from optim.runs.files import LocalFiles
from optim.runtime.latency import measure_latency
from optim.runtime.openvino import OpenVinoSession, openvino_ir
from optim.runtime.session import InferenceSession, Session
from optim.step import Context, Step
from optim.storage import cache_home, write_atomic
from optim.subject import Subject, open_subject
from optim.techniques.distill import Distill
from optim.techniques.drop_blocks import DropBlocks
from optim.techniques.importances.taylor import Taylor
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm

RESULTS = ROOT / "bench" / "deployed.json"
FILES = cache_home() / "bench" / "deployed"
STUDENTS = ROOT / "assets" / "students"
MOST_LOST = 0.01
ROUNDS = 15
NOTHING = "nothing removed"
WHOLE = f"{NOTHING}, 8 bits"
"""Ours without anything but quantization."""
PEERS = (("ONNX Runtime", "per tensor"), ("ONNX Runtime", "per channel"))
PEERS += (("NNCF", "fast bias correction"),)
WIDTHS = {
    "8 bits": Quantize(samples=512),
    "weights of 4 bits": Quantize(weight_bits=4, rounding="gptq", samples=512),
}
"""How ours is quantized; activations have 8 bits, and 4-bit weights are widened when loaded."""
DRAW = 0


def _train(epochs: int) -> Distill:
    """Return the training of ``bench/recover.py``."""
    return Distill(transfer=recover.ATTENTION, **recover.LOOP).replace(epochs=epochs)


_SLOW = ("layer1.0.conv1", "layer1.1.conv1", "layer2.2.conv1", "layer2.1.conv1")
"""Blocks of ResNet-20 that cost least for the time they take, the first two of the first stage: all
have as many MACs, and kernels of bytes make the least of wide pictures and few channels."""


def _without_slow(count: int, epochs: int = 0) -> tuple[Step, ...]:
    """Return a depth pruning by time, and its training if there is any.

    Three and four blocks are what settings of layers come to in time, by
    :func:`optim.sensitivity.spread.spread`, for what three and four blocks by outputs take, weights
    refitted in both.
    """
    slow = dict.fromkeys(_SLOW[:count], 0.9)
    drop = DropBlocks(ratio=0.0, layers=slow, reconstruct=True)
    return (drop, _train(epochs)) if epochs else (drop,)


def _in_eights(ratio: float, epochs: int) -> tuple[Step, ...]:
    """Return the default model narrower by multiples of 8, trained as its shipped students are.

    Kernels of bytes take channels by the eight: what is between costs time and gains none.
    """
    prune = PruneChannels(pruning_ratio=ratio, round_to=8, reconstruct=True)
    return (prune, ReestimateBatchNorm(), Distill(epochs=epochs))


def _aligned(ratio: float, width: int, epochs: int) -> tuple[Step, ...]:
    """Return a pruning to multiples of a width that kernels like, and its training."""
    prune = PruneChannels(
        pruning_ratio=ratio,
        importance=Taylor(samples=2048),
        scope="global",
        round_to=width,
        reconstruct=True,
    )
    return (prune, ReestimateBatchNorm(), _train(epochs))


@dataclass(frozen=True)
class Network:
    """A network with its data, and what is tried on it.

    Attributes:
        title: For the table.
        model: Reference.
        data: Reference.
        split: Where the images that choose come from.
        candidates: What is done to it before it is quantized, by name.
        students: Ratios of channels of the shipped students that are tried.
        peers: Networks that torch-pruning makes smaller, by name, for the peers to quantize.
    """

    title: str
    model: str
    data: str
    split: str
    candidates: Mapping[str, tuple[Step, ...]]
    students: tuple[float, ...] = ()
    peers: Mapping[str, structured.Cell] = field(default_factory=dict)


NETWORKS = {
    "resnet20": Network(
        "ResNet-20, CIFAR-10",
        recover.MODEL,
        recover.DATA,
        recover.SPLIT,
        {
            "1 of 9 blocks, refitted": (DropBlocks(ratio=round(1 / 9, 3), reconstruct=True),),
            "2 of the first 3 blocks, refitted": _without_slow(2),
            "2 of the first 3 blocks, 3 epochs": _without_slow(2, 3),
            "3 of 9 blocks by time, 10 epochs": _without_slow(3, 10),
            "4 of 9 blocks by time, 10 epochs": _without_slow(4, 10),
            "channels in 8s": _aligned(0.3, 8, 3),
            "channels in 16s": _aligned(0.3, 16, 3),
        },
        peers={
            "torch-pruning, half the MACs, 3 epochs": structured.Cell("taylor", 2, 3, 0),
        },
    ),
    "default": Network(
        "the default model, cluttered digits",
        "clutter-resnet8",
        "cluttered-digits",
        "auto",
        {
            "40 % of the channels, in 8s, 20 epochs": _in_eights(0.4, 20),
            "50 % of the channels, in 8s, 20 epochs": _in_eights(0.5, 20),
        },
        (0.2, 0.3, 0.4),
    ),
}


def opened(network: Network) -> Subject:
    """Open network and data."""
    return open_subject(Recipe(network.model, network.data, split=network.split), base=ROOT)


# --- candidates ---------------------------------------------------------------------------------


def path_of(network: Network, name: str) -> Path:
    """Return where a trained candidate is kept, ours or a peer's."""
    steps: Any = (
        network.peers[name].settings
        if name in network.peers
        else [{type(step).__name__: step.changed()} for step in network.candidates[name]]
    )
    key = digest(network.model, network.data, network.split, name, steps)
    return FILES / f"{key[:16]}.safetensors"


def train(name: str) -> None:
    """Make a candidate of a network, or go on where that was stopped."""
    network = next(one for one in NETWORKS.values() if name in {*one.candidates, *one.peers})
    path, subject = path_of(network, name), opened(network)
    if path.is_file():
        return
    bundle, steps = subject.bundle, network.candidates.get(name, ())
    if name in network.peers:
        bundle = structured.pruned(network.peers[name], subject)
        steps = (network.peers[name].step,)
    for step in steps:
        entry = Recipe(network.model, network.data).with_step(step).entries[0].id
        if step.cost == "training":
            bundle, _ = recover.trained(bundle, subject, entry, step, 0, path.stem, FILES)
        else:
            context = Context(subject.data, subject.bundle, 0, entry)
            bundle = step.apply(bundle, context).bundle
        print(f"{name}, {entry}: {predict(bundle, subject.samples()).accuracy()}", flush=True)
    save_checkpoint(bundle, path)
    forget_checkpoints(LocalFiles(FILES), path.stem)


def candidates(network: Network, subject: Subject) -> dict[str, ModelBundle]:
    """Return the models of ours that are there, by name, before quantization.

    Those that need no training are made.
    """
    found = {NOTHING: subject.bundle}
    for name, steps in network.candidates.items():
        if not any(step.cost == "training" for step in steps):
            train(name)
        if (path := path_of(network, name)).is_file():
            found[name] = load_checkpoint(path)
    index = json.loads((STUDENTS / "index.json").read_text(encoding="utf-8"))
    for ratio in network.students:
        key = next(
            key
            for key, about in index.items()
            if about["pruning_ratio"] == ratio and about["epochs"] == max(12, 4)
        )
        found[f"{ratio:.0%} of the channels"] = load_checkpoint(STUDENTS / f"{key}.safetensors")
    return found


def peer_file(peer: str, way: str, subject: Subject) -> bytes:
    """Return the int8 file that a peer makes of a network, made once."""
    script = peers.PEERS[peer].script
    about = digest(subject.bundle.hash, peers.PEERS[peer].requirements, way, DRAW)
    path = FILES / f"{script}-{about[:16]}.onnx"
    if not path.is_file():
        python = peers.environment(peer) / "bin" / "python"
        with tempfile.TemporaryDirectory(prefix="deployed-") as name:
            folder = Path(name)
            peers.lay_out(folder, subject, [DRAW])
            job = {"way": way, "draw": DRAW, "weight_bits": 8, "activation_bits": 8}
            (folder / "job.json").write_text(json.dumps({"0": job}), encoding="utf-8")
            told = subprocess.run(
                [python, peers.SCRIPTS / f"{script}.py", folder],
                capture_output=True,
                text=True,
                env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            )
            made = folder / "0.onnx"
            if not made.is_file():
                sys.exit(f"{peer}, {way} made no file: {(told.stdout + told.stderr)[-500:]}")
            write_atomic(path, made.read_bytes())
    return path.read_bytes()


# --- measuring ----------------------------------------------------------------------------------


def _in_onnxruntime(file: bytes, threads: int) -> Session:
    return InferenceSession.open(file, threads)


def _in_openvino(file: bytes, threads: int) -> Session:
    return OpenVinoSession.open(*openvino_ir(file), threads)


RUNTIMES: dict[str, Callable[[bytes, int], Session]] = {
    "ONNX Runtime": _in_onnxruntime,
    "OpenVINO": _in_openvino,
}
SITUATIONS = [
    (runtime, batch, threads) for runtime in RUNTIMES for batch in (1, 64) for threads in (1, 2)
]


def measure(network: Network) -> dict[str, Any]:
    """Return bytes, accuracy and speed of all files of a network."""
    subject = opened(network)
    own = candidates(network, subject)
    files, bundles = {}, {}
    context = Context(subject.data, subject.bundle, DRAW, "quantize")
    for what, bundle in own.items():
        for width, step in WIDTHS.items():
            name = f"{what}, {width}"
            files[name] = onnx_bytes(step.apply(bundle, context).bundle)
            bundles[name] = bundle
    made = set()
    for peer, way in PEERS:
        name = f"{peer}, {way}"
        files[name], bundles[name] = peer_file(peer, way, subject), subject.bundle
        made.add(name)
    for smaller in network.peers:
        if not (path := path_of(network, smaller)).is_file():
            continue
        pruned = replace(subject, bundle=load_checkpoint(path))
        for peer, way in PEERS:
            name = f"{smaller}, {peer}, {way}"
            files[name], bundles[name] = peer_file(peer, way, pruned), pruned.bundle
            made.add(name)
    choosing, test = subject.samples(), subject.data.part("test")
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "original": {},
        "files": {},
        "load": {},
        "times": {},
    }
    for part, samples in (("choosing", choosing), ("test", test)):
        right = predict(subject.bundle, samples).correct
        results["original"][part] = {"n": len(samples), "right": packed(right)}
    for name, file in files.items():
        session = _in_onnxruntime(file, 1)
        results["files"][name] = {
            "ours": name not in made,
            "bytes": len(file),
            **{
                part: packed(predict_in_runtime(session, bundles[name], samples).correct)
                for part, samples in (("choosing", choosing), ("test", test))
            },
        }
        print(f"  {name}: {len(file):,} bytes, {lost(results, name, 'test')}", flush=True)
    images = subject.bundle.spec.normalise(test.inputs[:64]).numpy()
    for runtime, batch, threads in SITUATIONS:
        sessions = {name: RUNTIMES[runtime](file, threads) for name, file in files.items()}
        samples_ = measure_latency(sessions, images[:batch], rounds=ROUNDS)
        key = f"{runtime}, batch {batch}, threads {threads}"
        results["load"][key] = round(os.getloadavg()[0], 1)
        results["times"][key] = {
            name: [round(float(ms), 5) for ms in blocks]
            for name, blocks in samples_.blocks_ms.items()
        }
        print(f"  {key}", flush=True)
    return results


def lost(results: dict[str, Any], name: str, part: str) -> Quantity:
    """Return by how much a file changes the accuracy on a part, paired."""
    about = results["original"][part]
    before, after = (
        unpacked(text, about["n"]) for text in (about["right"], results["files"][name][part])
    )
    return accuracy_change(before, after).difference


def fastest(results: dict[str, Any], situation: str, *, ours: bool) -> str:
    """Return which file of a side is fastest among those that lose at most a point."""
    allowed = [
        name
        for name, file in results["files"].items()
        if file["ours"] == ours and lost(results, name, "choosing").value >= -100 * MOST_LOST
    ]
    times = results["times"][situation]
    return min(allowed, key=lambda name: float(np.median(times[name])))


def ratio(results: dict[str, Any], situation: str, slow: str, fast: str) -> str:
    """Return how many times faster one file is than another, round by round."""
    times = results["times"][situation]
    rounds = np.array(times[slow]) / np.array(times[fast])
    middle, low, high = median_interval(rounds)
    return f"{middle:.2f}x ({low:.2f} to {high:.2f})"


# --- the table ----------------------------------------------------------------------------------


def read() -> dict[str, Any]:
    """Return the results of the networks that were measured."""
    if not RESULTS.is_file():
        return {}
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
    return found


def table(results: dict[str, Any]) -> str:
    """Return all results as Markdown."""
    lines: list[str] = []
    for key, network in NETWORKS.items():
        lines += [f"**{network.title[0].upper()}{network.title[1:]}**", ""]
        if key not in results:
            lines += ["Not run.", ""]
            continue
        lines += [*_of_network(network, results[key]), ""]
    return "\n".join(lines).rstrip()


def _of_network(network: Network, found: dict[str, Any]) -> list[str]:
    lines = [
        "| file | bytes | change in points | in ONNX Runtime, batch 1 | batch 64 "
        "| in OpenVINO, batch 1 | batch 64 |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    shown = [f"{r}, batch {b}, threads 1" for r in RUNTIMES for b in (1, 64)]
    for name, file in found["files"].items():
        change = lost(found, name, "test")
        cells = [
            f"{'ours, ' * file['ours']}{name}",
            f"{file['bytes']:,}",
            f"{change.value:+.2f} ± {change.half_width:.2f}",
            *(ratio(found, situation, WHOLE, name) for situation in shown),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    there = " ".join(found["files"])
    missing = [name for name in (*network.candidates, *network.peers) if name not in there]
    if missing:
        lines += ["", f"Not run: {', '.join(missing)}."]
    if loads := found.get("load", {}).values():
        cores = found["machine"]["cores"]
        most, least = max(loads), min(loads)
        lines += ["", f"Meanwhile {least:.0f} to {most:.0f} processes wanted the {cores} cores."]
    lines += [
        "",
        "| runtime | batch | threads | fastest of ours | of peers | ours is faster | "
        "than ours with nothing removed |",
        "|:--|--:|--:|:--|:--|--:|--:|",
    ]
    for runtime, batch, threads in SITUATIONS:
        situation = f"{runtime}, batch {batch}, threads {threads}"
        ours, peer = (fastest(found, situation, ours=side) for side in (True, False))
        gains = (ratio(found, situation, slow, ours) for slow in (peer, WHOLE))
        cells = [runtime, str(batch), str(threads), ours, peer, *gains]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Print the table; train or measure if that is asked for."""
    names = [n for network in NETWORKS.values() for n in (*network.candidates, *network.peers)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="measure what is there")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--train", nargs="+", choices=names, default=[])
    parser.add_argument("--write", action="store_true", help="the table into docs/benchmarks.md")
    chosen = parser.parse_args()
    if (chosen.train or chosen.run) and not (ROOT / recover.DATA).is_dir():
        sys.exit(f"This bench needs {recover.DATA} and the weights beside it; they are not here.")
    for name in chosen.train:
        train(name)
    for name in chosen.networks if chosen.run else ():
        print(NETWORKS[name].title, flush=True)
        found = measure(NETWORKS[name])
        results = {**read(), name: found}  # another process may have written meanwhile
        data = {"command": "python bench/deployed.py --run", "results": results}
        write_atomic(RESULTS, (json.dumps(data, indent=None) + "\n").encode())
    text = table(read())
    if chosen.write:
        write_atomic(DOCS, documented("deployed", text).encode())
    print(text)


if __name__ == "__main__":
    main()
