"""Channels pruned to a half, a third and a quarter of the MACs, and trained: beside torch-pruning.

A ResNet-20 for CIFAR-10 loses channels until it has at most so many MACs, and is then trained by
the loop of ``bench/recover.py``: the same samples, epochs, distillation and settings for every way.
What differs is which channels go, and whether the weights that stay are refitted before training.

torch-pruning chooses as its own examples do: one global ranking of all groups by its pruner, by
group norm, Taylor or Hessian importance. It is told how this network's parameter-free shortcuts
behave, so that it can prune all that ours can. Taylor looks at as many labelled training images as
ours; its Hessian takes the gradient of every image, and is given fewer. torch-pruning is installed
with this project, which finds coupled layers with it.

Cells are written as they are done, and a stopped one goes on from its last epoch::

    python bench/structured.py                               # the table, computes nothing
    python bench/structured.py --run                         # all that are missing
    python bench/structured.py --run --methods ours taylor --times 3 --epochs 0
    python bench/structured.py --write                       # the table into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import recover
from common import DOCS, ROOT, documented
from recover import ATTENTION, DATA, LOOP, MODEL, SPLIT, by_importance, by_macs, macs_of, ratio_for

from optim.hashing import digest
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.sensitivity.trials import remembering
from optim.step import Context
from optim.storage import write_atomic
from optim.subject import Subject
from optim.techniques.distill import Distill
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm

RESULTS = ROOT / "bench" / "structured.json"
TIMES = (2, 3, 4)
"""How many times fewer MACs."""
EPOCHS = (0, 1, 3, 10)
"""Lengths of training; without any, what is pruned is measured as it is."""
SEEDS = (0, 1, 2)
IMAGES = {"taylor": 2048, "hessian": 256}
"""Labelled training images that torch-pruning is given."""

METHODS = {
    "ours": "Taylor importance weighed by MACs",
    "refitted": "Taylor importance over all groups, weights refitted",
    "not refitted": "Taylor importance over all groups",
    "group norm": "torch-pruning, group norm",
    "taylor": "torch-pruning, Taylor",
    "hessian": "torch-pruning, Hessian",
}


@dataclass(frozen=True)
class Cell:
    """One pruning and its training.

    Attributes:
        method: A key of ``METHODS``.
        times: How many times fewer MACs.
        epochs: Length of the training.
        seed: Of samples and training.
    """

    method: str
    times: int
    epochs: int
    seed: int

    @property
    def key(self) -> str:
        """Name in the results."""
        return f"{self.method}, {self.times}x, {self.epochs} epochs, seed {self.seed}"

    @property
    def step(self) -> Distill:
        """Its training, which is that of all."""
        return Distill(transfer=ATTENTION, **LOOP).replace(epochs=self.epochs)

    @property
    def settings(self) -> str:
        """Identity of all that decides the result."""
        pruning = by_macs if self.method == "ours" else by_importance
        chosen = (pruning(0.5).changed(), IMAGES, self.step.changed())
        return digest(MODEL, DATA, SPLIT, self.key, chosen)


def cells(
    methods: Iterable[str] = tuple(METHODS),
    times: Iterable[int] = TIMES,
    epochs: Iterable[int] = EPOCHS,
    seeds: Iterable[int] = SEEDS,
) -> list[Cell]:
    """Return the cells of a selection: short ones first, the first seed of all before."""
    methods, times = list(methods), list(times)
    return [Cell(m, t, e, s) for e in epochs for s in seeds for t in times for m in methods]


# --- pruning ------------------------------------------------------------------------------------


def pruned(cell: Cell, subject: Subject) -> ModelBundle:
    """Return the original without the channels that a method chooses, batch norm re-estimated."""
    original, target = subject.bundle, macs_of(subject.bundle) / cell.times
    context = Context(subject.data, original, cell.seed, "prune_channels", memo=remembering())
    if cell.method == "ours":
        found = with_ours(original, context, target, by_macs)
    elif cell.method in ("refitted", "not refitted"):
        refit = cell.method == "refitted"
        found = with_ours(original, context, target, by_importance, refit=refit)
    else:
        found = with_torch_pruning(original, context, target, cell.method)
    return ReestimateBatchNorm().apply(found, context).bundle


def with_ours(
    original: ModelBundle,
    context: Context,
    target: float,
    prune: Callable[[float], PruneChannels],
    *,
    refit: bool = False,
) -> ModelBundle:
    def left(ratio: float) -> int:
        return macs_of(prune(ratio).apply(original, context).bundle)

    step = prune(ratio_for(left, target, nearest=False))
    return step.replace(reconstruct=refit).apply(original, context).bundle


def with_torch_pruning(
    original: ModelBundle, context: Context, target: float, method: str
) -> ModelBundle:
    """Return what torch-pruning makes; its choice of channels is carried out by ours."""
    import torch
    import torch_pruning as tp

    from optim.layers.channels import find_channels, shortcut_pruners
    from optim.layers.slicing import keep_channels

    module = copy.deepcopy(original.module).eval()
    importance = importance_of(method, module, original, context)
    channels = find_channels(module, original.spec.shape)
    makers = {maker: group for group in channels.groups for maker in group.makers}
    names = {layer: name for name, layer in module.named_modules()}

    def chosen(ratio: float) -> ModelBundle:
        pruner = tp.pruner.BasePruner(
            module,
            torch.zeros(1, *original.spec.shape),
            importance,
            global_pruning=True,
            pruning_ratio=ratio,
            ignored_layers=[module.get_submodule(name) for name in channels.protected],
            customized_pruners=shortcut_pruners(),
        )
        keep = {}
        for found in pruner.step(interactive=True):
            name, indices = names[found[0].dep.target.module], found[0].idxs
            group = makers[name]
            member = next(m for m in group.members if m.layer == name and m.side == "out")
            gone = member.channel[torch.isin(member.index, torch.tensor(indices))]
            every = torch.arange(group.size)
            keep[group.name] = every[~torch.isin(every, gone)]
        return original.with_module(keep_channels(original.module, channels.groups, keep))

    ratio = ratio_for(lambda r: macs_of(chosen(r)), target, nearest=False, stops=2**9)
    return chosen(ratio)


def importance_of(method: str, module: Any, original: ModelBundle, context: Context) -> Any:
    """Return torch-pruning's importance, with what gradients it needs in a module."""
    import torch_pruning as tp

    from optim.techniques.pruning import losses_on_labels

    if method == "group norm":
        return tp.importance.GroupMagnitudeImportance(p=2)
    images = IMAGES[method]
    if method == "taylor":
        for loss in losses_on_labels(module, original, context, images, 128, "Taylor"):
            loss.backward()
        return tp.importance.GroupTaylorImportance()
    importance = tp.importance.GroupHessianImportance()
    for loss in losses_on_labels(module, original, context, images, 1, "Hessian"):
        module.zero_grad()
        loss.backward()
        importance.accumulate_grad(module)
    # It hands on what it gathered when it is asked for the first time, and then forgets it.
    gathered = {p: g / importance._counter[p] for p, g in importance._accu_grad.items()}
    importance.zero_grad()
    for parameter, value in gathered.items():
        parameter.grad = value
    return importance


# --- cells --------------------------------------------------------------------------------------


def compute(cell: Cell, files: Path) -> dict[str, Any]:
    """Prune and train one cell, or go on where it was stopped, and measure it."""
    from optim.measure.evaluate import predict

    start, subject = time.perf_counter(), recover.opened()
    bundle = pruned(cell, subject)
    before = predict(bundle, subject.samples()).accuracy()
    print(f"  {macs_of(bundle) / 1e6:.2f} M MACs, {before} before training", file=sys.stderr)
    trained, figures = bundle, {}
    if cell.epochs:
        trained, figures = recover.trained(
            bundle, subject, "distill", cell.step, cell.seed, cell.settings, files
        )
    return {
        "settings": cell.settings,
        "training": cell.step.changed(),
        "untrained_validation": before.to_json(),
        **recover.measured(trained, subject, figures, start),
    }


def read() -> dict[str, Any]:
    """Return the results so far."""
    return recover.read(RESULTS)


def run(wanted: Iterable[Cell]) -> None:
    """Compute the cells that are missing."""
    recover.run(wanted, compute, RESULTS)


# --- the table ----------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Return all results as Markdown."""
    if not results["original"]:
        return "Nothing was run."
    start = results["original"]
    accuracy = Quantity.from_json(start["accuracy_test"])
    lines = [f"The original: {accuracy} at {start['macs'] / 1e6:.1f} M MACs.", ""]
    for times in TIMES:
        columns = ["untrained" if not e else f"{e} epoch{'s' * (e > 1)}" for e in EPOCHS]
        lines += [
            f"**{times} times fewer MACs**, test accuracy in %",
            "",
            f"| | M MACs | {' | '.join(columns)} |",
            f"|:--|--:|{'--:|' * len(EPOCHS)}",
        ]
        for method, about in METHODS.items():
            groups = [group(results, method, times, epochs) for epochs in EPOCHS]
            sizes = [result["macs"] / 1e6 for found in groups for result in found.values()]
            size = f"{sum(sizes) / len(sizes):.1f}" if sizes else ""
            shown = " | ".join(recover.mean_accuracy(found) for found in groups)
            own = "**ours**" if method == "ours" else method
            what = about if about.startswith("torch-pruning") else f"{own}: {about}"
            lines.append(f"| {what} | {size} | {shown} |")
        for method, about in METHODS.items():
            if method == "ours":
                continue
            gains = []
            for epochs in EPOCHS:
                ours, theirs = (group(results, m, times, epochs) for m in ("ours", method))
                gains.append(recover.gain_of(ours, theirs))
            if any(gain != "not run" for gain in gains):
                what = about if about.startswith("torch-pruning") else method
                lines.append(f"| ours minus {what}, points | | {' | '.join(gains)} |")
        lines.append("")
    lines.append(
        "± is half the 95 % interval: over seeds (t) where there are several, which is told, "
        "else over the 5,000 test images, paired for differences."
    )
    return "\n".join(lines)


def group(
    results: dict[str, Any], method: str, times: int, epochs: int
) -> dict[int, dict[str, Any]]:
    """Return the results of the seeds that were run, by seed."""
    found = {cell.seed: recover.done(cell, results) for cell in cells([method], [times], [epochs])}
    return {seed: result for seed, result in found.items() if result}


def main() -> None:
    """Print the table; compute what is missing if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="compute the cells that are missing")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--times", nargs="+", type=int, choices=TIMES, default=list(TIMES))
    parser.add_argument("--epochs", nargs="+", type=int, choices=EPOCHS, default=list(EPOCHS))
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--threads", type=int, help="of torch; decides the last digits")
    parser.add_argument("--write", action="store_true", help="the table into docs/benchmarks.md")
    chosen = parser.parse_args()
    if chosen.run:
        if not (ROOT / DATA).is_dir():
            sys.exit(f"This bench needs {DATA} and the weights beside it; they are not here.")
        if chosen.threads:
            import torch

            torch.set_num_threads(chosen.threads)
        run(cells(chosen.methods, chosen.times, chosen.epochs, chosen.seeds))
    text = table(read())
    if chosen.write:
        write_atomic(DOCS, documented("structured", text).encode())
    print(text)


if __name__ == "__main__":
    main()
