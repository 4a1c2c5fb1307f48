"""Lessons as they were computed on this machine: once for each model, then read.

``python -m optim.lessons.kept`` is started beside the pages; it computes the lesson that somebody
opened, and then all others that are not there yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optim.aside import Check, Shelf, Told, serve
from optim.lessons import LESSONS, TOUR, Lesson
from optim.presets import default_recipe

__all__ = ["SHELF", "TOUR_NAME", "compute", "kept_lesson", "key_of", "lesson_named", "main"]

SHELF = Shelf("lessons", 2)
TOUR_NAME = "tour"
_MOST_S = 1800.0


def lesson_named(name: str) -> Lesson:
    """Return a lesson of the index, or the tour."""
    return TOUR if name == TOUR_NAME else LESSONS[name]


def key_of(name: str) -> str:
    """Return under which name a lesson is kept; it changes with the default model.

    Raises:
        UnsupportedModelError: If there is no model at all.
    """
    recipe = default_recipe()
    return SHELF.key(recipe.model, recipe.data, name)


def kept_lesson(name: str) -> dict[str, Any]:
    """Return what a lesson shows, plain data; nothing if it was not computed yet."""
    return SHELF.kept(key_of(name))


def compute(
    names: list[str],
    told: Callable[[float, str], None] = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Compute lessons that are not kept yet, and keep each as soon as it is there.

    Args:
        names: Which, in order.
        told: Called with a share in 0..1 and what is being done.
        check: Called between lessons; raises to stop.
    """
    import os

    import torch

    from optim.lessons.bench import Bench

    # Small networks do not gain from many threads, and lose where others work beside them.
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    bench = Bench()
    missing = [name for name in names if not kept_lesson(name)]
    for i, name in enumerate(missing):
        check()
        lesson = lesson_named(name)
        told(i / len(missing), lesson.title)
        SHELF.keep(key_of(name), lesson.show(bench).to_json())


def _work(request: dict[str, Any], told: Told, check: Check) -> None:
    compute([request["name"]], told, check)


def main() -> None:
    """Compute what one line on standard input asks for."""
    import os

    if hasattr(os, "nice"):
        os.nice(10)
    serve(SHELF, _work, most_s=_MOST_S, late="The lesson took too long to compute.")


if __name__ == "__main__":
    main()
