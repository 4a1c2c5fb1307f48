"""Fill a grid of latency and throughput: runtimes in turns, batch by batch, threads by threads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from optim.data.dataset import Samples
from optim.devices.probe import about_device
from optim.errors import ConfigError, MeasurementError, OptimError, first_line
from optim.measure.latency import median_of
from optim.models.bundle import ModelBundle
from optim.processes import available_cores
from optim.quantity import Comparison
from optim.recipe import Recipe
from optim.runtime.latency import LatencySamples, measure_latency
from optim.runtime.providers import gpu_words
from optim.runtime.session import Session
from optim.sweet_spot.fusion import LAYOUTS, LEVELS, AtLevel, Fusion, Level
from optim.sweet_spot.grid import BATCHES, RUNTIMES, Cell, Grid, Ran, runtimes_here, thread_counts
from optim.sweet_spot.runtimes import Contender, at_levels, contenders, in_layouts
from optim.whatif.engine import Engine

__all__ = ["measure_fusion", "measure_grid", "measure_recipe"]

_CELL_S = 1.0
"""Time for the blocks of one cell, all runtimes together, roughly."""
_ROUNDS = (7, 41)
"""Fewest blocks, which an interval of a median needs, and most."""
_LONGEST_S = 0.5
"""An inference that takes longer is not tried with more samples."""
_GRID_SHARE = 0.95
"""Of the progress; the rest is for fusion and layout."""

Told = Callable[[float, str], None]


def measure_recipe(
    engine: Engine,
    recipe: Recipe,
    wanted: Sequence[str] | None = None,
    *,
    cores: int | None = None,
    told: Told = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> Grid:
    """Measure the model of a recipe in several runtimes on this machine.

    Args:
        engine: Opens and prepares the model.
        recipe: What is done to it.
        wanted: Names of runtimes, keys of ``RUNTIMES``; those of :func:`runtimes_here` if None.
        cores: Most threads that are tried; all cores if None.
        told: Called with a share in 0..1 and what is being done.
        check: Called between blocks; raises to stop.

    Raises:
        ConfigError: If there is no such runtime, or none at all.
        OptimError: If the model cannot be opened or prepared.
    """
    if wanted is None:
        wanted = runtimes_here()
    if not wanted or set(wanted) - RUNTIMES.keys():
        raise ConfigError(
            f"runtimes must be some of {', '.join(RUNTIMES)}: got {', '.join(wanted) or 'none'}.",
            field="runtimes",
        )
    told(0.0, "preparing the model")
    bench = engine.workbench(recipe)
    prepared = bench.prepare(recipe, draft=False, check=check)
    bundle = prepared.bundle
    # In the order of the index: the first is what others are compared with.
    names = [name for name in RUNTIMES if name in wanted]
    found, refused = contenders(bundle, recipe, bench.samples, names)
    batches, threads = _batches(bundle), thread_counts(cores or available_cores())
    inputs = bundle.spec.normalise(bench.samples.inputs[: max(batches)]).numpy()

    def within(share: float, what: str) -> None:
        told(_GRID_SHARE * share, what)

    grid = measure_grid(found, inputs, batches, threads, told=within, check=check)
    fusion, layout = Fusion(), Fusion()
    if best := grid.best(math.inf, "onnx"):
        told(_GRID_SHARE, "fusion and layout")
        settings = sorted({(threads[0], batches[0]), (best.threads, best.batch)})
        levels = at_levels(bundle, recipe, bench.samples)
        fusion = measure_fusion(levels, inputs, settings, check=check)
        if len(bundle.spec.shape) == 3:
            layout = _layouts(bundle, recipe, bench.samples, inputs, settings, check)
    return replace(
        grid,
        refused={**refused, **grid.refused},
        device=f"{about_device()['name']}, {available_cores()} cores",
        gpu=gpu_words(),
        omitted=prepared.omitted,
        fusion=fusion,
        layout=layout,
    )


def _layouts(
    bundle: ModelBundle,
    recipe: Recipe,
    samples: Samples,
    inputs: np.ndarray,
    settings: Sequence[tuple[int, int]],
    check: Callable[[], None],
) -> Fusion:
    """Measure PyTorch by layout, or say why it does not take the model."""
    try:
        found = in_layouts(bundle, recipe, samples)
    except OptimError as error:
        return Fusion(refused=dict.fromkeys(LAYOUTS, str(error)))
    return measure_fusion(found, inputs, settings, named=LAYOUTS, check=check)


def measure_fusion(
    found: Mapping[str, Contender],
    inputs: np.ndarray,
    settings: Sequence[tuple[int, int]],
    *,
    named: Mapping[str, Level] = LEVELS,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Fusion:
    """Measure levels of rewriting, or layouts, at some settings; at each of them they take turns.

    Args:
        found: A runtime by level or layout.
        inputs: ``(n, ...)`` normalised samples, repeated where a batch takes more.
        settings: Threads and samples at once.
        named: What they are called; the first is what others are compared with.
        check: Called between blocks; raises to stop.
        clock: Returns seconds; replaced in tests.
    """
    titles = {name: level.title for name, level in named.items()}
    grids = [
        measure_grid(found, inputs, (batch,), (threads,), titles=titles, check=check, clock=clock)
        for threads, batch in settings
    ]
    return Fusion(
        tuple(
            AtLevel(cell.runtime, cell.threads, cell.batch, cell.latency, cell.change)
            for grid in grids
            for cell in grid.cells
        ),
        {name: why for grid in grids for name, why in grid.refused.items()},
    )


def measure_grid(
    found: Mapping[str, Contender],
    inputs: np.ndarray,
    batches: Sequence[int],
    threads: Sequence[int],
    *,
    titles: Mapping[str, str] = RUNTIMES,
    told: Told = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Grid:
    """Measure every runtime with every batch and number of threads; in each cell they take turns.

    A runtime that fails is left out from there on, with the reason. One that takes longer than half
    a second is not tried with more samples on so many threads.

    Args:
        found: Runtimes by name, in the order of ``titles``.
        inputs: ``(n, ...)`` normalised samples, repeated where a batch takes more.
        batches: Samples at once, growing.
        threads: Threads, growing.
        titles: What a reader calls them; others are compared with the first, where it is there.
        told: Called with a share in 0..1 and what is being done.
        check: Called between blocks; raises to stop.
        clock: Returns seconds; replaced in tests.
    """
    ran: dict[str, Ran] = {}
    refused: dict[str, str] = {}
    cells: list[Cell] = []
    for row, count in enumerate(threads):
        sessions: dict[str, Session] = {}
        for name in [name for name in found if name not in refused]:
            if count > (found[name].most_threads or count):
                continue
            try:
                sessions[name] = found[name].open(count)
            except OptimError as error:
                refused[name] = str(error)
        for column, batch in enumerate(batches):
            share = (row * len(batches) + column) / (len(threads) * len(batches))
            x = inputs[np.arange(batch) % len(inputs)]
            spent: dict[str, float] = {}
            for name in [name for name in found if name in sessions]:
                told(share, f"{titles[name]}, threads: {count}, batch: {batch}")
                try:
                    spent[name] = _settled(sessions[name], x, clock)
                except OptimError as error:
                    refused[name] = str(error)
                    del sessions[name]
            if not spent:
                continue
            taking = {name: sessions[name] for name in spent}
            rounds = int(np.clip(_CELL_S / sum(spent.values()), *_ROUNDS))
            samples = measure_latency(taking, x, rounds=rounds, check=check, clock=clock)
            cells += _cells(samples, next(iter(titles)))
            for name, seconds in spent.items():
                ran.setdefault(name, Ran(sessions[name].runtime, found[name].note))
                if seconds > _LONGEST_S:
                    del sessions[name]
    return Grid(ran, refused, tuple(batches), tuple(threads), tuple(cells))


def _settled(session: Session, x: np.ndarray, clock: Callable[[], float]) -> float:
    """Run a batch once for what is made at first, and return how long it takes then, in seconds.

    Raises:
        MeasurementError: If the runtime fails on it.
    """
    try:
        run = session.timed(x)
        run()
        start = clock()
        run()
        return max(clock() - start, 1e-3)
    except Exception as error:
        # Runtimes, and the compilers they call, raise classes of their own.
        raise MeasurementError(
            f"{session.runtime} failed on inputs of shape {x.shape}: {first_line(error)}."
        ) from error


def _cells(samples: LatencySamples, first: str) -> list[Cell]:
    """Return what was measured in turns, compared with the first one if that took part."""
    return [
        Cell(
            name,
            samples.threads,
            samples.batch_size,
            median_of(blocks, "ms"),
            median_of(1e3 * samples.batch_size / blocks, "per_s"),
            Comparison(median_of(blocks / samples.blocks_ms[first], "x"), better="lower")
            if name != first and first in samples.blocks_ms
            else None,
        )
        for name, blocks in samples.blocks_ms.items()
    ]


def _batches(bundle: ModelBundle) -> tuple[int, ...]:
    """Return the batches a model takes."""
    interface = bundle.interface
    if interface is None or (interface.has_samples_axis and not interface.batch):
        return BATCHES
    return (interface.batch or 1,)
