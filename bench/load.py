"""Many people at once in the Lab: how long new numbers take, and what each of them costs.

Visitors speak Streamlit's protocol and that of the live panel (``visitor.py``); each moves a slider
every 2 to 5 s on the default model. They begin at presets and press keys, as people in a workshop
do; or, which is the worst case, each begins elsewhere and jumps, so that nothing can be shared or
computed ahead. Server, evaluator and visitors share one machine, so the share of the visitors is
told. A run of its own opens real tabs of Chromium::

    python bench/load.py                    # 30 and 60 visitors, 30 who jump, then 5 tabs
    python bench/load.py --keys 30 --jumps --tabs 0

An answer to somebody else's question, or a page with somebody else's recipe, ends the bench.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import threading
import time
from typing import Any

import numpy as np
import psutil
from common import ROOT, documented, record
from server import browser_page, prepared_home, running_app
from visitor import Visitor

from optim.presets import PRESETS, default_recipe, preset_recipe
from optim.recipe import Recipe

KEYS, JUMPS = (30, 60), (30,)
"""Numbers of visitors, by how they move."""
SECONDS = 120
PAUSE_S = (2.0, 5.0)
ARRIVE_S = 0.5
"""Between two arrivals."""
TABS = 5
SEED = 0
GOAL = {"p95_s": 1.0, "mb_a_session": 5.0, "visitors": 30}
RESULTS = ROOT / "bench" / "load.json"


def recipe_of(number: int, *, scattered: bool = False) -> Recipe:
    """Return the position a visitor begins with: a preset, or one that nearly nobody else has."""
    drawn, plain = random.Random(number), default_recipe()
    if not scattered:
        return preset_recipe(drawn.choice(list(PRESETS)), plain.model, plain.data)
    pruned = plain.with_fields("prune_channels", pruning_ratio=drawn.randrange(0, 18) / 20)
    return pruned.with_fields("quantize", weight_bits=drawn.randrange(3, 9))


class Watch:
    """What the processes of a server use, from its start on."""

    def __init__(self, address: str) -> None:
        port = int(address.rpartition(":")[2])
        [self.server] = [
            process
            for process in psutil.Process().children()
            if str(port) in process.cmdline() and "streamlit" in process.cmdline()
        ]

    def evaluators(self) -> list[psutil.Process]:
        """Return the processes that compute answers."""
        found = []
        for child in self.server.children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it has just ended
                if "optim.whatif.service" in child.cmdline():
                    found.append(child)
        return found

    def memory_mb(self) -> float:
        """Return what the web server alone has in memory, its share of shared pages included."""
        return float(self.server.memory_full_info().pss) / 2**20

    def cpu_s(self) -> dict[str, float]:
        """Return processor seconds so far, of server, evaluator and visitors."""
        return {
            "server": _seconds(self.server),
            "evaluator": sum(map(_seconds, self.evaluators())),
            "visitors": _seconds(psutil.Process()),
        }


def _seconds(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system)


async def crowd(
    address: str, watch: Watch, visitors: int, seconds: float, *, jumps: bool
) -> dict[str, Any]:
    """Let visitors arrive one by one and stay for a time."""
    async with Visitor(address, visitors, SEED).opened(default_recipe()):
        pass  # whoever comes first waits until everything is loaded
    memory, cpu, begun = watch.memory_mb(), watch.cpu_s(), time.monotonic()
    people = [Visitor(address, number, SEED, jumps=jumps) for number in range(visitors)]
    until = begun + visitors * ARRIVE_S + seconds
    tasks = []
    for number, person in enumerate(people):
        tasks.append(
            asyncio.create_task(person.visit(recipe_of(number, scattered=jumps), until, PAUSE_S))
        )
        await asyncio.sleep(ARRIVE_S)
    ended = asyncio.gather(*tasks)
    await asyncio.sleep(max(0.0, until - time.monotonic() - 3))
    full = watch.memory_mb()
    await ended
    took, used = time.monotonic() - begun, watch.cpu_s()
    times = [person.times for person in people]
    return {
        "visitors": visitors,
        "jumps": jumps,
        "seconds": round(took),
        "moves": sum(person.moves for person in people),
        "to_new_numbers_s": _spread([t for one in times for t in one.shown]),
        "of_them_not_known_s": _spread([t for one in times for t in one.asked]),
        "page_run_s": _spread([t for one in times for t in one.rerun]),
        "to_a_page_with_numbers_s": _spread([t for one in times for t in one.open]),
        "samples_of_first_numbers": int(np.median([n for one in times for n in one.samples])),
        "unanswered": sum(one.unanswered for one in times),
        "mb_first": round(memory, 1),
        "mb_a_session": round((full - memory) / visitors, 2),
        "share_of_a_core": {name: round((used[name] - cpu[name]) / took, 2) for name in cpu},
        "load_average": round(os.getloadavg()[0], 1),
    }


def tabs(address: str, count: int, seconds: float) -> dict[str, Any]:
    """Move sliders in real tabs, each a browser of its own, and read what their pages measured."""
    found: list[float] = []
    failures: list[str] = []

    def sit(number: int) -> None:
        try:
            found.extend(_at_a_tab(address, number, seconds))
        except Exception as error:
            failures.append(str(error).splitlines()[0])

    chairs = [threading.Thread(target=sit, args=(number,)) for number in range(count)]
    for chair in chairs:
        chair.start()
    for chair in chairs:
        chair.join()
    return {"tabs": count, "to_new_numbers_s": _spread(found), "failures": failures}


def _at_a_tab(address: str, number: int, seconds: float) -> list[float]:
    drawn = random.Random(f"tab {number}")
    with browser_page() as page:
        page.goto(f"{address}/lab?r={recipe_of(number).to_link()}")
        page.wait_for_selector(".optim-plot .main-svg", timeout=120_000)
        page.wait_for_timeout(3_000)
        page.evaluate("performance.clearMeasures('optim:answer')")
        until = time.monotonic() + seconds
        sliders = page.locator(".optim-lab input[type=range]")
        while time.monotonic() < until:
            page.wait_for_timeout(1_000 * drawn.uniform(*PAUSE_S))
            sliders.nth(drawn.randrange(sliders.count())).focus()
            page.keyboard.press(drawn.choice(("ArrowLeft", "ArrowRight", "PageUp", "PageDown")))
        page.wait_for_timeout(3_000)
        measured = page.evaluate(
            "performance.getEntriesByName('optim:answer').map(e => e.duration)"
        )
    return [ms / 1_000 for ms in measured]


def _spread(seconds: list[float]) -> dict[str, float | int]:
    if not seconds:
        return {"n": 0}
    p50, p95 = np.quantile(seconds, (0.5, 0.95))
    worst = max(seconds)
    return {
        "n": len(seconds),
        "p50": round(float(p50), 3),
        "p95": round(float(p95), 3),
        "max": round(worst, 3),
    }


def write_table(results: dict[str, Any]) -> None:
    """Write the table of docs/benchmarks.md."""
    from common import DOCS

    lines = [
        "| at once | moves | to new numbers, median / 95 % | not known before, 95 % "
        "| their samples | page run, 95 % | memory a session "
        "| share of a core: server, evaluator, visitors |",
        "|:--|--:|--:|--:|--:|--:|--:|:--|",
    ]
    for row in results["crowds"]:
        shown, asked = row["to_new_numbers_s"], row["of_them_not_known_s"]
        share = row["share_of_a_core"]
        lines.append(
            f"| {row['visitors']} visitors{', jumping' if row['jumps'] else ''} | "
            f"{row['moves']:,} | {shown['p50']:.2f} s / {shown['p95']:.2f} s | "
            f"{asked['p95']:.2f} s | {row['samples_of_first_numbers']} | "
            f"{row['page_run_s']['p95']:.2f} s | "
            f"{row['mb_a_session']:.1f} MB | {share['server']:.2f}, {share['evaluator']:.2f}, "
            f"{share['visitors']:.2f} |"
        )
    if sat := results.get("tabs"):
        shown = sat["to_new_numbers_s"]
        lines.append(
            f"| {sat['tabs']} tabs of Chromium | {shown['n']:,} | {shown['p50']:.2f} s / "
            f"{shown['p95']:.2f} s | | | | | |"
        )
    DOCS.write_text(documented("load", "\n".join(lines)), encoding="utf-8")


def main() -> None:
    """Run what is asked for, and keep every part at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", nargs="*", type=int, default=list(KEYS))
    parser.add_argument("--jumps", nargs="*", type=int, default=list(JUMPS))
    parser.add_argument("--tabs", type=int, default=TABS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    asked = parser.parse_args()
    results: dict[str, Any] = {"goal": GOAL, "crowds": []}
    if RESULTS.is_file():
        results = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
    for visitors, jumps in [*((n, False) for n in asked.keys), *((n, True) for n in asked.jumps)]:
        with prepared_home() as home, running_app(OPTIM_HOME=home) as address:
            found = asyncio.run(
                crowd(address, Watch(address), visitors, asked.seconds, jumps=jumps)
            )

        def order(row: dict[str, Any]) -> tuple[bool, int]:
            return row["jumps"], row["visitors"]

        others = [row for row in results["crowds"] if order(row) != order(found)]
        results["crowds"] = sorted([*others, found], key=order)
        record("load", results)
    if asked.tabs:
        with prepared_home() as home, running_app(OPTIM_HOME=home) as address:
            results["tabs"] = tabs(address, asked.tabs, asked.seconds / 2)
        record("load", results)
    write_table(results)


if __name__ == "__main__":
    main()
