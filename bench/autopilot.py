"""Autopilot against what a user would do instead, in the same time on the same space.

Cells, one a seed and way:

==================  ==========================================================================
autopilot           as ``optim search``
optuna alone        draws from the same space, and trains every candidate for one epoch
presets             the recipes made by hand, trained as they say
int8                eight bits and nothing else, as every runtime offers
a narrower network  of the same family, trained from the start for as long as there is time: the
                    widest that keeps the limit of bytes
NNCF                its auto-tuner: 8 bits, and layers back in float until little enough is lost;
                    it has no other width
==================  ==========================================================================

All select on validation samples; loss on test samples is looked at once, for what each takes.
Nothing that was trained before counts; data are drawn before the time begins, as ``make app`` does.
All have the same wall-clock time; ``cpu_seconds`` says what a busy machine gave of it. With
``--clock cpu`` one thread computes and its processor time is what all clocks of the process show,
so that the load of a shared machine changes nothing. A cell that is done is kept in
``autopilot.json``, so that a stopped bench goes on. NNCF is installed in an environment of its own.
The auto-tuners of Neural Compressor and Olive are not part of it yet.

    python bench/autopilot.py                             the default model, a tenth of its bytes
    python bench/autopilot.py --model resnet20 --minutes 10 --max-bytes 25% --seeds 5
    python bench/autopilot.py --cells 1                   so many that are missing
    python bench/autopilot.py --clock cpu --ways presets  one way, on a busy machine
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cifar import resnet20
from common import DOCS, ROOT, documented, record
from peers import SCRIPTS, environment

from optim.export.deploy import onnx_bytes
from optim.measure.evaluate import predict
from optim.measure.intervals import mean_interval
from optim.measure.quality import quality
from optim.models.bundle import ModelBundle
from optim.models.open import open_model
from optim.presets import preset_recipes
from optim.processes import available_cores
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.search.autopilot.asked import Asked
from optim.search.autopilot.narrower import Narrower
from optim.search.autopilot.plan import Autopilot, recipes_of
from optim.search.autopilot.recoveries import can_recover, trained_recipe
from optim.search.autopilot.session import Session
from optim.search.candidate import Candidate
from optim.search.choosing import best_or_closest, chosen, closest_miss, front_of
from optim.search.front import hypervolume
from optim.search.loss import loss_of
from optim.search.watch import Watch
from optim.step import Context
from optim.subject import open_subject
from optim.techniques.quantize import Quantize

RESULTS = ROOT / "bench" / "autopilot.json"
WORST = (20.0, 1.05, 1.05)
"""Corner of the box whose volume a front is measured by: points lost, shares of bytes and MACs.
What has all MACs of the original, such as eight bits alone, is inside."""
_CALIBRATED = 512
DEFAULT = ("clutter-resnet8", "cluttered-digits")
OTHERS = ("Neural Compressor, Olive auto-tuning",)
"""What should stand beside it and was not run."""


class Spent(Exception):
    """The time of a cell is used up."""


@dataclass
class Found:
    """What one way came to."""

    session: Session
    candidates: list[Candidate]
    bundle: Callable[[Candidate], ModelBundle]


def by_autopilot(request: Asked) -> Found:
    autopilot = Autopilot(request, clock=time.monotonic)
    answer = autopilot.run()
    own = [c for c in answer.candidates if not c.is_baseline]
    return found_in(autopilot.session, own)


def by_hand(request: Asked) -> Found:
    session, base = Session(request, Watch(), clock=time.monotonic), request.base
    recipes = preset_recipes(base.model, base.data, base.seed).values()
    return found_in(session, trained_until(session, iter(recipes)))


def by_integers(request: Asked) -> Found:
    session = Session(request, Watch(), clock=time.monotonic)
    return found_in(session, trained_until(session, iter([request.base.with_step(Quantize())])))


def by_optuna(request: Asked) -> Found:
    """Draw from the space as it is, and train each candidate for one epoch."""
    session = Session(request, Watch(), clock=time.monotonic)
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
    return found_in(session, found)


def by_narrower(request: Asked) -> Found:
    session = Session(request, Watch(), clock=time.monotonic)
    narrower = Narrower(session.bench, session.goals)
    limits = {limit.figure: limit.most for limit in session.goals.limits}
    architecture = narrower.widest({n: most for n, most in limits.items() if n != "loss"})
    found: list[Candidate] = []
    bundles: list[ModelBundle] = []
    while architecture is not None and not found:
        epochs = narrower.epochs(architecture, session.budget.left)
        if epochs < 1:
            break
        candidate, bundle = narrower.measured(architecture, epochs, lambda: None)
        found.append(candidate)
        bundles.append(bundle)
    return Found(session, found, lambda candidate: bundles[found.index(candidate)])


def by_nncf(request: Asked) -> Found:
    session = Session(request, Watch(), clock=time.monotonic)
    subject, limit = session.bench.subject, session.goals.limit("loss")
    samples = subject.samples()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        (folder / "network.onnx").write_bytes(onnx_bytes(subject.bundle))
        x, _ = Context(subject.data, subject.bundle, request.base.seed).calibration(_CALIBRATED)
        np.save(folder / "calibration.npy", x.numpy())
        np.save(folder / "images.npy", subject.bundle.spec.normalise(samples.inputs).numpy())
        np.save(folder / "labels.npy", samples.targets)
        most = str(limit.most if limit else 0.0)
        script = [python_of_nncf(), SCRIPTS / "nncf_tuner.py", folder, most]
        subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
        file = folder / "tuned.onnx"
        tuned = replace(open_model(str(file), as_graph=True), spec=subject.bundle.spec)
        size = Quantity.exact(file.stat().st_size, "bytes")
    before, after = (predict(b, samples) for b in (session.bench.original.bundle, tuned))
    lost = loss_of(quality(after, before, subject.bundle.task, every=False))
    figures = {"loss": lost, "bytes": size, "macs": session.original["macs"]}
    candidate = Candidate({}, {}, figures, "measured", "tuned", "NNCF, accuracy control")
    return Found(session, [candidate], lambda _: tuned)


@cache
def python_of_nncf() -> Path:
    """Return the Python of its environment, which is installed if it is not there."""
    return environment("NNCF") / "bin" / "python"


def found_in(session: Session, candidates: list[Candidate]) -> Found:
    return Found(session, candidates, lambda c: session.bundle(Recipe.from_json(c.made["recipe"])))


def trained_until(session: Session, recipes: Iterator[Recipe]) -> list[Candidate]:
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


WAYS: dict[str, Callable[[Asked], Found]] = {
    "autopilot": by_autopilot,
    "optuna alone": by_optuna,
    "presets": by_hand,
    "int8": by_integers,
    "a narrower network": by_narrower,
    "NNCF": by_nncf,
}


def cell(way: str, request: Asked) -> dict[str, Any]:
    """Return what one way found, and what it does on test samples."""
    began, busy = time.perf_counter(), cpu_seconds()
    got = WAYS[way](request)
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - busy
    session, goals, original = got.session, got.session.goals, got.session.original
    closest = closest_miss(got.candidates, goals)
    best = chosen(got.candidates, goals)
    taken = best_or_closest(best, closest)
    points = [
        (
            max(0.0, c.figures["loss"].value),
            c.figures["bytes"].value / original["bytes"].value,
            c.figures["macs"].value / original["macs"].value,
        )
        for c in front_of([c for c in got.candidates if "macs" in c.figures], goals, whole=True)
    ]
    found: dict[str, Any] = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "load": os.getloadavg()[1],
        "candidates": len(got.candidates),
        "satisfied": best is not None,
        "front": points,
        "hypervolume": volume(points),
    }
    if taken is not None:
        samples, subject = session.bench.subject.samples("test"), session.bench.subject
        before = predict(session.bench.original.bundle, samples)
        after = predict(got.bundle(taken), samples)
        loss = loss_of(quality(after, before, subject.bundle.task, every=False))
        found |= {
            "taken": taken.title,
            "made": dict(taken.made),
            "bytes_of_original": original["bytes"].value,
            "macs_of_original": original["macs"].value,
            "figures": {name: value.to_json() for name, value in taken.figures.items()},
            "test_loss": loss.to_json(),
        }
    return found


def draw(recipe: Recipe) -> None:
    """Have all parts of the data ready."""
    data = open_subject(recipe).data
    for part in data.parts:
        data.part(part)


def cpu_seconds() -> float:
    """Return what this process and those it waited for took of the processor."""
    took = os.times()
    return took.user + took.system + took.children_user + took.children_system


def volume(points: Iterable[Sequence[float]]) -> float:
    """Return the share of the box that a front dominates."""
    return hypervolume([tuple(p) for p in points], WORST) / math.prod(WORST)


def table_text(results: dict[str, Any]) -> str:
    """Return the tables of docs/benchmarks.md, one a model and budget."""
    tables = []
    for about in dict.fromkeys(key.partition(", seed ")[0] for key in results):
        lines = [
            f"{about}:",
            "",
            "| way | seeds | hypervolume of the front | Autopilot's is larger by "
            "| keeps the limits | of the original's bytes | of its MACs "
            "| loss on validation, points | on test samples, points | candidates | CPU seconds |",
            "|:--|" + "--:|" * 10,
        ]
        ours = cells_of(results, about, "autopilot")
        for way in WAYS:
            lines.append(row_text(way, cells_of(results, about, way), ours))
        lines += [f"| {way} | not run |" + " |" * 9 for way in OTHERS]
        tables.append("\n".join(lines))
    return "\n\n".join(tables) if tables else "not run"


def cells_of(results: dict[str, Any], about: str, way: str) -> dict[str, Any]:
    """Return the cells of one way by their seeds."""
    found = {}
    for key, cell in results.items():
        model, _, rest = key.partition(", seed ")
        seed, _, by = rest.partition(", ")
        if (model, by) == (about, way):
            found[seed] = cell
    return found


def row_text(way: str, by_seed: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return the row of one way: means, over seeds with the interval or from least to most."""
    cells = list(by_seed.values())
    if not cells:
        return f"| {way} | not run |" + " |" * 9
    both = [seed for seed in by_seed if seed in ours and way != "autopilot"]
    more = [ours[seed]["hypervolume"] - by_seed[seed]["hypervolume"] for seed in both]
    told = [c for c in cells if "figures" in c]
    columns = [
        f"{len(cells)}",
        f"{statistics.mean(c['hypervolume'] for c in cells):.3f}",
        _with_interval(more),
        f"{sum(c['satisfied'] for c in cells)} of {len(cells)}",
        _spread([100 * _of(c, "bytes") for c in told], " %"),
        _spread([100 * _of(c, "macs") for c in told], " %"),
        _spread([c["figures"]["loss"]["value"] for c in told]),
        _spread([c["test_loss"]["value"] for c in told]),
        f"{statistics.mean(c['candidates'] for c in cells):.0f}",
        f"{statistics.mean(c['cpu_seconds'] for c in cells):.0f}",
    ]
    return f"| {way} | {' | '.join(columns)} |"


def _of(cell: dict[str, Any], cost: str) -> float:
    """Return the share of the original's cost that is left."""
    share: float = cell["figures"][cost]["value"] / cell[f"{cost}_of_original"]
    return share


def _with_interval(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean, low, _ = mean_interval(np.asarray(values))
    return f"{mean:+.3f} ± {mean - low:.3f}" if len(values) > 1 else f"{mean:+.3f}"


def _spread(values: Sequence[float], unit: str = "") -> str:
    if not values:
        return ""
    mean, least, most = statistics.mean(values), min(values), max(values)
    text = f"{mean:.1f}{unit}"
    return text if f"{least:.1f}" == f"{most:.1f}" else f"{text} ({least:.1f} to {most:.1f})"


def known() -> dict[str, Any]:
    """Return the cells that are done."""
    if not RESULTS.is_file():
        return {}
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
    return {name: {**one, "hypervolume": volume(one["front"])} for name, one in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["default", "resnet20"], default="default")
    parser.add_argument("--max-bytes", default="10%")
    parser.add_argument("--max-loss", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--cells", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_num_threads(available_cores() if options.clock == "wall" else 1)
    if options.clock == "cpu":
        time.perf_counter = time.monotonic = time.process_time
    kept = known()
    name = "resnet20" if options.model == "resnet20" else DEFAULT[0]
    about = (
        f"{name}, {options.max_bytes} of its bytes, {options.max_loss:g} points, "
        f"{options.minutes:g} minutes{'' if options.clock == 'wall' else ' of one thread'}"
    )
    missing = [
        (seed, way)
        for seed in range(options.seeds)
        for way in options.ways
        if f"{about}, seed {seed}, {way}" not in kept
    ]
    if options.cells == 0:
        record("autopilot", kept)
    if any(way == "NNCF" for _, way in missing[: options.cells]):
        python_of_nncf()  # in the home that stays, before the time begins
    for seed, way in missing[: options.cells]:
        with tempfile.TemporaryDirectory() as home:
            cache = Path(os.environ.get("OPTIM_HOME", home)) / "cache"
            os.environ["OPTIM_HOME"] = home
            if cache.is_dir() and str(cache) != f"{home}/cache":
                (Path(home) / "cache").symlink_to(cache)
            names = resnet20() if options.model == "resnet20" else DEFAULT
            if names is None:
                print("not run: there is no ../shared/data")
                return
            request = Asked(
                Recipe(*names, seed=seed),
                {"bytes": options.max_bytes, "loss": options.max_loss},
                seconds=60 * options.minutes,
                reuses=False,
            )
            draw(request.base)
            made = cell(way, request)
        # Ways may run beside each other: each adds its own to what the others have done.
        kept = {**known(), f"{about}, seed {seed}, {way}": made}
        record("autopilot", kept)
    DOCS.write_text(documented("autopilot", table_text(kept)), encoding="utf-8")


if __name__ == "__main__":
    main()
