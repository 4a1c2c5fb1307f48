"""How long *Recover accuracy* takes, and what it wins back: half the channels gone, int8.

The recipe is that of the button, the run is queued as the button queues it, and the real worker
does it on a store where nothing was trained before. Accuracy, or mAP of a detector, is that on the
named part of the data.

    python bench/one_click.py             digits
    python bench/one_click.py --cifar10   ResNet-20 on CIFAR-10 as well: half an hour on two cores
    python bench/one_click.py --detector  the detector of digit scenes alone, into a file of its own
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from typing import Any

from cifar import resnet20
from common import record

from optim.recipe import Recipe
from optim.recovery import recovery
from optim.runner import run as run_recipe
from optim.runs.engine import LocalEngine
from optim.runs.run import ENDED, State
from optim.runs.store import RunStore
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize


def recovered(model: str, data: str) -> dict[str, Any]:
    """Return what one click took and gave."""
    recipe = (
        Recipe(model, data)
        .with_step(PruneChannels(pruning_ratio=0.5))
        .with_step(Quantize(weight_bits=8, activation_bits=8))
    )
    bare = run_recipe(recipe).to_json()
    store = RunStore.open()
    start = time.perf_counter()
    run = store.submit("recipe", {"recipe": recovery(recipe).to_json()}, title="Recover")
    LocalEngine().ensure()
    first = None
    while (found := store.get(run.id)).state not in ENDED:
        if first is None and store.epochs(run.id):
            first = time.perf_counter() - start
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    if found.state is not State.FINISHED or found.result is None:
        sys.exit(f"{model}: {found.state}: {found.error}")
    card = found.result
    metric = card["baseline"]["primary"]
    return {
        "recipe": recovery(recipe).to_json(),
        "seconds": seconds,
        "seconds_until_the_first_point_of_a_curve": first,
        "epochs": len(store.epochs(run.id)),
        f"{metric}_original": card["baseline"][metric],
        f"{metric}_compressed": bare["result"][metric],
        f"{metric}_recovered": card["result"][metric],
        "change": card["change"][metric],
        "part": card["part"],
        "macs": [card["baseline"]["macs"], card["result"]["macs"]],
        "file": [card["baseline"]["file"], card["result"]["file"]],
        "verified": card["verification"],
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["OPTIM_HOME"] = home
        if "--detector" in sys.argv:
            found = recovered("scenes-detector", "digit-scenes")
            record("one_click_detector", {"Detector, digit scenes": found})
            return
        results: dict[str, Any] = {"ResNet-8, digits": recovered("digits-resnet8", "digits")}
        wanted = resnet20() if "--cifar10" in sys.argv else None
        results["ResNet-20, CIFAR-10"] = recovered(*wanted) if wanted else "not run: --cifar10"
    record("one_click", results)


if __name__ == "__main__":
    main()
