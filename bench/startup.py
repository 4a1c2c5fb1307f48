"""From ``streamlit run`` to the first drawn chart, and how long ``import optim`` takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from common import ROOT, record
from server import browser_page, running_app

RUNS = 3


def first_chart_s() -> float:
    """Return seconds from starting the server to a chart with the first answer."""
    start = time.perf_counter()
    with running_app() as address, browser_page() as page:
        page.goto(f"{address}/lab")
        page.wait_for_selector(".optim-plot .main-svg", timeout=60_000)
        page.wait_for_function(
            "document.querySelector('.optim-verdict').textContent.startsWith('This network')",
            timeout=60_000,
        )
        return time.perf_counter() - start


def import_s(module: str) -> float:
    """Return seconds a fresh interpreter spends on importing a module."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    times = [
        float(
            subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(5)
    ]
    return statistics.median(times)


def main() -> None:
    charts = [first_chart_s() for _ in range(RUNS)]
    record(
        "startup",
        {
            "first_chart_s": {"median": statistics.median(charts), "runs": charts, "goal": 6.0},
            "import_optim_s": {"median": import_s("optim"), "goal": 0.3},
            "import_techniques_s": {"median": import_s("optim.techniques")},
        },
    )


if __name__ == "__main__":
    main()
