"""Autopilot against what a user would do instead, in the same time on the same space.

Cells, one a seed and way: the Autopilot; Optuna alone, drawing from the same space and training
every candidate for one epoch; the best of the presets, trained as they say. All select on
validation samples; loss on test samples is looked at once, for what each takes. Nothing that was
trained before counts. A cell that is done is kept in ``autopilot.json``, so that a stopped bench
goes on.

    python bench/autopilot.py                          the default model, a tenth of its bytes
    python bench/autopilot.py --minutes 10 --seeds 5   as long as it takes
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import ROOT, record

from optim.measure.evaluate import predict
from optim.measure.quality import quality
from optim.presets import preset_recipes
from optim.processes import available_cores
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.search.autopilot.asked import Asked
from optim.search.autopilot.plan import Autopilot, recipes_of
from optim.search.autopilot.recoveries import can_recover, trained_recipe
from optim.search.autopilot.session import Session
from optim.search.candidate import Candidate
from optim.search.choosing import chosen, closest_miss, front_of
from optim.search.front import hypervolume
from optim.search.loss import loss_of
from optim.search.watch import Watch

RESULTS = ROOT / "bench" / "autopilot.json"
LIMITS = {"bytes": "10%", "loss": 1.0}
WORST = (20.0, 1.0, 1.0)
"""Corner of the box whose volume a front is measured by: points lost, shares of bytes and MACs."""


class Spent(Exception):
    """The time of a cell is used up."""


def asked(model: str, data: str, seconds: float, seed: int) -> Asked:
    return Asked(Recipe(model, data, seed=seed), LIMITS, seconds=seconds, reuses=False)


def by_autopilot(request: Asked) -> tuple[Session, list[Candidate]]:
    autopilot = Autopilot(request)
    answer = autopilot.run()
    return autopilot.session, [c for c in answer.candidates if not c.is_baseline]


def by_hand(request: Asked) -> tuple[Session, list[Candidate]]:
    session, base = Session(request, Watch()), request.base
    recipes = preset_recipes(base.model, base.data, base.seed).values()
    return session, trained_until(session, iter(recipes))


def by_optuna(request: Asked) -> tuple[Session, list[Candidate]]:
    """Draw from the space as it is, and train each candidate for one epoch."""
    session = Session(request, Watch())
    recipes = recipes_of(session)
    session.open_studies(recipes)
    found: list[Candidate] = []
    while session.budget.left > 0:
        point = session.points.ask()
        recipe = recipes.recipe(point.point)
        trained = trained_recipe(recipe, 1) if can_recover(recipe) else recipe
        more = trained_until(session, iter([trained]))
        if not more:
            break
        session.points.tell(point.number, more[0])
        found += more
    return session, found


def trained_until(session: Session, recipes: Any) -> list[Candidate]:
    """Train and measure recipes until the budget is spent."""

    def check() -> None:
        if session.budget.left <= 0:
            raise Spent

    found = []
    for number, recipe in enumerate(recipes):
        try:
            bundle, _ = apply_recipe(recipe, session.bench.subject, check=check)
            session.trained[recipe.hash] = bundle
            found.append(
                session.bench.measure(
                    recipe, session.goals, stage=str(number), bundle=bundle, check=check
                )
            )
        except Spent:
            break
    return found


WAYS: dict[str, Callable[[Asked], tuple[Session, list[Candidate]]]] = {
    "autopilot": by_autopilot,
    "optuna alone": by_optuna,
    "presets": by_hand,
}


def cell(way: str, request: Asked) -> dict[str, Any]:
    """Return what one way found, and what it does on test samples."""
    began = time.perf_counter()
    session, candidates = WAYS[way](request)
    seconds = time.perf_counter() - began
    goals, original = session.goals, session.original
    closest = closest_miss(candidates, goals)
    best = chosen(candidates, goals)
    taken = best or (closest.candidate if closest else None)
    points = [
        (
            max(0.0, c.figures["loss"].value),
            c.figures["bytes"].value / original["bytes"].value,
            c.figures["macs"].value / original["macs"].value,
        )
        for c in front_of(candidates, goals, whole=True)
    ]
    found: dict[str, Any] = {
        "seconds": seconds,
        "candidates": len(candidates),
        "satisfied": best is not None,
        "hypervolume": hypervolume(points, WORST) / WORST[0],
    }
    if taken is not None:
        recipe = Recipe.from_json(taken.made["recipe"])
        samples, subject = session.bench.subject.samples("test"), session.bench.subject
        before = predict(session.bench.original.bundle, samples)
        after = predict(session.bundle(recipe), samples)
        loss = loss_of(quality(after, before, subject.bundle.task, every=False))
        found |= {
            "recipe": recipe.to_json(),
            "figures": {name: value.to_json() for name, value in taken.figures.items()},
            "test_loss": loss.to_json(),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="clutter-resnet8")
    parser.add_argument("--data", default="cluttered-digits")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(available_cores())
    kept = json.loads(RESULTS.read_text())["results"] if RESULTS.is_file() else {}
    for seed in range(options.seeds):
        for way in WAYS:
            name = f"{options.model}, {options.minutes:g} min, seed {seed}, {way}"
            if name in kept:
                continue
            with tempfile.TemporaryDirectory() as home:
                cache = Path(os.environ.get("OPTIM_HOME", home)) / "cache"
                os.environ["OPTIM_HOME"] = home
                if cache.is_dir() and str(cache) != f"{home}/cache":
                    (Path(home) / "cache").symlink_to(cache)
                request = asked(options.model, options.data, 60 * options.minutes, seed)
                kept[name] = cell(way, request)
            print(name, {k: v for k, v in kept[name].items() if k not in ("recipe", "figures")})
            record("autopilot", kept)


if __name__ == "__main__":
    main()
