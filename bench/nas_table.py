"""Train every network of a space, so that ways to search it can be compared without training.

======  ==========================================================================================
digits  DS-CNN of 8 to 56 channels, 1 to 8 blocks, two kernels and two stems: 224 networks for the
        8x8 digits
mnist   MLP of 8 to 128 neurons, 1 to 8 layers, batch, layer or no normalisation: 240 networks for
        the first 500 images of each class of MNIST (``../shared/data/mnist``), tested on as many
        of its test images
======  ==========================================================================================

Each is trained for 2 and for 6 epochs, each time from fresh weights with a schedule of its own, and
measured as it would be deployed, with 8-bit integers, on validation and test samples. The results
have one line a network; what is there is not trained again.

    python bench/nas_table.py                  all that are missing, for the digits
    python bench/nas_table.py --table mnist    for the other data
    python bench/nas_table.py --networks 16    so many of them
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from common import ROOT, record

from optim.search.nas.asked import Asked, goals_of
from optim.search.nas.bench import Bench
from optim.search.nas.session import rungs_of

EPOCHS = 6
RUNGS = rungs_of(EPOCHS, 224)
COSTS = ("bytes", "macs", "params")
_PROXIES = ("synflow", "naswot")
MNIST = ROOT.parent / "shared" / "data" / "mnist"
_OF_A_CLASS = 500


@dataclass(frozen=True)
class Plan:
    """Which networks are trained, and for which data."""

    results: str
    space: str
    shape: tuple[int, ...]
    only: Mapping[str, Any]
    also: tuple[str, ...] = field(default=())

    @property
    def path(self) -> Path:
        """Where the table is kept."""
        return ROOT / "bench" / f"{self.results}.json"


TABLES = {
    "digits": Plan("nas_table", "ds-cnn", (1, 8, 8), {"width": tuple(range(8, 57, 8))}),
    "mnist": Plan(
        "nas_table_mnist",
        "mlp",
        (1, 28, 28),
        {
            "width": (8, 16, 24, 32, 48, 64, 80, 96, 112, 128),
            "normalisation": ("batch", "layer", "none"),
        },
        ("normalisation",),
    ),
}


def asked(table: str, home: Path, seed: int = 0) -> Asked:
    plan = TABLES[table]
    data = str(first_of_mnist(home)) if table == "mnist" else table
    return Asked(plan.space, data, epochs=EPOCHS, only=plan.only, also=plan.also, seed=seed)


def first_of_mnist(home: Path) -> Path:
    """Write a folder with the first images of each class; return it."""
    for name in ("train.zip", "test.zip"):
        found: Counter[str] = Counter()
        (home / "mnist").mkdir(exist_ok=True)
        with (
            zipfile.ZipFile(MNIST / name) as whole,
            zipfile.ZipFile(home / "mnist" / name, "w") as part,
        ):
            for image in sorted(whole.namelist()):
                folder = image.rpartition("/")[0]
                if image.endswith("/") or found[folder] == _OF_A_CLASS:
                    continue
                found[folder] += 1
                part.writestr(zipfile.ZipInfo(image), whole.read(image))
    return home / "mnist"


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
    parser.add_argument("--table", choices=list(TABLES), default="digits")
    parser.add_argument("--networks", type=int, default=240)
    options = parser.parse_args()
    plan = TABLES[options.table]
    if options.table == "mnist" and not MNIST.is_dir():
        print(f"not run: there is no {MNIST.relative_to(ROOT.parent)}")
        return
    torch.set_num_threads(1)
    kept = json.loads(plan.path.read_text())["results"] if plan.path.is_file() else {}
    networks = in_columns(kept) if kept else {}
    with tempfile.TemporaryDirectory() as home:
        os.environ["OPTIM_HOME"] = home
        bench = Bench(asked(options.table, Path(home)))
        parts = bench.subject.data.parts
        missing = [p for p in bench.space.points() if name_of(p) not in networks]
        bench.warm_up()
        began = time.process_time()
        for point in missing[: options.networks]:
            networks[name_of(point)] = line(bench, point)
    spent = kept.get("cpu_seconds", 0.0) + time.process_time() - began
    record(
        plan.results,
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
