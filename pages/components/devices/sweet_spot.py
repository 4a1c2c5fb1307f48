"""Measure runtimes, threads and batches of the present model, and show the best under a limit."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
import streamlit as st

from optim.quantity import format_value
from optim.recipe import Recipe
from optim.runtime.providers import gpu_words
from optim.sweet_spot.fusion import LAYOUTS, LEVELS, AtLevel, Fusion, Level
from optim.sweet_spot.grid import RUNTIMES, Cell, Grid, runtimes_here
from optim.sweet_spot.kept import SHELF, kept_grid, key_of
from pages.components import access, charts
from pages.components.aside import Aside

__all__ = ["fusion_and_layout", "heat_map", "limit", "measured", "runtimes"]

_PLOT = {"displayModeBar": False}

_MEASUREMENT = Aside(
    "optim.sweet_spot.child",
    SHELF,
    "Measuring",
    "The model could not be measured.",
    # Threads of one runtime that spin while idle would slow the next one down.
    environment={"OMP_WAIT_POLICY": "PASSIVE"},
)


# --- measuring ----------------------------------------------------------------------------------


def measured(recipe: Recipe) -> Grid | None:
    """Draw how a measurement is started or how far it is; return what is known of the recipe."""
    key = key_of(recipe)
    with st.container(border=True, key="sweet_spot_measuring"):
        busy = _MEASUREMENT.is_busy(key, "model is being measured")
        grid = kept_grid(key)
        if grid is None and not busy:
            st.markdown("**This model was not measured yet**")
            st.caption(gpu_words())
        elif grid is not None:
            st.caption(f"Measured on {grid.device}.")
        if not busy and not access.is_presentation():
            _controls(key, recipe, is_known=grid is not None)
    return grid


def _controls(key: str, recipe: Recipe, *, is_known: bool) -> None:
    there = runtimes_here()
    chosen = st.pills(
        "Runtimes",
        there,
        default=there,
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
        on_click=_MEASUREMENT.start,
        args=(key,),
        kwargs={"recipe": recipe.to_json(), "runtimes": tuple(chosen)},
        key="measure_sweet_spot",
    )


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
    tried = {(cell.runtime, cell.threads) for cell in grid.cells}
    rows = [
        _row(name, count) for name in grid.ran for count in grid.threads if (name, count) in tried
    ]
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


def fusion_and_layout(grid: Grid) -> None:
    """Draw what rewriting the graph brings in ONNX Runtime, and the layout of images in PyTorch."""
    fusion, layout = grid.fusion, grid.layout
    if fusion.measured:
        st.markdown("**Fusion and layout**, each level with what those above it do")
        _side_by_side("What ONNX Runtime does", LEVELS, fusion)
        st.caption(
            "With the fewest threads and samples, and at ONNX Runtime's highest throughput; "
            "measured in turns and compared with the first level, medians with 95 % intervals. All "
            "other figures of ONNX Runtime are of the last level."
        )
    if layout.measured or layout.refused:
        st.markdown("**Layout of images**, in PyTorch without a compiler")
        _side_by_side("Order of an image's numbers", LAYOUTS, layout)
        st.caption("The same settings. ONNX Runtime and OpenVINO choose layouts by themselves.")


def _side_by_side(title: str, named: Mapping[str, Level], fusion: Fusion) -> None:
    rows = []
    for name, level in named.items():
        row = {title: f"**{level.title}.** {level.about}"}
        for (threads, batch), found in fusion.by_setting().items():
            setting = f"{_threads(threads)}, batch {batch}"
            row[setting] = _at_level(found[name]) if name in found else "not measured"
        rows.append(row)
    if fusion.measured:
        st.table(rows, border="horizontal", hide_index=True)
    for why, names in _by_reason(fusion.refused).items():
        titles = " and ".join(f"**{named[name].title}**" for name in names)
        was = "was" if len(names) == 1 else "were"
        st.markdown(f"- {titles} {was} not measured, or not to the end. {why}")


def _by_reason(refused: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, why in refused.items():
        found.setdefault(why, []).append(name)
    return found


def _at_level(one: AtLevel) -> str:
    return f"{one.latency}, {one.change.verdict()}" if one.change else str(one.latency)


def _short(value: float) -> str:
    """Return a figure that fits a cell on a phone."""
    return f"{value:.{2 if value < 1 else 1 if value < 100 else 0}f}"


def _row(runtime: str, threads: int) -> str:
    return f"{RUNTIMES[runtime]} × {threads}"


def _setting(cell: Cell) -> str:
    return f"{RUNTIMES[cell.runtime]}, {_threads(cell.threads)}, batch {cell.batch}"


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"


def _settings(cells: list[Cell]) -> str:
    named = [_setting(cell) for cell in cells[:3]]
    more = len(cells) - len(named)
    return "; ".join(named) + (f"; {more} more" if more else "")
