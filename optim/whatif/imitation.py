"""Questions about teacher and student: what each finds likely, and where they differ.

The teacher is the recipe's original model; the student is the model at the present position,
trained before or not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from optim.data.dataset import Samples
from optim.errors import ConfigError
from optim.measure.intervals import wilson
from optim.measure.predictions import Predictions
from optim.quantity import How, Quantity
from optim.recipe import Recipe
from optim.whatif.answers import change, shown
from optim.whatif.engine import Engine, Workbench
from optim.whatif.pictures import picture_of

__all__ = ["imitation", "sample"]

_SHOWN = 60
"""Samples of one outcome that can be looked at."""


def imitation(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return where the student agrees with its teacher, beats it, and fails it.

    Returns:
        ``agreement`` and ``change`` as quantities, and for each outcome its share and the
        positions of samples, those with the largest difference between both models first.
    """
    bench = engine.workbench(recipe)
    teacher, student = _both(bench, recipe)
    distance = np.abs(_softened(teacher.outputs, 1.0) - _softened(student.outputs, 1.0)).sum(axis=1)
    outcomes = {
        "both_right": teacher.correct & student.correct,
        "student_wins": ~teacher.correct & student.correct,
        "student_fails": teacher.correct & ~student.correct,
        "both_wrong": ~teacher.correct & ~student.correct,
    }
    return {
        "agreement": shown(student.agreement(teacher)),
        "change": change(student.against(teacher)),
        "omitted": list(bench.prepare(recipe, draft=False).omitted),
        "outcomes": {
            name: {
                "count": int(rows.sum()),
                "text": str(_share_of(int(rows.sum()), len(rows), student.how)),
                "samples": _most(distance, rows),
            }
            for name, rows in outcomes.items()
        },
    }


def sample(engine: Engine, recipe: Recipe, index: int, temperature: float) -> dict[str, Any]:
    """Return what teacher and student find likely for one sample.

    Args:
        engine: The caches.
        recipe: The student.
        index: Position of the sample in the order in which samples are measured.
        temperature: Both distributions are softened by it, as in distillation.

    Raises:
        ConfigError: If there is no such sample, or the temperature is not positive.
    """
    bench = engine.workbench(recipe)
    if not 0 <= index < len(bench.samples):
        raise ConfigError(
            f"index must be from 0 to {len(bench.samples) - 1}: got index={index}.", field="index"
        )
    if not temperature > 0:
        raise ConfigError(
            f"temperature must be above 0: got temperature={temperature:g}.", field="temperature"
        )
    teacher, student = _both(bench, recipe)
    names = bench.subject.bundle.task.class_names
    rows = {
        name: _softened(model.outputs[index : index + 1], temperature)[0]
        for name, model in (("teacher", teacher), ("student", student))
    }
    target = int(teacher.targets[index])
    return {
        "names": list(names),
        "target": names[target],
        "picture": picture_of(bench.samples, index),
        "values": _values(bench.samples, index),
        **{
            name: {
                "shares": row.tolist(),
                "choice": names[int(row.argmax())],
                "beside": float(1 - row.max()),
            }
            for name, row in rows.items()
        },
    }


def _both(bench: Workbench, recipe: Recipe) -> tuple[Predictions, Predictions]:
    """Return what teacher and student say about the whole part."""
    teacher = bench.prepare(replace(recipe, entries=()), draft=False)
    student = bench.prepare(recipe, draft=False)
    return bench.joined(teacher, bench.n_chunks), bench.joined(student, bench.n_chunks)


def _softened(outputs: np.ndarray, temperature: float) -> np.ndarray:
    """Return ``softmax(outputs / temperature)`` of ``(N, classes)`` logits."""
    scaled = outputs.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _most(distance: np.ndarray, rows: np.ndarray) -> list[int]:
    chosen = np.flatnonzero(rows)
    order = np.argsort(-distance[chosen], kind="stable")
    found: list[int] = chosen[order][:_SHOWN].tolist()
    return found


def _share_of(count: int, n: int, how: How) -> Quantity:
    low, high = wilson(count, n)
    return Quantity(count / n, "fraction", low, high, n, how)


def _values(samples: Samples, index: int) -> list[float] | None:
    """Return the numbers of a table row or a series of one channel; None for images."""
    row = samples.inputs[index]
    return None if row.ndim == 3 else row.reshape(-1).astype(float).tolist()
