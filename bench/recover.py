"""How much accuracy comes back after pruning, by way, size and length of training.

A ResNet-20 for CIFAR-10 loses channels until 17.6 or 14.3 million MACs are left, and is trained
for 1, 3 or 10 epochs. Every cell is one recipe and one seed. All ways have the same MACs to within
1 %, start from re-estimated batch norm where they keep weights, and train in the same loop.

Settings were chosen on one half of CIFAR-10's test images; the other half is asked once a cell.
The halves are the same for every seed. Samples carved from the training part would not do: the
original has seen them, and whatever copies it best looks best there (88.0 % where unseen images
give 84.4 %).

Cells are written as they are done, and a stopped one goes on from its last epoch::

    python bench/recover.py                                      # the table, computes nothing
    python bench/recover.py --run                                # all that are missing
    python bench/recover.py --run --methods ours --epochs 1 3 --seeds 0

Several processes may run at once; each takes cells that no other one works on.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import DOCS, ROOT, documented, machine, packed, unpacked

from optim.hashing import digest
from optim.measure.intervals import mean_interval
from optim.measure.predictions import accuracy_change
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.runs.checkpoint import Checkpoint, checkpoints_of, forget_checkpoints
from optim.runs.files import LocalFiles
from optim.runs.lock import Lock
from optim.sensitivity.trials import remembering
from optim.step import Context, Step
from optim.storage import cache_home, write_atomic
from optim.subject import Subject, open_subject
from optim.techniques.distill import Distill
from optim.techniques.finetune import FineTune
from optim.techniques.importances.taylor import Taylor
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm
from optim.techniques.transfers.attention import Attention

MODEL = "resnet20:../shared/data/weights/resnet20_cifar10_jpeg.safetensors"
DATA = "../shared/data/cifar10"
SPLIT = "test"
RESULTS = ROOT / "bench" / "recover.json"

TARGETS = (17.6, 14.3)
"""Millions of MACs: 2.3 and 2.9 times fewer than the original's."""
EPOCHS = (1, 3, 10)
SEEDS = (0, 1, 2)

LOOP = {"learning_rate": 0.03, "shift": 4, "flip": True, "precision": "bfloat16"}
"""How every way trains; a network with fresh weights takes larger steps."""
FRESH = LOOP | {"learning_rate": 0.1}


@dataclass(frozen=True)
class Method:
    """One way to get a network of a given size.

    Attributes:
        about: For the table.
        prune: Its pruning at a ratio, which is found for the target; None leaves the network whole.
        train: Its training.
        fresh: Whether the pruned network forgets its weights.
        is_control: Whether it has the MACs that are nearest to the target; the others have at most
            the target.
    """

    about: str
    prune: Callable[[float], PruneChannels] | None
    train: Step
    fresh: bool = False
    is_control: bool = True

    def steps(self, ratio: float, epochs: int) -> tuple[Step, ...]:
        """Return what is done to the original."""
        train = self.train.replace(epochs=epochs)
        if self.prune is None:
            return (train,)
        prune = self.prune(ratio)
        return (prune, train) if self.fresh else (prune, ReestimateBatchNorm(), train)


def by_importance(ratio: float) -> PruneChannels:
    """Prune what matters least to the loss among the channels of its group, wherever it is."""
    return PruneChannels(
        pruning_ratio=ratio, importance=Taylor(samples=2048), scope="global", round_to=1
    )


def by_macs(ratio: float) -> PruneChannels:
    """Prune what matters least to the loss for what it multiplies.

    The power of the MACs was chosen after one epoch at 14.3 M MACs on validation samples: 83.5,
    84.0 and 83.8 % with a quarter, a half and three quarters; 82.8 % by importance alone.
    """
    return by_importance(ratio).replace(scope="macs")


def uniform(ratio: float) -> PruneChannels:
    """Prune every layer alike, by the size of its weights.

    The first stream is rounded half a channel later than the layers inside its blocks. Otherwise
    both change width at the same ratio, and no size near the target is to be had.
    """
    return PruneChannels(
        pruning_ratio=ratio, layers={"conv1": max(0.0, ratio - 1 / 32)}, round_to=1
    )


ATTENTION = Attention(weight=50)
"""Chosen with Taylor importance on validation samples, after one epoch at 17.6 M MACs."""

METHODS = {
    "ours": Method(
        "Taylor importance weighed by MACs, answers and attention distilled",
        by_macs,
        Distill(transfer=ATTENTION, **LOOP),
        is_control=False,
    ),
    "by importance": Method(
        "Taylor importance over all groups, trained as ours",
        by_importance,
        Distill(transfer=ATTENTION, **LOOP),
        is_control=False,
    ),
    "reference": Method(
        "L2 importance at a uniform ratio, distilled with T = 4", uniform, Distill(**LOOP)
    ),
    "fine-tuning": Method(
        "the network by importance, trained on labels",
        by_importance,
        FineTune(**LOOP),
        is_control=False,
    ),
    "scaled": Method(
        "all widths scaled alike, from scratch, distilled as ours",
        uniform,
        Distill(transfer=ATTENTION, **FRESH),
        fresh=True,
    ),
    "scratch": Method(
        "the network by importance from scratch, distilled as ours",
        by_importance,
        Distill(transfer=ATTENTION, **FRESH),
        fresh=True,
        is_control=False,
    ),
    "dense": Method(
        "nothing removed, distilled as ours", None, Distill(transfer=ATTENTION, **LOOP)
    ),
}


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        method: A key of ``METHODS``.
        target: Millions of MACs; 0 where nothing is removed.
        epochs: Length of the training.
        seed: Of the recipe.
    """

    method: str
    target: float
    epochs: int
    seed: int

    @property
    def key(self) -> str:
        """Name in the results."""
        size = f"{self.target} M" if self.target else "whole"
        return f"{self.method}, {size}, {self.epochs} epochs, seed {self.seed}"

    @property
    def settings(self) -> str:
        """Identity of all that decides the result: a cell made with others is not taken for it."""
        method = METHODS[self.method]
        steps = [{type(step).__name__: step.changed()} for step in method.steps(0.5, self.epochs)]
        return digest(MODEL, DATA, SPLIT, self.key, steps, method.fresh, method.is_control)

    @property
    def rank(self) -> tuple[Any, ...]:
        """Position in the order of work: what is cheap and tells most comes first."""
        compared = self.method in ("ours", "reference", "fine-tuning")
        return (self.epochs == max(EPOCHS), self.seed, not compared, -self.target, self.epochs)


def cells(
    methods: Iterable[str] = tuple(METHODS),
    targets: Iterable[float] = TARGETS,
    epochs: Iterable[int] = EPOCHS,
    seeds: Iterable[int] = SEEDS,
) -> list[Cell]:
    """Return the cells of a selection in the order of work."""
    found = {
        Cell(m, t if METHODS[m].prune else 0.0, e, s)
        for m in methods
        for t in targets
        for e in epochs
        for s in seeds
    }
    names = list(METHODS)
    return sorted(found, key=lambda cell: (cell.rank, names.index(cell.method)))


# --- one cell -----------------------------------------------------------------------------------


def opened() -> Subject:
    """Open network and data, with the same halves of the test images for every seed.

    The training part stays whole, so that a cell's recipe alone trains the same network.
    """
    return open_subject(Recipe(MODEL, DATA, split=SPLIT), base=ROOT)


def macs_of(bundle) -> int:
    from optim.measure.macs import layer_costs

    return sum(cost.macs for cost in layer_costs(bundle.module, bundle.spec.shape))


def ratio_for(
    prune: Callable[[float], int], target: float, *, nearest: bool, stops: int = 2**12
) -> float:
    """Return the ratio that brings the MACs next to a target.

    Args:
        prune: From a ratio to the MACs that are left, which never grow with the ratio.
        target: MACs.
        nearest: Whether a little more than the target is taken where that is nearer.
        stops: Ratios in 0..1 that are tried by bisection.
    """
    low, high = 0, stops  # of the former more than the target is left, of the latter not
    while high - low > 1:
        middle = (low + high) // 2
        if prune(middle / stops) > target:
            low = middle
        else:
            high = middle
    above, below = prune(low / stops) - target, target - prune(high / stops)
    return (low if nearest and above < below else high) / stops


def forgotten(bundle, seed: int):
    """Return a bundle of the same layers with fresh weights."""
    import torch

    from optim.models.blocks import initialise_

    module = copy.deepcopy(bundle.module)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in module.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
        initialise_(module)
    return bundle.with_module(module)


def recipe_of(cell: Cell, subject: Subject) -> Recipe:
    """Return the recipe of a cell, its pruning ratio found."""
    method = METHODS[cell.method]
    recipe = Recipe(MODEL, DATA, seed=cell.seed, split=SPLIT)
    ratio = 0.0
    if method.prune is not None:
        # The recipe's own name of the step decides which samples importance is taken from.
        entry = recipe.with_step(method.prune(0.5)).entries[0].id
        context = Context(subject.data, subject.bundle, cell.seed, entry, memo=remembering())

        def left(ratio: float) -> int:
            return macs_of(method.prune(ratio).apply(subject.bundle, context).bundle)

        ratio = ratio_for(left, 1e6 * cell.target, nearest=method.is_control)
    for step in method.steps(ratio, cell.epochs):
        recipe = recipe.with_step(step)
    return recipe


def compute(cell: Cell, files: Path, precision: str = "") -> dict[str, Any]:
    """Train one cell, or go on where it was stopped, and measure it.

    Args:
        cell: What is trained.
        files: Where its states are kept.
        precision: Of the training, instead of that of ``LOOP``.
    """
    start = time.perf_counter()
    subject = opened()
    recipe = recipe_of(cell, subject)
    bundle, figures = subject.bundle, {}
    for entry in recipe.active:
        if entry.step.cost == "training":
            if METHODS[cell.method].fresh:
                bundle = forgotten(bundle, cell.seed)
            step = entry.step.replace(precision=precision) if precision else entry.step
            bundle, figures = trained(
                bundle, subject, entry.id, step, cell.seed, cell.settings, files
            )
        else:
            context = Context(subject.data, subject.bundle, cell.seed, entry.id)
            bundle = entry.step.apply(bundle, context).bundle
    return {
        "settings": cell.settings,
        "recipe": recipe.to_json(),
        "precision": precision or LOOP["precision"],
        "fresh_weights": METHODS[cell.method].fresh,
        **measured(bundle, subject, figures, start),
    }


def trained(
    bundle: ModelBundle,
    subject: Subject,
    entry: str,
    step: Step,
    seed: int,
    settings: str,
    files: Path,
) -> tuple[ModelBundle, dict[int, dict[str, Any]]]:
    """Train a model, or go on where that was stopped.

    Args:
        bundle: What is trained.
        subject: Network and data it comes from; the former teaches.
        entry: Name of the step in its recipe, which decides what is drawn.
        step: The training.
        seed: Of the recipe.
        settings: Identity of all that decides the result.
        files: Where its states are kept.

    Returns:
        The trained model, and ``{epoch: figures}``.
    """
    figures: dict[int, dict[str, Any]] = {}

    def told(share: float, what: str) -> None:
        if "step" not in what:
            print(f"  {share:4.0%} {what}", file=sys.stderr, flush=True)

    context = Context(
        subject.data,
        subject.bundle,
        seed,
        entry,
        progress=told,
        resume=Checkpoint(checkpoints_of(LocalFiles(files), settings), entry),
        record=lambda row: figures.update({row["epoch"]: row}),
    )
    return step.apply(bundle, context).bundle, figures


def measured(
    bundle: ModelBundle, subject: Subject, figures: dict[int, dict[str, Any]], start: float
) -> dict[str, Any]:
    """Return what is told of a trained model; only here test images are looked at."""
    import torch

    from optim.measure.evaluate import predict

    test = predict(bundle, subject.data.part("test"))
    return {
        "macs": macs_of(bundle),
        "params": sum(p.numel() for p in bundle.module.parameters()),
        "validation_by_epoch": [round(row["accuracy"], 4) for row in figures.values()],
        "accuracy_validation": predict(bundle, subject.samples()).accuracy().to_json(),
        "accuracy_test": test.accuracy().to_json(),
        "right_on_test": packed(test.correct),
        "training_s": round(sum(row["seconds"] for row in figures.values()), 1),
        "all_s": round(time.perf_counter() - start, 1),
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
    }


def original() -> dict[str, Any]:
    """Measure the network that all ways start from."""
    from optim.measure.evaluate import predict

    subject = opened()
    test = predict(subject.bundle, subject.data.part("test"))
    return {
        "macs": macs_of(subject.bundle),
        "accuracy_test": test.accuracy().to_json(),
        "right_on_test": packed(test.correct),
    }


# --- the file -----------------------------------------------------------------------------------


def read(path: Path | None = None) -> dict[str, Any]:
    """Return ``{"original": ..., "cells": {key: ...}}``; empty before the first cell."""
    path = path or RESULTS
    if not path.is_file():
        return {"original": None, "cells": {}}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return results


def write(change: Callable[[dict[str, Any]], None], files: Path, path: Path | None = None) -> None:
    """Change the results on the disk, whole or not at all, whoever else writes."""
    lock = Lock(files / "results.lock")
    while not lock.take():
        time.sleep(0.1)
    path = path or RESULTS
    with lock:
        results = read(path)
        change(results)
        results["cells"] = dict(sorted(results["cells"].items()))
        command = f"python bench/{path.stem}.py --run"
        text = json.dumps({"command": command, "results": results}, indent=1)
        write_atomic(path, f"{text}\n".encode())


def done(cell: Cell, results: dict[str, Any]) -> dict[str, Any] | None:
    """Return a cell's results; None if it was not run, or with other settings."""
    found = results["cells"].get(cell.key)
    return found if found and found["settings"] == cell.settings else None


@contextmanager
def claimed(cell: Cell, files: Path) -> Iterator[bool]:
    """Say whether this process may work on a cell, and keep others off it."""
    lock = Lock(files / "cells" / cell.settings)
    with lock:
        yield lock.take()


def run(
    wanted: Iterable[Cell],
    do: Callable[[Cell, Path], dict[str, Any]] | None = None,
    path: Path | None = None,
) -> None:
    """Compute the cells that are missing.

    Args:
        wanted: The cells.
        do: Computes one, with a folder for what it keeps meanwhile; :func:`compute` without it.
        path: Where results are kept; those of this bench without it.
    """
    do, path = do or compute, path or RESULTS
    files = cache_home() / "bench" / path.stem
    if read(path)["original"] is None:
        found = original()
        write(lambda results: results.update(original=found), files, path)
    for cell in wanted:
        with claimed(cell, files) as mine:
            if not mine or done(cell, read(path)):
                continue
            print(f"{datetime.now():%H:%M:%S} {cell.key}", file=sys.stderr, flush=True)
            result = do(cell, files)
            write(
                lambda results, c=cell, r=result: results["cells"].update({c.key: r}), files, path
            )
            forget_checkpoints(LocalFiles(files), cell.settings)
            accuracy = Quantity.from_json(result["accuracy_test"])
            print(f"{datetime.now():%H:%M:%S} {cell.key}: {accuracy}", file=sys.stderr, flush=True)


# --- the table ----------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Return all results as Markdown."""
    lines = []
    if (start := results["original"]) is not None:
        accuracy = Quantity.from_json(start["accuracy_test"])
        lines += [f"The original: {accuracy} at {start['macs'] / 1e6:.1f} M MACs.", ""]
    for target in TARGETS:
        lines += [
            f"**{target} M MACs**, test accuracy in %",
            "",
            f"| | M MACs | {' | '.join(_epochs(e) for e in EPOCHS)} |",
            f"|:--|--:|{'--:|' * len(EPOCHS)}",
        ]
        for name, method in METHODS.items():
            groups = [group(results, name, target, epochs) for epochs in EPOCHS]
            sizes = [result["macs"] / 1e6 for found in groups for result in found.values()]
            size = f"{sum(sizes) / len(sizes):.1f}" if sizes else ""
            shown = " | ".join(mean_accuracy(found) for found in groups)
            lines.append(f"| {name}: {method.about} | {size} | {shown} |")
        for other in METHODS:
            if other != "ours":
                shown = " | ".join(gain(results, other, target, epochs) for epochs in EPOCHS)
                lines.append(f"| ours minus {other}, points | | {shown} |")
        lines.append("")
    lines.append(
        "± is half the 95 % interval: over seeds (t) where there are several, which is told, "
        "else over the 5,000 test samples, paired for differences."
    )
    return "\n".join(lines)


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count > 1)}"


def group(
    results: dict[str, Any], method: str, target: float, epochs: int
) -> dict[int, dict[str, Any]]:
    """Return the results of the seeds that were run, by seed."""
    found = {cell.seed: done(cell, results) for cell in cells([method], [target], [epochs], SEEDS)}
    return {seed: result for seed, result in found.items() if result}


def mean_accuracy(found: dict[int, dict[str, Any]]) -> str:
    """Return the mean accuracy of such results and its interval, in percent."""
    if not found:
        return "not run"
    values = [Quantity.from_json(result["accuracy_test"]) for result in found.values()]
    if len(values) == 1:
        return f"{100 * values[0].value:.2f} ± {100 * values[0].half_width:.2f}"
    mean, low, high = mean_interval(np.array([100 * v.value for v in values]))
    return f"{mean:.2f} ± {(high - low) / 2:.2f} ({len(values)} seeds)"


def gain(results: dict[str, Any], other: str, target: float, epochs: int) -> str:
    """Return by how many points ours is better, on the seeds that both were run with."""
    ours, theirs = (group(results, name, target, epochs) for name in ("ours", other))
    return gain_of(ours, theirs)


def gain_of(ours: dict[int, dict[str, Any]], theirs: dict[int, dict[str, Any]]) -> str:
    """Return by how many points the former are better, on the seeds that both were run with."""
    changes = []
    for seed in sorted(ours.keys() & theirs.keys()):
        n = ours[seed]["accuracy_test"]["n"]
        before, after = (unpacked(g[seed]["right_on_test"], n) for g in (theirs, ours))
        changes.append(accuracy_change(before, after).difference)
    if not changes:
        return "not run"
    if len(changes) == 1:
        return f"{changes[0].value:+.2f} ± {changes[0].half_width:.2f}"
    mean, low, high = mean_interval(np.array([change.value for change in changes]))
    return f"{mean:+.2f} ± {(high - low) / 2:.2f} ({len(changes)} seeds)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="compute the cells that are missing")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--macs", nargs="+", type=float, choices=TARGETS, default=TARGETS)
    parser.add_argument("--epochs", nargs="+", type=int, choices=EPOCHS, default=EPOCHS)
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=SEEDS)
    parser.add_argument("--threads", type=int, help="of torch; decides the last digits")
    parser.add_argument(
        "--precision",
        choices=("bfloat16", "float32"),
        default="",
        help="of the training; a processor that has to imitate bfloat16 takes twice the time",
    )
    chosen = parser.parse_args()
    if chosen.run:
        if not (ROOT / DATA).is_dir():
            sys.exit(f"This bench needs {DATA} and the weights beside it; they are not here.")
        if chosen.threads:
            import torch

            torch.set_num_threads(chosen.threads)
        wanted = cells(chosen.methods, chosen.macs, chosen.epochs, chosen.seeds)
        run(wanted, partial(compute, precision=chosen.precision))
    found = table(read())
    DOCS.write_text(documented("recover", found), encoding="utf-8")
    print(found)


if __name__ == "__main__":
    main()
