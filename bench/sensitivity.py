"""What sharing the work up to the changed layer gains, and how long a whole analysis takes.

``python bench/sensitivity.py``
"""

from __future__ import annotations

import time

import torch
from common import ROOT, record

from optim.measure.evaluate import runner_of
from optim.measure.variants import Variants
from optim.processes import available_cores
from optim.recipe import Recipe
from optim.sensitivity.analysis import analyse
from optim.sensitivity.trials import techniques, trials_of
from optim.step import Context
from optim.subject import Subject, open_subject

CIFAR = Recipe(
    f"resnet20:{ROOT.parent}/shared/data/weights/resnet20_cifar10_jpeg.safetensors",
    str(ROOT.parent / "shared/data/cifar10"),
)
DEFAULT = Recipe("clutter-resnet8", "cluttered-digits")
SAMPLES = 1000
SHARED_OUT = 64
"""Samples of the comparison, which runs every variant as a whole as well."""


def shared(subject: Subject) -> dict[str, float]:
    """Return processor seconds of all variants together, and of each as a whole, in turns."""
    context = Context(data=subject.data, reference=subject.bundle)
    bundles = [
        trial.bundle
        for name, cls in techniques().items()
        for trial in trials_of(name, cls(), subject.bundle, context)[0]
    ]
    variants = Variants(subject.bundle, bundles)
    runners = [runner_of(bundle) for bundle in bundles]
    x = subject.bundle.spec.normalise(subject.samples().inputs[:SHARED_OUT])
    spent = {"together": 0.0, "whole": 0.0}
    for _ in range(3):
        began = time.process_time()
        variants.outputs(x)
        spent["together"] += time.process_time() - began
        began = time.process_time()
        for run in runners:
            run(x)
        spent["whole"] += time.process_time() - began
    return {
        "variants": len(bundles),
        "computed": variants.computed,
        "ratio": spent["whole"] / spent["together"],
    }


def main() -> None:
    torch.set_num_threads(1)  # chunks of samples are shared out instead
    found = {}
    for name, recipe in {"clutter-resnet8": DEFAULT, "resnet20, CIFAR-10": CIFAR}.items():
        if recipe is CIFAR and not (ROOT.parent / "shared").is_dir():
            continue
        subject = open_subject(recipe)
        began = time.monotonic()
        *_, profile = analyse(subject, samples=SAMPLES, workers=available_cores())
        seconds = time.monotonic() - began
        found[name] = {"samples": profile.n, "seconds": seconds, **shared(subject)}
    record("sensitivity", found)


if __name__ == "__main__":
    main()
