"""Questions about detectors: what is found in a scene, by the original and the compressed model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from optim.data.boxes import Boxes, Matches, boxes_of, matches
from optim.data.task import Detection
from optim.errors import ConfigError
from optim.measure.quality import METRICS, quality, quality_of
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.whatif.answers import change, shown
from optim.whatif.engine import Engine, Prepared, Workbench
from optim.whatif.pictures import picture_of

__all__ = ["detections", "scene"]

_SHOWN = 60
"""Scenes of one kind that can be looked at."""


def detections(engine: Engine, recipe: Recipe, score: float) -> dict[str, Any]:
    """Return how well both models find objects, and in which scenes they differ.

    Args:
        engine: The caches.
        recipe: The compressed model.
        score: Boxes below it are left out of counts and scenes, not of the metrics.

    Returns:
        ``figures`` (the metrics of both), ``change`` of the first of them, ``counts`` (objects
        that are found and missed, and false boxes, of both), and ``scenes`` by what became of
        them, those in which more changed first.

    Raises:
        ConfigError: If the model finds no objects, or the score is not in 0..1.
    """
    bench, task = _opened(engine, recipe, score)
    both = _both(bench, recipe)
    before, after = (bench.joined(model, bench.n_chunks) for model in both)
    judged, alone = quality(after, before, task, every=False), quality_of(before, task)
    found = [_matched(bench, model, task, score) for model in both]
    wrong = [np.array([each.missed.sum() + (~each.is_right).sum() for each in m]) for m in found]
    worse = wrong[1] - wrong[0]
    scenes = {"worse": worse > 0, "better": worse < 0, "same": worse == 0}
    return {
        "figures": [
            {
                "name": name,
                **{key: getattr(METRICS[name], key) for key in ("title", "about")},
                "before": shown(alone.figures[name]),
                "after": shown(figure),
            }
            for name, figure in judged.figures.items()
        ],
        "change": change(judged.change),
        "counts": {
            name: _counts(model)
            for name, model in zip(("original", "compressed"), found, strict=True)
        },
        "omitted": list(both[1].omitted),
        "scenes": {
            name: {
                "count": int(rows.sum()),
                "of": len(rows),
                "samples": _most(np.abs(worse) + 1e-3 * wrong[1], rows),
            }
            for name, rows in scenes.items()
        },
    }


def scene(engine: Engine, recipe: Recipe, index: int, score: float) -> dict[str, Any]:
    """Return one scene with what both models find in it.

    Args:
        engine: The caches.
        recipe: The compressed model.
        index: Position of the scene in the order in which samples are measured.
        score: Boxes below it are left out.

    Returns:
        ``picture`` (base64 PNG), ``size`` (height, width), ``objects``, and of both models the
        boxes that are right and false, and the objects that are missed. A box is left, top, right
        and bottom in pixels, with the name of its class and its score.

    Raises:
        ConfigError: If there is no such scene, the model finds no objects, or the score is not in
            0..1.
    """
    bench, task = _opened(engine, recipe, score)
    if not 0 <= index < len(bench.samples):
        raise ConfigError(
            f"index must be from 0 to {len(bench.samples) - 1}: got index={index}.", field="index"
        )
    objects = _objects(bench.samples.targets[index])
    answers = {}
    for name, model in zip(("original", "compressed"), _both(bench, recipe), strict=True):
        boxes = _boxes(bench, model, task)[index].above(score)
        found = matches(boxes, objects)
        rows = [
            {
                "corners": boxes.corners[i].tolist(),
                "name": task.class_names[int(boxes.classes[i])],
                "score": float(boxes.scores[i]),
                "is_right": bool(found.is_right[i]),
            }
            for i in range(len(boxes.scores))
        ]
        missed = [_named(each, task) for each in objects[found.missed]]
        answers[name] = {"boxes": rows, "missed": missed}
    return {
        "picture": picture_of(bench.samples, index),
        "size": list(task.size),
        "objects": [_named(each, task) for each in objects],
        **answers,
    }


def _opened(engine: Engine, recipe: Recipe, score: float) -> tuple[Workbench, Detection]:
    if not 0 <= score <= 1:
        raise ConfigError(f"score must be from 0 to 1: got score={score:g}.", field="score")
    bench = engine.workbench(recipe)
    task = bench.subject.bundle.task
    if not isinstance(task, Detection):
        raise ConfigError(f"{bench.subject.bundle.name} finds no objects.", field="model")
    if bench.primary != task.primary_metric:
        raise ConfigError(
            f"Nobody says where the objects of {bench.subject.data.title} are.", field="data"
        )
    return bench, task


def _both(bench: Workbench, recipe: Recipe) -> tuple[Prepared, Prepared]:
    original = bench.prepare(replace(recipe, entries=()), draft=False)
    return original, bench.prepare(recipe, draft=False)


def _boxes(bench: Workbench, model: Prepared, task: Detection) -> list[Boxes]:
    """Return what a model finds in every scene of the part, whatever its score."""
    return bench.engine.memo(
        f"boxes:{model.key}:{bench.subject.hash}",
        lambda: boxes_of(bench.joined(model, bench.n_chunks).outputs, task),
    )


def _matched(bench: Workbench, model: Prepared, task: Detection, score: float) -> list[Matches]:
    return [
        matches(boxes.above(score), _objects(targets))
        for boxes, targets in zip(_boxes(bench, model, task), bench.samples.targets, strict=True)
    ]


def _objects(targets: np.ndarray) -> np.ndarray:
    """Return the objects ``(K, 5)`` that are there."""
    found: np.ndarray = targets[targets[:, 4] >= 0]
    return found


def _counts(found: list[Matches]) -> dict[str, Any]:
    counts = {
        "found": sum(int((~each.missed).sum()) for each in found),
        "missed": sum(int(each.missed.sum()) for each in found),
        "false": sum(int((~each.is_right).sum()) for each in found),
    }
    return {name: shown(Quantity.exact(count, "count")) for name, count in counts.items()}


def _named(target: np.ndarray, task: Detection) -> dict[str, Any]:
    return {"corners": target[:4].tolist(), "name": task.class_names[int(target[4])]}


def _most(amount: np.ndarray, rows: np.ndarray) -> list[int]:
    chosen = np.flatnonzero(rows)
    order = np.argsort(-amount[chosen], kind="stable")
    found: list[int] = chosen[order][:_SHOWN].tolist()
    return found
