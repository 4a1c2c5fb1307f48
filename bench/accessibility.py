"""Every page, light and dark: axe violations, layout shift, width on a phone, and the keyboard.

Rules are those of axe-core as axe-playwright-python ships it. Layout shift is the largest session
window, as browsers report it (shifts less than a second apart, five seconds at most). By keyboard,
each page is walked through with the Tab key: the walk must reach the controls of the page behind
those of the frame.

    python bench/accessibility.py              # the pages that have no row yet, or an older look
    python bench/accessibility.py --fresh      # all of them
    python bench/accessibility.py Lab Learn    # these, again
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import ROOT, commit, documented, record
from server import browser_page, running_app

WAIT_MS = 3_000
TABS = 60
COMPARED = "model:digits-resnet8,preset:balanced@digits-resnet8"
OFFLINE = "Offline page"
RECIPE = "version: 1\nmodel: digits-mlp\ndata: digits\nsteps: [quantize: {weight_bits: 8}]\n"
PAGES = {
    "Home": ("", ".optim-lesson .main-svg"),
    "Lab": ("lab", ".optim-plot .main-svg"),
    "Use my model": ("use-my-model", "[data-testid=stFileUploader]"),
    "Data and preprocessing": ("data", "text=Confirm and check >> visible=true"),
    "Detection": ("detection", "[data-testid=stMain] h3"),
    "Sensor stream": ("stream", "[data-testid=stMain] button"),
    "Runs": ("runs", ".st-key-runs_rows, .st-key-runs_empty"),
    "Compare": (f"compare?runs={COMPARED}", "[data-testid=stMain] .js-plotly-plot .main-svg"),
    "Present": (f"present?snapshots={COMPARED}", ".st-key-present [data-testid=stMetricValue]"),
    "My data": ("my-data", "[data-testid=stMain] h3"),
    "Before and after": ("before-and-after", "[data-testid=stMain] h3"),
    "Sensitivity": ("sensitivity", "[data-testid=stMain] h3"),
    "Autopilot": ("autopilot", "[data-testid=stMain] button"),
    "Architecture search": ("architecture-search", "[data-testid=stMain] button"),
    "Distillation": ("distillation", "[data-testid=stMain] h3"),
    "Regularisation": ("regularisation", "[data-testid=stMain] h3"),
    "Faster training": ("faster-training", "[data-testid=stMain] h3"),
    "Ladder": ("ladder", ".st-key-rung"),
    "Why no speed-up?": ("why-no-speed-up", "[data-testid=stMain] h3"),
    "Sweet spot": ("sweet-spot", "[data-testid=stMain] h3"),
    "Your own device": ("own-device", ".st-key-own_here"),
    "Learn": ("learn", "text=11. Putting it together >> visible=true"),
    "A lesson": ("learn?lesson=outliers", ".optim-lesson .main-svg"),
    "Workshop": ("workshop", ".st-key-workshop_none, .st-key-workshop_board"),
    "Techniques": ("techniques", ".optim-rows"),
    "Offline page": ("", "svg"),
}
"""Pages, their addresses, and what is there once they stand; the last one is a file."""
SCHEMES = ("light", "dark", "phone")
WIDTHS = {"light": (1440, 960), "dark": (1440, 960), "phone": (400, 860)}
SERIOUS = ("serious", "critical")
GOAL = {"serious": 0, "shift": 0.1}
LIMIT_MS = 180_000
"""For a page to stand, on a machine that does something else as well."""
RESULTS = ROOT / "bench" / "accessibility.json"

WATCH = """
(() => {
  window.__shift = 0;
  let sum = 0, first = 0, last = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      const goesOn = entry.startTime - last < 1000 && entry.startTime - first < 5000;
      if (!goesOn) { sum = 0; first = entry.startTime; }
      sum += entry.value; last = entry.startTime;
      window.__shift = Math.max(window.__shift, sum);
    }
  }).observe({ type: "layout-shift", buffered: true });
})();
"""
SIDEWAYS = """
() => {
  const e = document.querySelector("[data-testid=stMain]") || document.documentElement;
  return e.scrollWidth - e.clientWidth;
}
"""
STANDS = """
() => !document.querySelector(
  "[data-testid=stSkeleton], [data-testid=stSpinner], [data-stale=true]")
"""
"""Whether a page waits for nothing: while it does, what is old is faded."""
ANYWHERE = "() => Boolean(document.activeElement && document.activeElement !== document.body)"
FOCUS = """
() => {
  const e = document.activeElement;
  return Boolean(e && e !== document.body && e.closest("[data-testid=stMain]"));
}
"""


def looked_at(page: Any, place: str, name: str, scheme: str) -> dict[str, Any]:
    """Return what is found on one page."""
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(place)
    found: dict[str, Any] = {"page": name, "scheme": scheme}
    try:
        page.wait_for_selector(PAGES[name][1], timeout=LIMIT_MS)
        for pause in (WAIT_MS, 0):  # what it asks for only then makes it wait once more
            page.wait_for_function(STANDS, timeout=LIMIT_MS)
            page.wait_for_timeout(pause)
    except Exception as error:
        return {**found, "not_reached": str(error).splitlines()[0]}
    found["shift"] = round(page.evaluate("window.__shift"), 4)  # axe scrolls, and moves things
    violations = Axe().run(page).response["violations"]
    grave = [v for v in violations if v["impact"] in SERIOUS]
    found["serious"] = sum(len(v["nodes"]) for v in grave)
    found["other"] = sum(len(v["nodes"]) for v in violations) - found["serious"]
    found["rules"] = sorted({v["id"] for v in grave})
    found["where"] = [n["html"][:120] for v in grave for n in v["nodes"]][:6]
    if scheme == "light":
        found["keyboard"] = by_keyboard(page, name)
    if scheme == "phone":
        found["sideways"] = page.evaluate(SIDEWAYS)
    return found


def by_keyboard(page: Any, name: str) -> int:
    """Return how many steps of the Tab key end on a control of the page itself."""
    reached = 0
    for _ in range(TABS):
        page.keyboard.press("Tab")
        reached += page.evaluate(ANYWHERE if name == OFFLINE else FOCUS)
    return reached


def offline_page(folder: Path) -> str:
    """Make the page that works without a server, and return its address."""
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    made = folder / "offline.html"
    command = ["-m", "optim", "share", str(folder / "recipe.yaml"), "--out", str(made)]
    subprocess.run([sys.executable, *command], check=True)
    return made.as_uri()


def read() -> list[dict[str, Any]]:
    """Return the rows so far."""
    if not RESULTS.is_file():
        return []
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]["pages"]
    return rows


def main() -> None:
    """Look at the pages that are asked for, each in every scheme, and keep every row at once."""
    from optim.lessons.kept import TOUR_NAME, compute

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="names of pages; those without a row if none")
    parser.add_argument("--fresh", action="store_true", help="forget all rows first")
    asked = parser.parse_args()
    if unknown := set(asked.pages) - set(PAGES):
        parser.error(
            f"no page is called {', '.join(sorted(unknown))}: there are {', '.join(PAGES)}"
        )
    rows = [] if asked.fresh else read()
    known = {(row["page"], row["scheme"]) for row in rows if row["page"] not in asked.pages}
    names = asked.pages or list(PAGES)
    missing = [(n, s) for s in SCHEMES for n in names if (n, s) not in known]
    compute([TOUR_NAME, "outliers"])
    with tempfile.TemporaryDirectory() as folder, running_app() as address:
        for scheme in SCHEMES:
            with browser_page(*WIDTHS[scheme]) as page:
                page.add_init_script(WATCH)
                for name in (name for name, wanted in missing if wanted == scheme):
                    is_file = name == OFFLINE
                    place = offline_page(Path(folder)) if is_file else f"{address}/{PAGES[name][0]}"
                    row = looked_at(page, place, name, scheme)
                    rows = [r for r in rows if (r["page"], r["scheme"]) != (name, scheme)]
                    rows.append({**row, "commit": commit()})
                    print(row, file=sys.stderr, flush=True)
                    record("accessibility", {"goal": GOAL, "pages": rows}, shown=False)
                    write_table(rows)


def write_table(rows: list[dict[str, Any]]) -> None:
    """Write the table of docs/benchmarks.md."""
    from common import DOCS

    lines = [
        "| page | serious, light / dark / phone | largest layout shift | reached by Tab |",
        "|:--|--:|--:|--:|",
    ]
    for name in PAGES:
        own = [row for row in rows if row["page"] == name]
        by_scheme = {row["scheme"]: row.get("serious", "not reached") for row in own}
        serious = " / ".join(str(by_scheme.get(s, "not run")) for s in SCHEMES)
        shift = max((row["shift"] for row in own if "shift" in row), default=None)
        keys = next((row["keyboard"] for row in own if "keyboard" in row), None)
        lines.append(
            f"| {name} | {serious} | {'not reached' if shift is None else f'{shift:.3f}'} | "
            f"{'not reached' if keys is None else keys} |"
        )
    DOCS.write_text(documented("accessibility", "\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
