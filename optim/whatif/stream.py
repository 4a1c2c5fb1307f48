"""Questions about a sensor's series played through both models, window by window."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from optim.data.task import Classification
from optim.errors import ConfigError
from optim.measure.evaluate import how_of
from optim.measure.predictions import Predictions
from optim.recipe import Recipe
from optim.runtime.session import InferenceSession
from optim.whatif.answers import change, shown
from optim.whatif.engine import Engine, Prepared, Workbench

__all__ = ["noise_curve", "stream"]

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Added noise, in standard deviations of each channel."""
_WINDOWS = 60
_CURVE_SAMPLES = 1000
_WARM_UPS = 10
_DRAWN = 256
"""Points of a window that are drawn."""


def stream(
    engine: Engine,
    recipe: Recipe,
    noise: float,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Play windows of a series through both exported files, one at a time and on one thread.

    Args:
        engine: The caches.
        recipe: The compressed model.
        noise: Normal noise that is added, in standard deviations of each channel.
        clock: Returns seconds.

    Returns:
        ``classes``, ``length`` of a window, ``windows`` (their values, thinned out for drawing, and
        true classes), and of both models the ``choices`` and the ``times_ms`` of single answers.

    Raises:
        ConfigError: If the model does not tell classes of labelled series, or the noise is
            negative.
    """
    bench = _opened(engine, recipe)
    inputs = _noisy(bench, slice(0, _WINDOWS), noise)
    x = bench.subject.bundle.spec.normalise(inputs).numpy()
    sessions = [
        InferenceSession.open(engine.file(model), 1, model.bundle.interface)
        for model in _both(bench, recipe)
    ]
    for session in sessions:
        for row in range(_WARM_UPS):
            session.run(x[row % len(x)][None])
    choices: list[list[int]] = [[], []]
    times: list[list[float]] = [[], []]
    for row in range(len(x)):  # both in turns, so that a slow moment of the machine hits both
        for k, session in enumerate(sessions):
            start = clock()
            outputs = session.run(x[row : row + 1])
            times[k].append(1000 * (clock() - start))
            choices[k].append(int(outputs.argmax()))
    length = inputs.shape[-1]
    drawn = inputs[:, 0, :: max(1, length // _DRAWN)]
    return {
        "classes": list(bench.subject.bundle.task.class_names),
        "length": length,
        "windows": {
            "values": _rounded(drawn).tolist(),
            "step": max(1, length // _DRAWN),
            "targets": bench.samples.targets[: len(x)].tolist(),
        },
        **{
            name: {"choices": choices[k], "times_ms": times[k]}
            for k, name in enumerate(("original", "compressed"))
        },
    }


def noise_curve(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return the accuracy of both models under rising noise, on the same windows.

    Returns:
        ``levels``, and for each the accuracy of both models and the change.

    Raises:
        ConfigError: If the model does not tell classes of labelled series.
    """
    bench = _opened(engine, recipe)
    rows = slice(0, min(_CURVE_SAMPLES, len(bench.samples)))
    both = _both(bench, recipe)
    points = []
    for level in LEVELS:
        before, after = (_said(bench, model, rows, level) for model in both)
        points.append(
            {
                "level": level,
                "original": shown(before.accuracy()),
                "compressed": shown(after.accuracy()),
                "change": change(after.against(before)),
            }
        )
    return {"points": points}


def _said(bench: Workbench, model: Prepared, rows: slice, level: float) -> Predictions:
    """Return what a model says about noisy windows, from the cache where it was asked before."""

    def compute() -> Predictions:
        x = bench.subject.bundle.spec.normalise(_noisy(bench, rows, level))
        outputs = np.concatenate([bench.engine.runner(model)(part) for part in torch.split(x, 250)])
        samples = bench.samples
        return Predictions(samples.ids[rows], outputs, samples.targets[rows], how_of(model.bundle))

    key = f"noise:{model.key}:{bench.subject.hash}:{rows.stop}:{level}"
    return bench.engine.memo(key, compute)


def _opened(engine: Engine, recipe: Recipe) -> Workbench:
    bench = engine.workbench(recipe)
    name, samples = bench.subject.bundle.name, bench.samples
    is_series = samples.inputs.ndim == 3 and samples.inputs.dtype.kind == "f"
    if not is_series or not isinstance(bench.subject.bundle.task, Classification):
        raise ConfigError(f"{name} does not tell classes of series.", field="model")
    if not samples.is_labelled:
        raise ConfigError(
            f"Nobody says what the series of {bench.subject.data.title} are.", field="data"
        )
    return bench


def _both(bench: Workbench, recipe: Recipe) -> tuple[Prepared, Prepared]:
    original = bench.prepare(replace(recipe, entries=()), draft=False)
    return original, bench.prepare(recipe, draft=False)


def _noisy(bench: Workbench, rows: slice, level: float) -> np.ndarray:
    """Return windows ``(N, C, L)`` with noise; the same ones at every level, only stronger.

    How much a channel varies is told from the windows of the curve, whichever are asked for.
    """
    if not level >= 0:
        raise ConfigError(f"noise must be at least 0: got noise={level:g}.", field="noise")
    clean = np.asarray(bench.samples.inputs[rows])
    generator = np.random.default_rng(bench.subject.seed)
    noise = generator.standard_normal(clean.shape, np.float32)
    known = np.asarray(bench.samples.inputs[:_CURVE_SAMPLES])
    spread = known.std(axis=(0, 2), keepdims=True)
    noisy: np.ndarray = clean + np.float32(level) * spread * noise
    return noisy


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return values to a thousandth of the largest or finer, as fits a drawing."""
    most = float(np.abs(values).max(initial=0.0))
    decimals = 3 - math.floor(math.log10(most)) if most else 0
    return np.round(values.astype(float), decimals)
