"""What the scripts of all peers share: they read cells, and write what the network then says.

A script runs in an environment of its own and knows nothing of this project. It is given a folder:

=========================  =========================================================
``job.json``               the cells: way, bits of weights and activations, draw
``network.npz``            the weights of ``network.ResNet20``
``network.onnx``           the same network, batch norms folded
``calibration-<draw>.npy`` ``(512, 3, 32, 32)`` normalised images, no labels
``images.npy``             ``(N, 3, 32, 32)`` normalised images that are asked for
=========================  =========================================================

It writes ``original.npy``, what the network says there before anything is done to it, and for each
cell ``<number>.npy``, and ``<number>.onnx`` if it made such a file. A line on standard output tells
the bench that a cell is done.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["MARK", "Cell", "NotOffered", "in_batches", "onnx_session", "serve", "torch_run"]

MARK = "cell done: "
Run = Callable[[np.ndarray], np.ndarray]
"""Outputs ``(N, 10)`` for images ``(N, 3, 32, 32)``."""


class NotOffered(Exception):
    """A peer has no such thing, by its own documentation or refusal."""


@dataclass(frozen=True)
class Cell:
    """What is asked of a peer.

    Attributes:
        folder: Where the network lies.
        way: Which of the peer's methods.
        weight_bits: Of all weights, those of the first and last layer too.
        activation_bits: Of all activations.
        calibration: ``(512, 3, 32, 32)``.
        file: Where an ONNX file goes, if one is made.
    """

    folder: Path
    way: str
    weight_bits: int
    activation_bits: int
    calibration: np.ndarray
    file: Path

    def refuse_but(self, weight_bits: tuple[int, ...], activation_bits: tuple[int, ...]) -> None:
        """Refuse other bits.

        Raises:
            NotOffered: Saying which there are.
        """
        for what, bits, known in (
            ("weights", self.weight_bits, weight_bits),
            ("activations", self.activation_bits, activation_bits),
        ):
            if bits not in known:
                raise NotOffered(f"{what} of {bits} bits; only {', '.join(map(str, known))}")


def in_batches(run: Run, images: np.ndarray, size: int = 250) -> np.ndarray:
    """Return the outputs for all images."""
    return np.concatenate([run(images[i : i + size]) for i in range(0, len(images), size)])


def torch_run(module: Any) -> Run:
    """Return how a torch module is run."""
    import torch

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return run


def onnx_session(file: Path) -> Run:
    """Return how an ONNX file is run: by ONNX Runtime, with all its optimisations."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def serve(original: Callable[[Path], Run], quantized: Callable[[Cell], Run]) -> None:
    """Do all cells of the folder that is the script's argument.

    Args:
        original: Opens the network as it is.
        quantized: Does what a cell asks for.
    """
    folder = Path(sys.argv[1])
    images = np.load(folder / "images.npy")
    np.save(folder / "original.npy", in_batches(original(folder), images))
    for number, asked in json.loads((folder / "job.json").read_text()).items():
        calibration = np.load(folder / f"calibration-{asked['draw']}.npy")
        bits = asked["weight_bits"], asked["activation_bits"]
        cell = Cell(folder, asked["way"], *bits, calibration, folder / f"{number}.onnx")
        start = time.process_time()
        try:
            run = quantized(cell)
            spent = time.process_time() - start
            outputs = in_batches(run, images)
            if not np.isfinite(outputs).all():
                raise ValueError("outputs are not finite")
            np.save(folder / f"{number}.npy", outputs)
            told = {"state": "done", "processor_s": round(spent, 1)}
        except NotOffered as error:
            told = {"state": "not offered", "reason": str(error)}
        except Exception as error:
            traceback.print_exc()
            first = next(iter(str(error).splitlines()), "")
            told = {"state": "failed", "reason": f"{type(error).__name__}: {first}"[:200]}
        print(f"\n{MARK}{json.dumps({'number': number, **told})}", flush=True)
