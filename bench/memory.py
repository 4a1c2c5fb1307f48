"""Peak memory of networks in ONNX Runtime on this machine, against what is estimated for it.

Each network is loaded and run once in a process of its own, with one thread. What counts is how far
the process grows beyond what it holds once the runtime is imported and has loaded one network: the
runtime's own code is there once, however many networks there are.

The constants of ``optim/devices/memory.py`` are those that it finds; errors are of networks that
were left out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import record

from optim.devices.memory import runtime_memory
from optim.devices.memory_fitting import fit_runtime_memory
from optim.export.deploy import onnx_bytes
from optim.ladder.checking import networks
from optim.ladder.footprint import footprint_of
from optim.models.open import open_model

_REPEATS = 3
_ALONE = """
import sys
import numpy as np, onnxruntime as ort

def status(name):
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(name)]
    return 1024 * int(line.split()[1])

def run(path, shape):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, {session.get_inputs()[0].name: np.zeros(shape, np.float32)})

path, first, *shape = sys.argv[1:]
run(first, (1, 30))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
run(path, tuple(map(int, shape)))
print(status("VmHWM") - before)
"""


def peak_bytes(file: bytes, first: Path, shape: tuple[int, ...], folder: Path) -> int:
    """Return by how much a process grows that loads a file and runs it once; the median of few."""
    path = folder / "network.onnx"
    path.write_bytes(file)
    command = [sys.executable, "-c", _ALONE, str(path), str(first), *map(str, (1, *shape))]
    found = [
        int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(_REPEATS)
    ]
    return int(np.median(found))


def main() -> None:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder, first = Path(name), Path(name, "first.onnx")
        first.write_bytes(onnx_bytes(open_model("mlp")))
        for title, bundle in networks():
            file = onnx_bytes(bundle)
            found = footprint_of(bundle, file, np.zeros((1, *bundle.spec.shape), np.float32))
            if title == "mlp" or found.arena is None:
                continue  # what every process ran first
            sizes = (
                sum(not operator.is_free for operator in found.operators),
                found.weight_bytes,
                int(found.arena.value),
            )
            estimated = runtime_memory(*sizes, "onnxruntime")
            peak = peak_bytes(file, first, bundle.spec.shape, folder)
            rows.append(
                {
                    "network": title,
                    "operators": sizes[0],
                    "weight_bytes": sizes[1],
                    "arena_bytes": sizes[2],
                    "measured_bytes": peak,
                    "estimated": estimated.to_json(),
                    "is_inside": estimated.low <= peak <= estimated.high,
                }
            )
    terms = np.array(
        [[1, r["operators"], r["weight_bytes"], r["arena_bytes"]] for r in rows], float
    )
    measured = np.array([row["measured_bytes"] for row in rows], float)
    constants, predicted, ends = fit_runtime_memory(terms, measured)
    held = terms[:, 2] + terms[:, 3]
    record(
        "memory",
        {
            "networks": len(rows),
            "error_percent": error(predicted, measured),
            "error_of_weights_and_arena_percent": error(held, measured),
            "constants": constants.tolist(),
            "interval": ends,
            "coverage_of_what_ships": float(np.mean([row["is_inside"] for row in rows])),
            "rows": rows,
        },
    )


def error(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Return the median absolute percentage error."""
    return float(100 * np.median(np.abs(predicted / measured - 1)))


if __name__ == "__main__":
    main()
