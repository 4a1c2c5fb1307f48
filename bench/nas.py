"""Ways to search architectures, replayed on tables in which every network was trained.

``nas_table.py`` makes two tables, of DS-CNNs for the digits and of MLPs for a part of MNIST, each
network trained for 2 and for 6 epochs. Here ways to search are given the same networks and answered
out of a table, seed after seed, and the hypervolume of what they have trained to the end is
compared with that of all networks: share that is missing against the number of trainings. Shorter
trainings count by their epochs. The box: error from 0 to that of the worst network, bytes and MACs
as logarithms from the least to the most.

    python bench/nas.py                   all cells that are missing, and the tables in the docs
    python bench/nas.py --cells 4         so many of them
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import nas_table
from common import DOCS, ROOT, documented, record

from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.front import front, hypervolume
from optim.search.goals import Goals
from optim.search.nas.families import space_of
from optim.search.nas.halving import LEARNED, promotion, telling
from optim.search.nas.predicting import LEAST_KNOWN, Known, most_promising
from optim.search.nas.trust import kendall_tau, spearman_rho
from optim.search.samplers import sampler_of
from optim.search.space import Space
from optim.search.study import Study

RESULTS = ROOT / "bench" / "nas.json"
GOALS = Goals(("error", "bytes", "macs"))
SEEDS = 5
CLOSE = 0.01
"""Share of the hypervolume that may be missing."""
TITLES = {
    "digits": "224 DS-CNNs for the digits",
    "mnist": "240 MLPs for 5,000 images of MNIST",
}
_MOST = 0.6
"""Share of the table after which a way is no longer followed."""


class Table:
    """What was trained, by point.

    Args:
        plan: Which of the tables.
    """

    def __init__(self, plan: nas_table.Plan) -> None:
        kept = json.loads(plan.path.read_text(encoding="utf-8"))["results"]
        self.space: Space = space_of(plan.space, plan.shape, also=plan.also, only=plan.only)
        names, columns = kept["point"], kept["columns"]
        texts = kept["networks"]
        self.validation, self.test = kept["validation_samples"], kept["test_samples"]
        self.rows: dict[str, dict[str, float]] = {}
        self.points: dict[str, dict[str, Any]] = {}
        for point in self.space.points():
            name = " ".join(str(point[n]) for n in names)
            if name in texts:
                values = map(float, texts[name].split())
                self.rows[name] = dict(zip(columns, values, strict=True))
                self.points[name] = point
        self._names = names

    @property
    def is_whole(self) -> bool:
        """Whether every network was trained."""
        return len(self.rows) == self.space.count()

    def row(self, point: Any) -> dict[str, float]:
        """Return the figures of a point."""
        return self.rows[" ".join(str(point[n]) for n in self._names)]

    def error(self, row: dict[str, float], epochs: int, part: str = "validation") -> float:
        """Return the error in points."""
        n = self.validation if part == "validation" else self.test
        return 100 * row[f"{part}_wrong_{epochs}"] / n

    def candidate(self, point: Any, epochs: int, number: int = -1, parent: int = -1) -> Candidate:
        """Return a point as a search knows it after a training."""
        row = self.row(point)
        figures = {"error": Quantity.exact(self.error(row, epochs), "points")}
        figures["bytes"] = Quantity.exact(row["bytes"], "bytes")
        figures["macs"] = Quantity.exact(row["macs"], "macs")
        made = {"architecture": dict(point), "epochs": epochs}
        return Candidate(point, made, figures, "measured", "", number=number, parent=parent)

    @cached_property
    def ends(self) -> list[tuple[float, float]]:
        """Least and most of the logarithms of bytes and MACs."""
        logs = [[math.log(r["bytes"]), math.log(r["macs"])] for r in self.rows.values()]
        return [(min(column), max(column)) for column in zip(*logs, strict=True)]

    @cached_property
    def worst(self) -> float:
        """The largest error of a whole training."""
        return max(self.error(row, nas_table.EPOCHS) for row in self.rows.values())

    def values(self, row: dict[str, float], part: str = "validation") -> tuple[float, ...]:
        """Return error and costs, each from 0 to 1."""
        logs = (math.log(row["bytes"]), math.log(row["macs"]))
        costs = [(x - low) / (high - low) for x, (low, high) in zip(logs, self.ends, strict=True)]
        return (self.error(row, nas_table.EPOCHS, part) / self.worst, *costs)

    def volume(self, rows: list[dict[str, float]]) -> float:
        """Return the hypervolume of networks."""
        values = [self.values(row) for row in rows]
        return hypervolume([values[i] for i in front(values)], (1.05,) * 3)

    @cached_property
    def best(self) -> float:
        """The hypervolume of all networks."""
        return self.volume(list(self.rows.values()))


@dataclass
class Step:
    """A training: of which network, for how many epochs."""

    point: Any
    epochs: int


# --- ways to search -------------------------------------------------------------------------------

Way = Callable[[Table, int], Iterator[Step]]
NextPoint = Callable[[list[Candidate], int], Any]
"""Names the next network, from all that were trained and the length of the next training."""


def by_chance(table: Table, seed: int) -> Iterator[Step]:
    """Draw networks without looking back, none twice."""
    points = list(table.points.values())
    random.Random(seed).shuffle(points)
    for point in points:
        yield Step(point, nas_table.EPOCHS)


def by_sampler(name: str) -> Way:
    """Ask a sampler, and train each network to the end."""

    def way(table: Table, seed: int) -> Iterator[Step]:
        study = _study(name, table.space, seed)
        for point in _new_points(study, table, seed):
            yield Step(point.point, nas_table.EPOCHS)
            study.tell(point.number, table.candidate(point.point, nas_table.EPOCHS))

    return way


def by_proxy(name: str) -> Way:
    """Train first the eight that a proxy thinks most of, of 48 drawn; then ask NSGA-II."""

    def way(table: Table, seed: int) -> Iterator[Step]:
        study = _study("nsga2", table.space, seed)
        drawn = random.Random(seed).sample(list(table.points.values()), 48)
        drawn.sort(key=lambda point: -table.row(point)[name])
        for point in drawn[:8]:
            study.enqueue(point)
        for asked in _new_points(study, table, seed):
            yield Step(asked.point, nas_table.EPOCHS)
            study.tell(asked.number, table.candidate(asked.point, nas_table.EPOCHS))

    return way


def by_halving(sampler: str) -> Way:
    """Train for short what a sampler thinks of, and a third of it for longer each time."""

    def way(table: Table, seed: int) -> Iterator[Step]:
        study = _study(sampler, table.space, seed)
        yield from _halved(table, _told(study, table, seed))

    return way


def by_predictor(table: Table, seed: int) -> Iterator[Step]:
    """Train to the end what promises to enlarge the front most."""
    first = random.Random(seed).sample(list(table.points.values()), LEAST_KNOWN)
    done: list[Any] = []
    while len(done) < len(table.rows):
        point = first[len(done)] if len(done) < len(first) else _promising(table, done)
        yield Step(point, nas_table.EPOCHS)
        done.append(point)


def by_predictor_and_halving(table: Table, seed: int) -> Iterator[Step]:
    """Train for short what promises most, and a third of it for longer each time."""
    yield from _halved(table, _foretold(table, seed))


def by_predictor_that_learns(table: Table, seed: int) -> Iterator[Step]:
    """The same as long as short trainings rank networks as long ones do: as the search does it."""
    yield from _halved(table, _foretold(table, seed), LEARNED)


def _foretold(table: Table, seed: int) -> NextPoint:
    """Return what names the network that promises most, a few at random and the smallest first."""
    chance = random.Random(seed)
    smallest = min(table.points.values(), key=lambda p: table.row(p)["bytes"])
    first = [smallest, *chance.sample(list(table.points.values()), LEAST_KNOWN)]

    def next_point(known: list[Candidate], epochs: int) -> Any:
        done = [c.point for c in known if c.made["epochs"] == epochs]
        fresh = [point for point in first if not any(c.point == point for c in known)]
        return fresh[0] if fresh else _promising(table, done, epochs)

    return next_point


WAYS: dict[str, Way] = {
    "random": by_chance,
    "TPE": by_sampler("tpe"),
    "NSGA-II": by_sampler("nsga2"),
    "synflow first, then NSGA-II": by_proxy("synflow"),
    "NASWOT first, then NSGA-II": by_proxy("naswot"),
    "NSGA-II, short trainings first": by_halving("nsga2"),
    "predictor": by_predictor,
    "predictor, short trainings first": by_predictor_and_halving,
    "predictor, short trainings while they tell (default)": by_predictor_that_learns,
}


def _study(sampler: str, space: Space, seed: int) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.create_study(sampler=sampler_of(sampler, seed, 8), directions=["minimize"] * 3)
    return Study(made, space, GOALS)


def _new_points(study: Study, table: Table, seed: int) -> Iterator[Any]:
    """Yield what a study asks for, what is known already only once; then what is left."""
    chance, repeats = random.Random(seed), 0
    while True:
        asked = study.ask()
        known = study.find(asked.point)
        if known is None:
            repeats = 0
            yield asked
            continue
        study.tell(asked.number, known, keep=False)
        repeats += 1
        if repeats > 40:
            left = [p for p in table.points.values() if study.find(p) is None]
            if not left:
                return
            study.enqueue(chance.choice(left))


def _told(study: Study, table: Table, seed: int) -> NextPoint:
    asked = _new_points(study, table, seed)

    def next_point(known: list[Candidate], epochs: int) -> Any:
        one = next(asked, None)
        if one is None:
            return None
        study.tell(one.number, table.candidate(one.point, nas_table.RUNGS[0]))
        return one.point

    return next_point


def _halved(table: Table, next_point: NextPoint, learned: int = 0) -> Iterator[Step]:
    known: list[Candidate] = []
    while True:
        lengths = telling(known, nas_table.RUNGS) if learned else nas_table.RUNGS
        found = promotion(known, GOALS, lengths, first=learned)
        if found is not None:
            candidate, epochs = found
            known.append(table.candidate(candidate.point, epochs, len(known) + 1, candidate.number))
        else:
            point, epochs = next_point(known, lengths[0]), lengths[0]
            if point is None:
                return
            known.append(table.candidate(point, epochs, len(known) + 1))
        yield Step(known[-1].point, epochs)


def _promising(table: Table, done: list[Any], epochs: int = nas_table.EPOCHS) -> Any:
    def known(point: Any, *, trained: bool) -> Known:
        row = table.row(point)
        costs = {"bytes": row["bytes"], "macs": row["macs"]}
        return Known(point, costs, table.error(row, epochs) if trained else None)

    left = [point for point in table.points.values() if point not in done]
    if not left:
        return None
    position = most_promising(
        table.space,
        [known(point, trained=True) for point in done],
        [known(point, trained=False) for point in left],
    )
    return None if position is None else left[position]


# --- what they reach ------------------------------------------------------------------------------


def curve(table: Table, way: Way, seed: int) -> dict[str, Any]:
    """Return which share of the hypervolume is missing after how many trainings."""
    spent, whole = 0.0, []
    missing: dict[str, float] = {}
    marks = [0.02, 0.05, 0.1, 0.2, 0.3]
    reached = None
    least = min(table.error(r, nas_table.EPOCHS) for r in table.rows.values())
    regret: dict[str, float] = {}
    for step in way(table, seed):
        cost = step.epochs / nas_table.EPOCHS
        while marks and spent + cost > marks[0] * len(table.rows):
            share = f"{marks.pop(0):g}"
            missing[share] = 1 - table.volume(whole) / table.best if whole else 1.0
            best = min((table.error(r, nas_table.EPOCHS) for r in whole), default=100.0)
            regret[share] = best - least
        spent += cost
        if step.epochs == nas_table.EPOCHS:
            whole.append(table.row(step.point))
            if reached is None and 1 - table.volume(whole) / table.best <= CLOSE:
                reached = spent
        if (reached is not None and not marks) or spent > _MOST * len(table.rows):
            break
    return {"within_1_percent_after": reached, "missing_by_share": missing, "regret": regret}


def is_defined(table: Table, way: str) -> bool:
    """Whether the proxy that a way begins with says something of every network."""
    name = {"synflow first": "synflow", "NASWOT first": "naswot"}.get(way.partition(",")[0])
    return name is None or all(math.isfinite(row[name]) for row in table.rows.values())


def least(table: Table) -> int:
    """Return how many trainings it takes, by greed, if all errors are known before."""
    left, taken = list(table.rows.values()), list[dict[str, float]]()
    while 1 - table.volume(taken) / table.best > CLOSE:
        best = max(left, key=lambda row: table.volume([*taken, row]))
        taken.append(best)
        left = [row for row in left if row is not best]
    return len(taken)


def trust(table: Table) -> dict[str, Any]:
    """Return the rank correlations of proxies with the error after whole trainings."""
    rows = list(table.rows.values())
    accuracy = [-table.error(row, nas_table.EPOCHS) for row in rows]
    names = [n for n in rows[0] if n not in ("bytes",) and not n.startswith(("val", "test", "sec"))]
    found = {}
    for name in names:
        scores = [row[name] for row in rows]
        if all(map(math.isfinite, scores)):
            found[name] = [kendall_tau(scores, accuracy), spearman_rho(scores, accuracy)]
    return found


def table_text(results: dict[str, Any], networks: int) -> str:
    """Return the table of docs/benchmarks.md."""
    lines = [
        "| way | seeds | trainings until 1 % is missing, median (least to most) | of the table "
        "| missing after 5 % | after 10 % | regret after 10 %, points |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for way in WAYS:
        cells = [v for k, v in results.items() if k.rpartition(", seed ")[0] == way]
        if not cells:
            lines.append(f"| {way} | not run | | | | | |")
            continue
        reached = [c["within_1_percent_after"] for c in cells]
        far = _MOST * networks
        counts = sorted(far if r is None else r for r in reached)
        middle = statistics.median(counts)
        over = "over " if middle >= far else ""
        most = f"over {far:.0f}" if counts[-1] >= far else f"{counts[-1]:.0f}"

        def mean(name: str, share: str, cells: list[dict[str, Any]] = cells) -> float:
            return statistics.mean(c[name].get(share, 1.0) for c in cells)

        lines.append(
            f"| {way} | {len(cells)} | {over}{middle:.0f} ({counts[0]:.0f} to {most}) | "
            f"{over}{100 * middle / networks:.0f} % | "
            f"{100 * mean('missing_by_share', '0.05'):.1f} % | "
            f"{100 * mean('missing_by_share', '0.1'):.1f} % | {mean('regret', '0.1'):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    results: dict[str, Any] = (
        json.loads(RESULTS.read_text(encoding="utf-8"))["results"] if RESULTS.is_file() else {}
    )
    texts = []
    for name, plan in nas_table.TABLES.items():
        table = Table(plan) if plan.path.is_file() else None
        if table is None or not table.is_whole:
            print(f"{name}: not every network is trained; first run bench/nas_table.py")
            texts.append(f"{TITLES[name]}: not run.")
            continue
        cells: dict[str, Any] = results.get(name, {}).get("cells", {})
        # A proxy that says nothing of some networks cannot choose among them.
        ways = [w for w in WAYS if is_defined(table, w)]
        cells = {k: v for k, v in cells.items() if k.rpartition(", seed ")[0] in ways}
        missing = [
            (w, s) for s in range(options.seeds) for w in ways if f"{w}, seed {s}" not in cells
        ]
        for way, seed in missing[: options.cells]:
            cells[f"{way}, seed {seed}"] = curve(table, WAYS[way], seed)
            options.cells -= 1
        results[name] = {
            "networks": len(table.rows),
            "front": len(front([table.values(r) for r in table.rows.values()])),
            "least": least(table),
            "correlations_tau_rho": trust(table),
            "cells": cells,
        }
        title = (
            f"{TITLES[name]}, {results[name]['front']} on the front. Who knew all errors before "
            f"would train {results[name]['least']}."
        )
        texts.append(f"{title}\n\n{table_text(cells, len(table.rows))}")
    record("nas", results)
    DOCS.write_text(documented("nas", "\n\n".join(texts)), encoding="utf-8")


if __name__ == "__main__":
    main()
