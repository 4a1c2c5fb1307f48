"""Every page, light and dark: axe violations, layout shift, width on a phone, and the keyboard.

Rules are those of axe-core as axe-playwright-python ships it. Layout shift is the largest session
window, as browsers report it (shifts less than a second apart, five seconds at most). By keyboard,
each page is walked through with the Tab key: the walk must reach the controls of the page behind
those of the frame.
"""

from __future__ import annotations

import sys
from typing import Any

from common import documented, record
from server import browser_page, running_app

WAIT_MS = 3_000
TABS = 60
PAGES = {
    "Home": ("", ".optim-lesson .main-svg"),
    "Lab": ("lab", ".optim-plot .main-svg"),
    "Use my model": ("use-my-model", "[data-testid=stFileUploader]"),
    "Data and preprocessing": ("data", "text=Confirm and check"),
    "Detection": ("detection", "[data-testid=stMain] h3"),
    "Sensor stream": ("stream", "[data-testid=stMain] button"),
    "Runs": ("runs", ".st-key-runs_rows, .st-key-runs_empty"),
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
    "Learn": ("learn", "text=11. Putting it together"),
    "A lesson": ("learn?lesson=outliers", ".optim-lesson .main-svg"),
    "Workshop": ("workshop", ".st-key-workshop_none, .st-key-workshop_board"),
    "Techniques": ("techniques", "text=What each step of a recipe does"),
}
"""Pages, their addresses, and what is there once they stand."""
SCHEMES = ("light", "dark")
SERIOUS = ("serious", "critical")

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
FOCUS = """
() => {
  const e = document.activeElement;
  return Boolean(e && e !== document.body && e.closest("[data-testid=stMain]"));
}
"""


def looked_at(page: Any, address: str, name: str, scheme: str) -> dict[str, Any]:
    """Return what is found on one page."""
    from axe_playwright_python.sync_playwright import Axe

    path, ready = PAGES[name]
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}/{path}")
    found: dict[str, Any] = {"page": name, "scheme": scheme}
    try:
        page.wait_for_selector(ready, timeout=90_000)
    except Exception as error:
        return {**found, "not_reached": str(error).splitlines()[0]}
    page.wait_for_timeout(WAIT_MS)
    violations = Axe().run(page).response["violations"]
    grave = [v for v in violations if v["impact"] in SERIOUS]
    found["serious"] = sum(len(v["nodes"]) for v in grave)
    found["other"] = sum(len(v["nodes"]) for v in violations) - found["serious"]
    found["rules"] = sorted({v["id"] for v in grave})
    found["where"] = [n["html"][:120] for v in grave for n in v["nodes"]][:6]
    found["shift"] = round(page.evaluate("window.__shift"), 4)
    return found


def by_keyboard(page: Any) -> int:
    """Return how many steps of the Tab key end on a control of the page itself."""
    reached = 0
    for _ in range(TABS):
        page.keyboard.press("Tab")
        reached += page.evaluate(FOCUS)
    return reached


def main() -> None:
    from optim.lessons.kept import TOUR_NAME, compute

    compute([TOUR_NAME, "outliers"])
    names = sys.argv[1:] or list(PAGES)
    rows = []
    with running_app() as address:
        for scheme in SCHEMES:
            with browser_page() as page:
                page.add_init_script(WATCH)
                for name in names:
                    row = looked_at(page, address, name, scheme)
                    if scheme == SCHEMES[0] and "not_reached" not in row:
                        row["keyboard"] = by_keyboard(page)
                    rows.append(row)
                    print(row, flush=True)
        with browser_page(400, 860) as page:
            page.add_init_script(WATCH)
            for name in names:
                row = looked_at(page, address, name, "light")
                row["scheme"] = "phone"
                if "not_reached" not in row:
                    row["sideways"] = page.evaluate(
                        "(e => e.scrollWidth - e.clientWidth)"
                        "(document.querySelector('[data-testid=stMain]'))"
                    )
                rows.append(row)
                print(row, flush=True)
    if names == list(PAGES):
        record("accessibility", {"goal": {"serious": 0, "shift": 0.1}, "pages": rows})
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
        serious = " / ".join(str(by_scheme.get(s, "not run")) for s in (*SCHEMES, "phone"))
        shift = max((row["shift"] for row in own if "shift" in row), default=None)
        keys = next((row["keyboard"] for row in own if "keyboard" in row), None)
        lines.append(
            f"| {name} | {serious} | {'not reached' if shift is None else f'{shift:.3f}'} | "
            f"{'not reached' if keys is None else keys} |"
        )
    DOCS.write_text(documented("accessibility", "\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
