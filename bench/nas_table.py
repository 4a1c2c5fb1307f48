"""Train every network of a space, so that ways to search it can be compared without training.

The space: DS-CNN of 8 to 56 channels, 1 to 8 blocks, two kernels and two stems, 224 networks, for
the digits. Each is trained for 2 and for 6 epochs, each time from fresh weights with a schedule of
its own, and measured as it would be deployed, with 8-bit integers, on validation and test samples.
``nas_table.json`` has one line a network; what is there is not trained again.

    python bench/nas_table.py                  all that are missing
    python bench/nas_table.py --networks 16    so many of them
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from typing import Any

import torch
from common import ROOT, record

from optim.search.nas.asked import Asked, goals_of
from optim.search.nas.bench import Bench
from optim.search.nas.session import rungs_of

RESULTS = ROOT / "bench" / "nas_table.json"
EPOCHS = 6
ONLY = {"width": tuple(range(8, 57, 8))}
RUNGS = rungs_of(EPOCHS, 224)
COSTS = ("bytes", "macs", "params")
_PROXIES = ("synflow", "naswot")


def asked(seed: int = 0) -> Asked:
    return Asked("ds-cnn", "digits", epochs=EPOCHS, only=ONLY, seed=seed)


def columns() -> list[str]:
    """Return what a line holds: costs, wrong samples and seconds by epochs, proxies."""
    trained = [
        f"{what}_{epochs}"
        for epochs in RUNGS
        for what in ("validation_wrong", "test_wrong", "seconds")
    ]
    return [*COSTS, *trained, *_PROXIES]


def line(bench: Bench, point: dict[str, Any]) -> str:
    """Train one network and return its figures in the order of :func:`columns`."""
    architecture = bench.architecture(point)
    costs = bench.costs(architecture, goals_of(bench.asked))
    scores = bench.scores(architecture, _PROXIES)
    found = [f"{costs[name].value:.0f}" for name in COSTS]
    for epochs in RUNGS:
        bundle, seconds = bench.train(architecture, epochs)
        deployed = bench.deployed(bundle)
        for part in ("validation", "test"):
            error = bench.judge(deployed, part).error
            found.append(f"{error.value / 100 * (error.n or 0):.0f}")
        found.append(f"{seconds:.2f}")
    found += [f"{scores[name]:.6g}" if name in scores else "nan" for name in _PROXIES]
    return " ".join(found)


def name_of(point: dict[str, Any]) -> str:
    return " ".join(map(str, point.values()))


def in_columns(kept: dict[str, Any]) -> dict[str, str]:
    """Return the lines of a table without the columns that are no longer wanted."""
    places = [kept["columns"].index(name) for name in columns()]
    lines = {name: text.split() for name, text in kept["networks"].items()}
    return {name: " ".join(values[i] for i in places) for name, values in lines.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", type=int, default=224)
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(RESULTS.read_text())["results"] if RESULTS.is_file() else {}
    networks = in_columns(kept) if kept else {}
    with tempfile.TemporaryDirectory() as home:
        os.environ["OPTIM_HOME"] = home
        bench = Bench(asked())
        parts = bench.subject.data.parts
        missing = [p for p in bench.space.points() if name_of(p) not in networks]
        bench.warm_up()
        began = time.process_time()
        for point in missing[: options.networks]:
            networks[name_of(point)] = line(bench, point)
    spent = kept.get("cpu_seconds", 0.0) + time.process_time() - began
    record(
        "nas_table",
        {
            "point": [dimension.name for dimension in bench.space],
            "columns": columns(),
            "validation_samples": parts["validation"],
            "test_samples": parts["test"],
            "cpu_seconds": spent,
            "networks": networks,
        },
    )


if __name__ == "__main__":
    main()
