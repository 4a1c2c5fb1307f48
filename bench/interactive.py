"""From a moved slider to changed numbers and charts, in a real Chromium on the real app.

A seeded trace of key presses alternates the four sliders. The page itself measures from the event
to the frame after its charts were drawn; positions the browser already knows (hits) and positions
the evaluator has to compute (misses) are told apart. Then a slider is dragged over stops that were
computed ahead, and the positions whose numbers and charts were drawn are counted.
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import tempfile
import time

from cifar import resnet20
from common import record
from server import browser_page, running_app

from optim.presets import default_recipe, preset_recipe

PRESSES = 120
DRAG_S = 2.5
SLIDERS = (
    "prune_channels.pruning_ratio",
    "quantize.weight_bits",
    "quantize.activation_bits",
    "distill.epochs",
)
KEYS = (*("ArrowLeft", "ArrowRight") * 3, *("PageUp", "PageDown") * 2, "Home", "End")


def trace(page, presses: int, seed: int, pause_ms: tuple[int, int]) -> list[dict]:
    """Press keys on the sliders in turn and return what the page measured."""
    generator = random.Random(seed)
    page.evaluate("performance.clearMeasures('optim:answer')")
    for _ in range(presses):
        slider = page.locator(f'input[data-field="{generator.choice(SLIDERS)}"]')
        slider.focus()
        at, key = slider.input_value(), generator.choice(KEYS)
        before = page.evaluate("performance.getEntriesByName('optim:answer').length")
        page.keyboard.press(key)
        if slider.input_value() == at:  # it stood at its end
            continue
        page.wait_for_function(
            "n => performance.getEntriesByName('optim:answer').length > n",
            arg=before,
            timeout=20_000,
        )
        page.wait_for_timeout(generator.randint(*pause_ms))
    return page.evaluate(
        "performance.getEntriesByName('optim:answer').map(e => ({ms: e.duration, ...e.detail}))"
    )


def updates_while_dragging(page) -> dict[str, float]:
    """Drag the channel slider to and fro over known stops, stop by stop, as fast as it goes.

    An update is a position whose numbers and charts were drawn.
    """
    page.get_by_role("button", name="Gentle").click()
    page.wait_for_timeout(12_000)  # the whole slider is measured ahead
    slider = page.locator(f'input[data-field="{SLIDERS[0]}"]')
    box, last = slider.bounding_box(), int(slider.get_attribute("max"))
    y, left, width = box["y"] + box["height"] / 2, box["x"] + 8, box["width"] - 16
    page.evaluate("performance.clearMeasures('optim:answer')")
    page.mouse.move(left, y)
    page.mouse.down()
    start, stops = time.perf_counter(), itertools.cycle([*range(last), *range(last, 0, -1)])
    while time.perf_counter() - start < DRAG_S:
        page.mouse.move(left + width * next(stops) / last, y)
    page.mouse.up()
    rows = page.evaluate(
        "performance.getEntriesByName('optim:answer').map(e => "
        "({at: e.startTime + e.duration, ms: e.duration, ...e.detail}))"
    )
    drawn = [row for row in rows if row["hit"]]
    span = (drawn[-1]["at"] - drawn[0]["at"]) / 1000
    return {
        "updates": len(drawn),
        "of_them_computed_ahead": len(drawn) / len(rows),
        "seconds": span,
        "updates_per_s": (len(drawn) - 1) / span,
        "median_ms": statistics.median(row["ms"] for row in drawn),
    }


def summary(rows: list[dict], goal_ms: dict[str, float]) -> dict:
    """Return median and 95th percentile of hits and misses."""
    found = {}
    for name, hit in (("hits", True), ("misses", False)):
        times = sorted(r["ms"] for r in rows if r["hit"] == hit)
        if times:
            found[name] = {
                "n": len(times),
                "median_ms": statistics.median(times),
                "p95_ms": times[min(len(times) - 1, int(0.95 * len(times)))],
                "samples_in_answer": min(r["n"] for r in rows if r["hit"] == hit),
                "drafts": sum(r["draft"] for r in rows if r["hit"] == hit),
                "goal": goal_ms[name],
            }
    return found


def measure(address: str, recipe, goals: dict, *, drag: bool) -> dict:
    with browser_page() as page:
        page.goto(f"{address}/?r={recipe.to_link()}")
        page.wait_for_selector(".optim-plot .main-svg", timeout=60_000)
        page.wait_for_timeout(6_000)
        quick = trace(page, PRESSES, seed=1, pause_ms=(0, 120))
        calm = trace(page, PRESSES // 2, seed=2, pause_ms=(700, 1200))
        result = {
            "hurried (0-0.12 s between moves)": summary(quick, goals),
            "calm (0.7-1.2 s between moves)": summary(calm, goals),
        }
        if drag:
            result["drag"] = {**updates_while_dragging(page), "goal_updates_per_s": 15}
        return result


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["OPTIM_HOME"] = home
        model = resnet20()
        with running_app() as address:
            results = {
                "Default model": measure(
                    address,
                    default_recipe(),
                    {"hits": "median <= 100 ms, p95 <= 200 ms", "misses": "first answer <= 300 ms"},
                    drag=True,
                ),
                "ResNet-20, CIFAR-10": measure(
                    address,
                    preset_recipe("balanced", *model),
                    {"hits": "median <= 100 ms", "misses": "first answer (n >= 128) <= 400 ms"},
                    drag=False,
                )
                if model
                else "not run: no data",
            }
    record("interactive", results)


if __name__ == "__main__":
    main()
