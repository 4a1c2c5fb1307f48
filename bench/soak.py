"""Mixed use for hours, with faults: does memory grow, does anything go unhandled?

Visitors (``visitor.py``) move sliders, leave without a word and come back, others wander through
the pages, and small trainings are started. At seeded moments the evaluator or a worker is killed.
The memory of the web server and of the evaluator is sampled; its growth is the slope of a line
through the samples after the first tenth of the time, with a 95 % interval by the jackknife over
blocks of them::

    python bench/soak.py --minutes 120
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import ROOT, documented, record
from load import Watch, recipe_of
from server import prepared_home, running_app
from visitor import Visitor

from optim.measure.intervals import mean_interval

VISITORS = 6
PAUSE_S = (2.0, 6.0)
STAY_S = (20.0, 60.0)
FAULT_S = (30.0, 60.0)
SAMPLE_S = 5.0
BLOCKS = 8
SEED = 0
PAGES = ["", "ladder", "runs", "my-data", "learn", "compare", "techniques", "autopilot", "stream"]
UNHANDLED = re.compile(r"Uncaught app execution|Exception in thread|Task exception was never")
SUBMIT = """
from optim.recipe import Recipe
from optim.runs.engine import engine
from optim.runs.store import RunStore
recipe = {"version": 1, "model": "digits-mlp", "data": "digits", "seed": %d,
          "steps": [{"finetune": {"epochs": 2}}]}
RunStore.open().submit("recipe", {"recipe": Recipe.from_json(recipe).to_json()})
engine().ensure()
"""


class Soak:
    """What happens to one server, and what is seen of it."""

    def __init__(self, address: str, home: str, seconds: float) -> None:
        self._address, self._home = address, home
        self._begun = time.monotonic()
        self._until = self._begun + seconds
        self._random = random.Random(SEED)
        self._watch = Watch(address)
        self.samples: list[tuple[float, float, float]] = []
        done = ("visits", "moves", "pages", "runs", "tried again", "waited in vain")
        self.did = dict.fromkeys(done, 0)
        self.faults = {"evaluator killed": 0, "worker killed": 0, "left without a word": 0}
        self.shown: list[str] = []

    async def run(self) -> None:
        """Let everything happen side by side until the time is up."""
        parts = [self._guest(number) for number in range(VISITORS)]
        await asyncio.gather(*parts, self._wanderer(), self._trouble(), self._sampled())

    @property
    def _is_over(self) -> bool:
        return time.monotonic() >= self._until

    async def _guest(self, number: int) -> None:
        drawn = random.Random(f"guest {number}")
        visit = 0
        while not self._is_over:
            visit += 1
            guest = Visitor(self._address, 1_000 * number + visit, SEED)
            until = min(self._until, time.monotonic() + drawn.uniform(*STAY_S))
            stay = asyncio.create_task(
                guest.visit(recipe_of(drawn.randrange(99), scattered=True), until, PAUSE_S)
            )
            if drawn.random() < 0.3:
                await asyncio.wait([stay], timeout=drawn.uniform(5, 30))
                if not stay.done():
                    self.faults["left without a word"] += 1
                    stay.cancel()
            try:
                await stay
            except TimeoutError:  # a page that opened has had no numbers until the limit
                self.did["waited in vain"] += 1
            except asyncio.CancelledError:
                pass
            self.did["waited in vain"] += guest.times.unanswered
            self.did["visits"] += 1
            self.did["moves"] += guest.moves
            self.did["tried again"] += len(guest.times.refused)

    async def _wanderer(self) -> None:
        drawn = random.Random("wanderer")
        number = 1_000_000
        while not self._is_over:
            number += 1
            pages = drawn.sample(PAGES, 3)
            self.shown += await Visitor(self._address, number, SEED).wander(pages, PAUSE_S)
            self.did["pages"] += len(pages)

    async def _trouble(self) -> None:
        while not self._is_over:
            await asyncio.sleep(self._random.uniform(*FAULT_S))
            code = SUBMIT % self.did["runs"]
            environment = {**os.environ, "OPTIM_HOME": self._home}
            made = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, cwd=ROOT, env=environment
            )
            if await made.wait() != 0:
                raise RuntimeError("A run could not be submitted.")
            self.did["runs"] += 1
            await asyncio.sleep(self._random.uniform(1, 8))
            kind, found = self._random.choice(
                [("evaluator killed", self._watch.evaluators()), ("worker killed", self._workers())]
            )
            for process in found[:1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    self.faults[kind] += 1

    def _workers(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if "optim.runs.job" in (process.info["cmdline"] or []):
                with contextlib.suppress(psutil.Error):
                    if process.environ().get("OPTIM_HOME") == self._home:
                        found.append(process)
        return found

    async def _sampled(self) -> None:
        while not self._is_over:
            await asyncio.sleep(SAMPLE_S)
            evaluators = 0.0
            for process in self._watch.evaluators():
                with contextlib.suppress(psutil.Error):
                    evaluators += process.memory_full_info().pss / 2**20
            at = time.monotonic() - self._begun
            self.samples.append((at, self._watch.memory_mb(), evaluators))


def growth(samples: list[tuple[float, float, float]]) -> dict[str, Any]:
    """Return how the memory of the web server grows, in MB an hour, with a 95 % interval.

    Args:
        samples: Seconds, MB of the web server, MB of the evaluator.
    """
    kept = np.array(samples[len(samples) // 10 :])
    hours, server = kept[:, 0] / 3600, kept[:, 1]
    slopes = []
    for block in range(BLOCKS):
        # Without one block each: samples in a row are not independent, blocks are nearly so.
        rest = np.arange(len(kept)) * BLOCKS // len(kept) != block
        slopes.append(float(np.polyfit(hours[rest], server[rest], 1)[0]))
    whole = float(np.polyfit(hours, server, 1)[0])
    pseudo = [BLOCKS * whole - (BLOCKS - 1) * slope for slope in slopes]
    _, low, high = mean_interval(np.array(pseudo))
    return {
        "mb_an_hour": round(whole, 2),
        "low": round(low, 2),
        "high": round(high, 2),
        "server_mb": [round(float(server[0]), 1), round(float(server[-1]), 1)],
        "evaluator_mb_max": round(float(kept[:, 2].max()), 1),
    }


def unhandled(log: Path) -> list[str]:
    """Return the lines of a log that tell of something nobody took care of."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line[:200] for line in lines if UNHANDLED.search(line)]


def write_table(results: dict[str, Any]) -> None:
    """Write the table of docs/benchmarks.md."""
    from common import DOCS

    grown, did, faults = results["memory"], results["did"], results["faults"]
    rows = {
        "length": f"{results['minutes']:.0f} minutes",
        "done": ", ".join(f"{count:,} {what}" for what, count in did.items()),
        "faults": ", ".join(f"{count} times {what}" for what, count in faults.items()),
        "memory of the web server": f"{grown['server_mb'][0]:.0f} to {grown['server_mb'][1]:.0f} "
        f"MB, {grown['mb_an_hour']:+.1f} MB an hour ({grown['low']:+.1f} to {grown['high']:+.1f})",
        "memory of the evaluator, at most": f"{grown['evaluator_mb_max']:.0f} MB",
        "unhandled exceptions in the log": str(len(results["unhandled"])),
        "exceptions on pages": str(len(results["shown"])),
        "ended before its time by": results["ended_by"] or "nothing",
    }
    lines = ["| | |", "|:--|:--|", *(f"| {name} | {text} |" for name, text in rows.items())]
    DOCS.write_text(documented("soak", "\n".join(lines)), encoding="utf-8")


def main() -> None:
    """Soak a server of its own, and record what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder, prepared_home() as home:
        log = Path(folder) / "server.log"
        with running_app(log, OPTIM_HOME=home) as address:
            soak, ended_by = Soak(address, home, 60 * minutes), ""
            try:
                asyncio.run(soak.run())
            except Exception as error:
                # What was seen until then is kept, and what ended it.
                traceback.print_exc()
                ended_by = f"{type(error).__name__}: {error}".rstrip(": ")
        results = {
            "minutes": round(soak.samples[-1][0] / 60, 1),
            "ended_by": ended_by,
            "visitors": VISITORS,
            "did": soak.did,
            "faults": soak.faults,
            "memory": growth(soak.samples),
            "unhandled": unhandled(log),
            "shown": soak.shown,
            "load_average": round(os.getloadavg()[0], 1),
        }
    record("soak", results)
    write_table(results)
    if ended_by:
        sys.exit(ended_by)


if __name__ == "__main__":
    main()
