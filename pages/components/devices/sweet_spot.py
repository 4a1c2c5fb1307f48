"""Measure runtimes, threads and batches of the present model, and show the best under a limit."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from functools import cache

import pandas as pd
import streamlit as st

from optim import errors
from optim.errors import RunError
from optim.processes import child_environment
from optim.quantity import format_value
from optim.recipe import Recipe
from optim.sweet_spot.grid import RUNTIMES, Cell, Grid
from optim.sweet_spot.kept import kept_grid, key_of, told_progress
from pages.components import access, charts
from pages.components.errors import show_error

__all__ = ["heat_map", "limit", "measured", "runtimes"]

_EVERY_S = 1.0
_PLOT = {"displayModeBar": False}


# --- measuring ----------------------------------------------------------------------------------


def measured(recipe: Recipe) -> Grid | None:
    """Draw how a measurement is started or how far it is; return what is known of the recipe."""
    key = key_of(recipe)
    with st.container(border=True, key="sweet_spot_measuring"):
        if _jobs():
            running, job = next(iter(_jobs().items()))
            if job.poll() is None:
                _wait(running, is_other=running != key)
                return kept_grid(key)
            del _jobs()[running]
            if running == key and (error := _failure(key, job.returncode)):
                show_error(error)
        grid = kept_grid(key)
        if grid is None:
            st.markdown("**This model was not measured yet**")
        else:
            st.caption(f"Measured on {grid.device}.")
        if not access.is_presentation():
            _controls(recipe, is_known=grid is not None)
        return grid


def _controls(recipe: Recipe, *, is_known: bool) -> None:
    chosen = st.pills(
        "Runtimes",
        list(RUNTIMES),
        default=list(RUNTIMES),
        format_func=RUNTIMES.__getitem__,
        selection_mode="multi",
        key="sweet_spot_runtimes",
        persist_state="session",
        help="torch.compile makes kernels for every number of threads first: a minute or two.",
    )
    st.button(
        "Measure again" if is_known else "Measure",
        icon=":material/speed:",
        type="secondary" if is_known else "primary",
        disabled=not chosen,
        on_click=_start,
        args=(recipe, tuple(chosen)),
        key="measure_sweet_spot",
    )


def _start(recipe: Recipe, chosen: tuple[str, ...]) -> None:
    """Measure in a process of its own: there is one machine, and so one at a time."""
    access.refuse_presentation()
    if _jobs():
        return
    job = subprocess.Popen(
        [sys.executable, "-m", "optim.sweet_spot.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # Threads of one runtime that spin while idle would slow the next one down.
        env={**child_environment(), "OMP_WAIT_POLICY": "PASSIVE"},
    )
    _jobs()[key_of(recipe)] = job
    assert job.stdin is not None
    with job.stdin as request:
        request.write(json.dumps({"recipe": recipe.to_json(), "runtimes": chosen}) + "\n")


@cache
def _jobs() -> dict[str, subprocess.Popen[str]]:
    """Return what is being measured, by its key; one at most."""
    return {}


@st.fragment(run_every=_EVERY_S)
def _wait(key: str, *, is_other: bool) -> None:
    job = _jobs().get(key)
    if job is None or job.poll() is not None:
        st.rerun()
    told = told_progress(key)
    what = "another model is being measured; this one can be afterwards" if is_other else ""
    st.progress(told.get("share", 0.0), text=f"Measuring: {what or told.get('what', 'starting')}")
    if not is_other and not access.is_presentation():
        st.button("Stop", icon=":material/stop:", on_click=job.terminate, key="stop_sweet_spot")


def _failure(key: str, code: int) -> errors.OptimError | None:
    """Return why nothing came out; None if something did, or if it was stopped."""
    if code == 0 and (refused := told_progress(key).get("refused")):
        kind = getattr(errors, refused["kind"], RunError)
        found: errors.OptimError = kind(refused["message"], hint=refused["hint"])
        return found
    if code not in (0, -signal.SIGTERM):  # that is how it is stopped
        return RunError(
            "The model could not be measured.", hint="The server's log has the details."
        )
    return None


# --- what came out ------------------------------------------------------------------------------


def limit(grid: Grid) -> float:
    """Draw the limit of latency and return it in ms."""
    options = _limits(grid)
    middle = sorted(cell.latency.high for cell in grid.cells)[len(grid.cells) // 2]
    chosen: float = st.select_slider(
        "Latency of an inference, at most",
        options,
        value=next((ms for ms in options if ms >= middle), options[-1]),
        format_func=lambda ms: format_value(ms, "ms"),
        key=f"sweet_spot_limit_{options[0]}_{options[-1]}",
        help="Of the whole batch. The upper end of the interval has to lie within.",
    )
    return chosen


def _limits(grid: Grid) -> list[float]:
    """Return limits from one that is too low for all to one that is high enough for all."""
    lowest = min(cell.latency.high for cell in grid.cells)
    highest = max(cell.latency.high for cell in grid.cells)
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    steps = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 1.5, 2, 3, 5, 7)]
    first = max((i for i, ms in enumerate(steps) if ms < lowest), default=0)
    last = next((i for i, ms in enumerate(steps) if ms >= highest), len(steps) - 1)
    return steps[first : last + 1]


def heat_map(grid: Grid, limit_ms: float) -> None:
    """Draw throughput of every setting, with the best one under a limit."""
    best = grid.best(limit_ms)
    if best is None:
        st.markdown("**Nothing is that fast.** Allow more latency, or compress the model more.")
    else:
        st.markdown(
            f"The best under it: **{_setting(best)}**, with {best.throughput} and {best.latency} "
            "an inference."
        )
        if others := grid.equals_of(best, limit_ms):
            st.caption(f"Not told apart from it by the intervals: {_settings(others)}.")
    rows = [_row(name, count) for name in grid.ran for count in grid.threads]
    unit = 1e3 if max(cell.throughput.value for cell in grid.cells) >= 1e3 else 1.0
    cells = [
        {
            "row": _row(cell.runtime, cell.threads),
            "batch": cell.batch,
            "value": cell.throughput.value,
            "short": _short(cell.throughput.value / unit),
            "text": f"{cell.throughput}, {cell.latency} an inference",
            "is_within": cell.is_within(limit_ms),
            "is_best": cell is best,
        }
        for cell in grid.cells
    ]
    with st.container(border=True, key="sweet_spot_map"):
        with st.container(horizontal=True, vertical_alignment="center"):
            samples = "thousand samples" if unit > 1 else "samples"
            st.markdown(f"**Throughput**, {samples} a second", width="content")
            st.badge("measured", color="blue")
        st.plotly_chart(
            charts.sweet_spots(cells, rows, grid.batches), key="sweet_spot_chart", config=_PLOT
        )
        st.caption("Framed: the best. Grey: slower than the limit. Blank: too slow to be tried.")


def runtimes(grid: Grid, limit_ms: float) -> None:
    """Draw the runtimes side by side, each at its best under a limit, and those left out."""
    st.markdown("**Runtimes side by side**, each at its best under the limit")
    rows = []
    for name, ran in grid.ran.items():
        best = grid.best(limit_ms, name)
        rows.append(
            {
                "Runtime": ran.version,
                "Threads": best.threads if best else None,
                "Batch": best.batch if best else None,
                "Samples a second": str(best.throughput) if best else "none within the limit",
                "Latency": str(best.latency) if best else "",
                f"Time, against {next(iter(RUNTIMES.values()))}": best.change.verdict()
                if best and best.change
                else "",
                "n": best.latency.n if best else None,
            }
        )
    if rows:
        st.dataframe(pd.DataFrame(rows), hide_index=True, key="sweet_spot_rows", placeholder="–")
        st.caption(
            "n blocks each, in turns; medians with 95 % intervals. Times are compared block by "
            "block, with the same batch and threads."
        )
    for name, why in grid.refused.items():
        st.markdown(f"- **{RUNTIMES[name]}** was not measured, or not to the end. {why}")
    for note in grid.notes:
        st.caption(note)


def _short(value: float) -> str:
    """Return a figure that fits a cell on a phone."""
    return f"{value:.{2 if value < 1 else 1 if value < 100 else 0}f}"


def _row(runtime: str, threads: int) -> str:
    return f"{RUNTIMES[runtime]} × {threads}"


def _setting(cell: Cell) -> str:
    threads = f"{cell.threads} thread{'s' if cell.threads != 1 else ''}"
    return f"{RUNTIMES[cell.runtime]}, {threads}, batch {cell.batch}"


def _settings(cells: list[Cell]) -> str:
    named = [_setting(cell) for cell in cells[:3]]
    more = len(cells) - len(named)
    return "; ".join(named) + (f"; {more} more" if more else "")
