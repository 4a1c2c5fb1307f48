"""Accuracy after quantization without training: ours beside other toolkits, on the same terms.

Every toolkit gets the same ResNet-20 for CIFAR-10, the same 512 calibration images a draw, without
labels, and says what its network makes of the same 5,000 test images; they are judged here, alike.
All layers have the bits of the column, first and last too. A draw is a seed: it decides which
images are calibrated on. Ours is taken from ``bench/quantize.py``, which has to be run before.

A toolkit is installed in an environment of its own, which is removed when its cells are done, and
run by one script of ``bench/peers/``. PyTorch has to be one for the CPU: where pip does not find
``torch==...+cpu`` by itself, ``PIP_EXTRA_INDEX_URL`` names the index that has it.

Cells are written as they are done, and those that are there are not computed again::

    python bench/peers.py                                    # the table, computes nothing
    python bench/peers.py --write                            # the same into docs/benchmarks.md
    python bench/peers.py --run                              # all that are missing
    python bench/peers.py --run --peers NNCF --draws 0 1
    python bench/peers.py --files                            # the bytes of our own files, anew
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import quantize
from common import DOCS, ROOT, documented, machine, packed, unpacked
from quantize import DATA, DRAWS, MODEL, SAMPLES, SPLIT, opened, points, right_by_draw

from optim.export.deploy import onnx_bytes
from optim.hashing import digest
from optim.measure.evaluate import predict
from optim.measure.intervals import crossed_interval
from optim.measure.predictions import Predictions
from optim.step import Context
from optim.storage import cache_home, write_atomic
from optim.subject import Subject

RESULTS = ROOT / "bench" / "peers.json"
SCRIPTS = ROOT / "bench" / "peers"
MARK = "cell done: "
PARITY = 1e-3
"""How far the outputs of a peer's network may be from ours before anything is done to it."""

WIDTHS = {"W8A8": (8, 8), "W4A8": (4, 8), "W4A4": (4, 4), "W3A8": (3, 8), "W2A8": (2, 8)}
"""Bits of weights and of activations."""
OURS = {"W8A8": "gptq", "W4A8": "gptq", "W4A4": "gptq", "W3A8": "gptq", "W2A8": "gptq"}
"""Rounding of ours that is compared at each width."""

TORCH = "torch==2.13.0+cpu"


@dataclass(frozen=True)
class Way:
    """One method of a peer.

    Attributes:
        rounding: How integers are chosen, and whether layers are fitted to their outputs.
        runs: What computes the outputs.
    """

    rounding: str
    runs: str


@dataclass(frozen=True)
class Peer:
    """A toolkit.

    Attributes:
        script: In ``bench/peers/``, without its ending.
        requirements: What is installed for it, exactly.
        covers: What is quantized.
        ways: Its methods by name.
    """

    script: str
    requirements: tuple[str, ...]
    covers: str
    ways: dict[str, Way]


_HUB = ("requests==2.34.2", "huggingface_hub==1.2.3")
"""What ModelOpt imports and does not ask for."""
_QDQ = "the file, in ONNX Runtime"
_TORCH = "simulated in torch"
_ALL = "all layers, additions, pooling"

PEERS = {
    "ONNX Runtime": Peer(
        "onnxruntime_static",
        ("onnxruntime==1.32.0", "onnx==1.23.2", "numpy==2.4.6", "sympy==1.14.0"),
        _ALL,
        {
            "per tensor": Way("nearest, min-max", _QDQ),
            "per channel": Way("nearest, min-max", _QDQ),
        },
    ),
    "NNCF": Peer(
        "nncf_ptq",
        ("nncf==3.4.0", "onnxruntime==1.32.0", "onnx==1.23.2", "numpy==2.4.6"),
        _ALL,
        {
            "fast bias correction": Way("nearest, biases corrected", _QDQ),
            "bias correction": Way("nearest, biases corrected layer after layer", _QDQ),
        },
    ),
    "torchao PT2E": Peer(
        "torchao_pt2e",
        ("torchao==0.18.0", TORCH, "numpy==2.4.6"),
        _ALL,
        {
            "x86": Way("nearest, min-max, activations by histogram", _TORCH),
            "XNNPACK": Way("nearest, min-max, activations by histogram", _TORCH),
        },
    ),
    "Brevitas": Peer(
        "brevitas_ptq",
        ("brevitas==0.13.4", TORCH, "numpy==2.4.6", "scipy==1.17.1", "tqdm==4.67.1"),
        _ALL,
        {
            "nearest": Way("nearest, equalised, biases corrected", _TORCH),
            "GPTQ": Way("GPTQ, equalised, biases corrected", _TORCH),
        },
    ),
    "AIMET": Peer(
        "aimet_ptq",
        ("aimet-torch==2.42.0", TORCH, "torchvision==0.28.0", "numpy==2.4.6"),
        _ALL + " and outputs",
        {
            "nearest": Way("nearest, equalised", _TORCH),
            "AdaRound": Way("AdaRound with 1,000 iterations a layer, equalised", _TORCH),
        },
    ),
    "Neural Compressor": Peer(
        "inc_static",
        ("neural-compressor-pt==3.10", "torchao==0.18.0", TORCH, "numpy==2.4.6"),
        "all layers, additions",
        {
            "minmax": Way("nearest, min-max", _TORCH),
            "kl": Way("nearest, activations by histogram", _TORCH),
        },
    ),
    "ModelOpt": Peer(
        "modelopt_ptq",
        ("nvidia-modelopt==0.47.0", TORCH, "numpy==2.4.6", *_HUB),
        "inputs and weights of all layers",
        {
            "max": Way("nearest, min-max", _TORCH),
            "mse": Way("nearest, weights by squared error", _TORCH),
        },
    ),
}


@dataclass(frozen=True)
class Cell:
    """One way of one peer at one width, calibrated on one draw."""

    peer: str
    way: str
    width: str
    draw: int

    @property
    def key(self) -> str:
        """Name in the results; another script, version or network gives another name."""
        peer = PEERS[self.peer]
        codes = [_code(peer.script), _code("worker"), _code("network")]
        made = digest(MODEL, DATA, SPLIT, SAMPLES, peer.requirements, WIDTHS[self.width], codes)
        return f"{self.peer}, {self.way}, {self.width}, draw {self.draw}, {made[:8]}"

    @property
    def asked(self) -> dict[str, Any]:
        """What its script is told."""
        weights, activations = WIDTHS[self.width]
        return {
            "way": self.way,
            "draw": self.draw,
            "weight_bits": weights,
            "activation_bits": activations,
        }


def _code(script: str) -> str:
    """Return what a script does, without comments and layout."""
    return _bare((SCRIPTS / f"{script}.py").read_text(encoding="utf-8"))


@cache
def _bare(code: str) -> str:
    return ast.unparse(ast.parse(code))


WAYS = tuple(dict.fromkeys(way for peer in PEERS.values() for way in peer.ways))


def cells(
    peers: Iterable[str],
    widths: Iterable[str],
    draws: Iterable[int],
    ways: Iterable[str] | None = None,
) -> list[Cell]:
    """Return the cells of a selection: one peer after the other, the first draw of all before."""
    return [
        Cell(peer, way, width, draw)
        for peer in peers
        for draw in draws
        for way in PEERS[peer].ways
        if ways is None or way in ways
        for width in widths
    ]


def read() -> dict[str, Any]:
    """Return the results so far."""
    if RESULTS.is_file():
        found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
        return found
    return {
        "command": "python bench/peers.py --run",
        "machine": machine(),
        "original": None,
        "environments": {},
        "files": {},
        "cells": {},
    }


def keep(results: dict[str, Any]) -> None:
    """Write the results."""
    ordered = {**results, "cells": dict(sorted(results["cells"].items()))}
    write_atomic(RESULTS, (json.dumps(ordered, indent=1) + "\n").encode())


# --- a peer in its environment ------------------------------------------------------------------


class DoesNotInstall(Exception):
    """The packages of a peer cannot be had together here."""


def environment(peer: str) -> Path:
    """Return the environment of a peer, installed if it is not there.

    Raises:
        DoesNotInstall: With what pip said last.
    """
    folder = cache_home() / "bench" / "peers" / PEERS[peer].script
    wanted = list(PEERS[peer].requirements)
    stamp = folder / "requirements.json"
    if stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {peer}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "install", "--quiet", *wanted], capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DoesNotInstall(said[-1] if said else f"pip ended with {done.returncode}")
    stamp.write_text(json.dumps(wanted), encoding="utf-8")
    return folder


def installed(folder: Path) -> list[str]:
    """Return all packages of an environment with their versions."""
    listing = [folder / "bin" / "python", "-m", "pip", "list", "--format=freeze"]
    said = subprocess.run(listing, capture_output=True, text=True, check=True)
    return [line for line in said.stdout.splitlines() if "==" in line]


def lay_out(folder: Path, subject: Subject, draws: Iterable[int]) -> None:
    """Write what the scripts read."""
    module, images = subject.bundle.module, subject.data.part("test")
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    np.savez(folder / "network.npz", **state)
    (folder / "network.onnx").write_bytes(onnx_bytes(subject.bundle))
    np.save(folder / "images.npy", subject.bundle.spec.normalise(images.inputs).numpy())
    for draw in draws:
        x, _ = Context(subject.data, subject.bundle, draw).calibration(SAMPLES)
        np.save(folder / f"calibration-{draw}.npy", x.numpy())


def run_script(
    python: Path, folder: Path, wanted: list[Cell], original: Predictions
) -> Iterable[tuple[Cell, dict[str, Any]]]:
    """Yield each cell with its result, in order; a process that dies is started again behind it.

    Args:
        python: Of the peer's environment.
        folder: See :func:`lay_out`.
        wanted: Cells of one peer.
        original: What our network says before anything is done to it.

    Raises:
        ValueError: If the peer starts from another network.
    """
    waiting = dict(enumerate(wanted))
    script = SCRIPTS / f"{PEERS[wanted[0].peer].script}.py"
    while waiting:
        job = {str(number): cell.asked for number, cell in waiting.items()}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        (folder / "original.npy").unlink(missing_ok=True)
        log = folder / "errors.txt"
        with (
            log.open("w") as errors,
            subprocess.Popen(
                [python, script, folder],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={name: v for name, v in os.environ.items() if name != "PYTHONPATH"},
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(MARK):
                    told = json.loads(line.removeprefix(MARK))
                    number = told.pop("number")
                    check_parity(folder, original.outputs)
                    yield waiting.pop(int(number)), judged(folder, number, told, original.targets)
        if waiting:
            started = (folder / "original.npy").is_file()
            last = [line for line in log.read_text().splitlines() if line.strip()][-1:]
            reason = f"ended with {process.returncode}: {''.join(last)}"[:200]
            for number in list(waiting)[: 1 if started else None]:
                yield waiting.pop(number), {"state": "failed", "reason": reason}


def check_parity(folder: Path, outputs: np.ndarray) -> None:
    """Refuse a peer that starts from another network.

    Raises:
        ValueError: If its outputs differ.
    """
    off = float(np.abs(np.load(folder / "original.npy") - outputs).max())
    if off > PARITY:
        raise ValueError(f"The network of the peer gives other outputs: they differ by {off:.2g}.")


def judged(folder: Path, number: str, told: dict[str, Any], targets: np.ndarray) -> dict[str, Any]:
    """Return the result of a cell: what its outputs are right about, and the size of its file."""
    result = {"date": datetime.now(UTC).date().isoformat(), **told}
    if told["state"] == "done":
        outputs = np.load(folder / f"{number}.npy")
        result["right"] = packed(outputs.argmax(axis=1) == targets)
    if (file := folder / f"{number}.onnx").is_file():
        result["bytes"] = file_bytes(file.read_bytes())
        file.unlink()
    return result


_BITS = {onnx.TensorProto.FLOAT: 32, onnx.TensorProto.INT32: 32, onnx.TensorProto.INT64: 64}
_BITS |= dict.fromkeys((onnx.TensorProto.INT8, onnx.TensorProto.UINT8), 8)
_BITS |= dict.fromkeys((onnx.TensorProto.INT4, onnx.TensorProto.UINT4), 4)
_BITS |= dict.fromkeys((onnx.TensorProto.INT2, onnx.TensorProto.UINT2), 2)


def file_bytes(file: bytes) -> dict[str, int]:
    """Return the bytes of an ONNX file, those of its weights, and all others: the overhead.

    Of the overhead, ``numbers`` are biases, scales and zero points; the rest is graph and names.
    """
    stored = onnx.load_from_string(file).graph.initializer

    def count(tensors: Iterable[onnx.TensorProto]) -> int:
        return sum(-(-int(np.prod(t.dims)) * _BITS[t.data_type] // 8) for t in tensors)

    weights = count(t for t in stored if len(t.dims) > 1)
    numbers = count(t for t in stored if len(t.dims) <= 1)
    return {
        "file": len(file),
        "weights": weights,
        "overhead": len(file) - weights,
        "numbers": numbers,
    }


# --- all of it ----------------------------------------------------------------------------------


def run(
    peers: list[str],
    widths: list[str],
    draws: list[int],
    ways: list[str] | None = None,
    *,
    stay: bool,
    again: bool,
) -> None:
    """Compute the cells that are missing, one peer after the other."""
    results, subject = read(), opened()
    original = predict(subject.bundle, subject.data.part("test"))
    if not results["original"]:
        results["original"] = {"n": len(original), "right": packed(original.correct)}
        keep(results)
    for peer in peers:
        kept = results["cells"]
        wanted = [
            cell
            for cell in cells([peer], widths, draws, ways)
            if cell.key not in kept
            or (again and kept[cell.key]["state"] in ("failed", "does not install"))
        ]
        if not wanted:
            continue
        try:
            home = environment(peer)
        except DoesNotInstall as error:
            told = {"state": "does not install", "reason": str(error)[:200]}
            kept |= {cell.key: told for cell in wanted}
            keep(results)
            continue
        results["environments"][peer] = installed(home)
        with tempfile.TemporaryDirectory(prefix="peers-") as name:
            folder = Path(name)
            lay_out(folder, subject, {cell.draw for cell in wanted})
            python = home / "bin" / "python"
            for cell, result in run_script(python, folder, wanted, original):
                kept[cell.key] = result
                keep(results)
                said = shown(results, cell.peer, cell.way, cell.width)
                print(f"{cell.key}: {said}", file=sys.stderr, flush=True)
        if not stay:
            shutil.rmtree(home)


def measure_files() -> None:
    """Measure the sizes of our own files, and keep them."""
    files = own_files(opened())
    keep({**read(), "files": files})


def own_files(subject: Subject) -> dict[str, dict[str, int]]:
    """Return the sizes of our own files; they do not depend on which integers are chosen."""
    context = Context(subject.data, subject.bundle)
    found = {"not quantized": file_bytes(onnx_bytes(subject.bundle))}
    for width in WIDTHS:
        step = quantize.step_of(width, "nearest")
        found[width] = file_bytes(onnx_bytes(step.apply(subject.bundle, context).bundle))
    return found


# --- the table ----------------------------------------------------------------------------------


def states(results: dict[str, Any], peer: str, way: str, width: str) -> dict[int, dict[str, Any]]:
    """Return ``{draw: result}`` of the draws that were tried."""
    keys = {draw: Cell(peer, way, width, draw).key for draw in DRAWS}
    return {draw: results["cells"][k] for draw, k in keys.items() if k in results["cells"]}


def right_of_peer(
    results: dict[str, Any], peer: str, way: str, width: str
) -> dict[int, np.ndarray]:
    """Return ``{draw: (N,) bool}``, what was right, of the draws that were done."""
    found = states(results, peer, way, width)
    return {
        draw: unpacked(cell["right"], results["original"]["n"])
        for draw, cell in found.items()
        if cell["state"] == "done"
    }


def shown(results: dict[str, Any], peer: str, way: str, width: str) -> str:
    """Return by how many points a peer changes the accuracy, or why there is no such number."""
    found = states(results, peer, way, width)
    right = right_of_peer(results, peer, way, width)
    if right:
        before = unpacked(results["original"]["right"], results["original"]["n"])
        told = points({draw: after.astype(float) - before for draw, after in right.items()})
        missed = sum(cell["state"] == "failed" for cell in found.values())
        return f"{told}, {missed} failed" if missed else told
    for state in ("not offered", "does not install", "failed"):
        if any(cell["state"] == state for cell in found.values()):
            return state
    return "not run"


def against(
    results: dict[str, Any], own: dict[str, Any], peer: str, way: str, width: str
) -> tuple[float, float, float] | None:
    """Return by how many points ours is better, on the draws that both were calibrated on."""
    ours = right_by_draw(own, width, OURS[width])
    theirs = right_of_peer(results, peer, way, width)
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return None
    gains = [ours[draw].astype(float) - theirs[draw] for draw in both]
    return crossed_interval(100 * np.stack(gains, axis=1))


def table(results: dict[str, Any], own: dict[str, Any]) -> str:
    """Return all results as Markdown."""
    if not results["original"]:
        return "Nothing was run."
    original = results["original"]
    accuracy = 100 * unpacked(original["right"], original["n"]).mean()
    head = [f"| | {' | '.join(WIDTHS)} |", f"|:--|{'--:|' * len(WIDTHS)}"]
    lines = [
        f"The original: {accuracy:.2f} % of {original['n']:,} test images. Change in points with "
        "its 95 % interval, paired, over images and draws, and the number of draws.",
        "",
        *head,
    ]
    for rounding in quantize.ROUNDINGS:
        changes = [quantize.changes(own, width, rounding) for width in WIDTHS]
        lines.append(f"| **ours**, {rounding} | {' | '.join(changes)} |")
    pairs = [(peer, way) for peer in PEERS for way in PEERS[peer].ways]
    for peer, way in pairs:
        changes = [shown(results, peer, way, width) for width in WIDTHS]
        lines.append(f"| {peer}, {way} | {' | '.join(changes)} |")
    chosen = "; ".join(
        f"{rounding} at {', '.join(width for width in WIDTHS if OURS[width] == rounding)}"
        for rounding in dict.fromkeys(OURS.values())
    )
    lines += ["", f"Ours minus the peer, points, on common draws. Ours is {chosen}.", "", *head]
    for peer, way in pairs:
        gains = [against(results, own, peer, way, width) for width in WIDTHS]
        said = [f"{g[0]:+.2f} ({g[1]:+.2f} to {g[2]:+.2f})" if g else "" for g in gains]
        if any(said):
            lines.append(f"| {peer}, {way} | {' | '.join(said)} |")
    lines += ["", *(verdict(results, own, pairs, width) for width in WIDTHS)]
    return "\n".join([*lines, "", *_methods(results), "", *_files(results), "", *_reasons(results)])


def verdict(
    results: dict[str, Any], own: dict[str, Any], pairs: list[tuple[str, str]], width: str
) -> str:
    """Return in words how ours compares at a width."""
    found = {pair: against(results, own, *pair, width) for pair in pairs}
    known = {pair: gain for pair, gain in found.items() if gain}
    better = sum(low > 0 for _, low, _ in known.values())
    worse = [", ".join(pair) for pair, (_, _, high) in known.items() if high < 0]
    told = f"- {width}: of {len(known)} ways of peers that have it, ours is better than {better}"
    lost = f", worse than {len(worse)} ({'; '.join(worse)})" if worse else ", worse than none"
    return f"{told}{lost}; the rest is within noise."


def _methods(results: dict[str, Any]) -> list[str]:
    lines = [
        "| | version | quantized | weights | outputs are from |",
        "|:--|:--|:--|:--|:--|",
        f"| ours | | {_ALL} | as named; ranges by squared error | simulated in torch |",
    ]
    for name, peer in PEERS.items():
        version = peer.requirements[0].partition("==")[2]
        for way, about in peer.ways.items():
            row = (f"{name}, {way}", version, peer.covers, about.rounding, about.runs)
            lines.append(f"| {' | '.join(row)} |")
    return lines


def _files(results: dict[str, Any]) -> list[str]:
    rows = [(f"ours, {width}", found) for width, found in results["files"].items()]
    for peer in PEERS:
        for way in PEERS[peer].ways:
            for width in WIDTHS:
                found = states(results, peer, way, width).get(DRAWS[0], {})
                if "bytes" in found:
                    rows.append((f"{peer}, {way}, {width}", found["bytes"]))
    if not rows:
        return []
    lines = [
        "| ONNX file | bytes | of weights | all else | of that biases, scales, zero points |",
        "|:--|--:|--:|--:|--:|",
    ]
    for what, size in rows:
        parts = (size.get(part) for part in ("file", "weights", "overhead", "numbers"))
        numbers = ("not counted" if part is None else f"{part:,}" for part in parts)
        lines.append(f"| {what} | {' | '.join(numbers)} |")
    return lines


def _reasons(results: dict[str, Any]) -> list[str]:
    """Return why cells have no number, one line a way."""
    lines = []
    for peer in PEERS:
        for way in PEERS[peer].ways:
            said: dict[str, list[str]] = {}
            for width in WIDTHS:
                for cell in states(results, peer, way, width).values():
                    if cell["state"] != "done":
                        widths = said.setdefault(f"{cell['state']}: {cell['reason']}", [])
                        widths += [width] * (width not in widths)
            for reason, widths in said.items():
                lines.append(f"- {peer}, {way}, {', '.join(widths)}: {reason}")
    return lines


def main() -> None:
    """Print the table; compute what is missing if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="compute the cells that are missing")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--ways", nargs="+", choices=WAYS)
    parser.add_argument("--widths", nargs="+", choices=WIDTHS, default=list(WIDTHS))
    parser.add_argument("--draws", nargs="+", type=int, choices=DRAWS, default=list(DRAWS))
    parser.add_argument("--keep", action="store_true", help="leave the environments in place")
    parser.add_argument("--again", action="store_true", help="also what failed before")
    parser.add_argument("--files", action="store_true", help="measure the bytes of our files anew")
    parser.add_argument("--write", action="store_true", help="the table into docs/benchmarks.md")
    chosen = parser.parse_args()
    if chosen.run:
        if not (ROOT / DATA).is_dir():
            sys.exit(f"This bench needs {DATA} and the weights beside it; they are not here.")
        selection = (chosen.peers, chosen.widths, chosen.draws, chosen.ways)
        run(*selection, stay=chosen.keep, again=chosen.again)
    if chosen.files:
        measure_files()
    text = table(read(), quantize.read())
    if chosen.write:
        write_atomic(DOCS, documented("peers", text).encode())
    print(text)


if __name__ == "__main__":
    main()
