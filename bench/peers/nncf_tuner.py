"""The auto-tuner of NNCF: 8 bits, and layers back in float until so much accuracy is lost at most.

Run in an environment of its own, given a folder with ``network.onnx``, ``calibration.npy``
``(N, ...)`` and ``images.npy`` with ``labels.npy``, by which it decides, all normalised. It writes
``tuned.onnx`` and says in seconds what it took of the processor.

    python bench/peers/nncf_tuner.py FOLDER MOST_LOST_POINTS
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx
import onnxruntime

_BATCH = 250
_BY = ("images.npy", "labels.npy")


def accuracy(model: onnx.ModelProto, samples: Iterable[Any]) -> tuple[float, list[float]]:
    """Return the share of samples that a model gets right, and which."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = name_of(model)
    right = [
        float(session.run(None, {name: image})[0].argmax() == label) for image, label in samples
    ]
    return float(np.mean(right)), right


def name_of(model: onnx.ModelProto) -> str:
    name: str = model.graph.input[0].name
    return name


def main() -> None:
    folder, lost = Path(sys.argv[1]), float(sys.argv[2])
    network = onnx.load(folder / "network.onnx")
    calibration = np.load(folder / "calibration.npy")[:, None]
    images, labels = (np.load(folder / name) for name in _BY)
    name = name_of(network)
    tuned = nncf.quantize_with_accuracy_control(
        network,
        nncf.Dataset(list(calibration), lambda image: {name: image}),
        nncf.Dataset(list(zip(images[:, None], labels, strict=True)), lambda pair: {name: pair[0]}),
        accuracy,
        max_drop=lost / 100,
        drop_type=nncf.DropType.ABSOLUTE,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(calibration),
    )
    onnx.save(tuned, folder / "tuned.onnx")
    print(f"{time.process_time():.1f}")


if __name__ == "__main__":
    main()
