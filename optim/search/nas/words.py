"""Architectures and figures as a reader sees them."""

from __future__ import annotations

from collections.abc import Mapping

from optim.fields import Choice, controls
from optim.measure.chance import is_hardly_better
from optim.models.architecture import Architecture
from optim.models.zoo import ARCHITECTURES
from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.figures import figure_text
from optim.search.goals import Goals
from optim.search.nas.families import SHARED
from optim.search.space import Point

__all__ = ["doubts_about", "figures_text", "title_of"]


def title_of(family: str, point: Point) -> str:
    """Return what an architecture is, in a few words.

    Example:
        >>> title_of("mlp", {"mlp.width": 32, "mlp.depth": 2})
        'depth 2, width 32'
    """
    cls: type[Architecture] = ARCHITECTURES[family]
    words = []
    for control in controls(cls):
        value = point.get(f"{family}.{control.name}")
        if value is None or (control.name in SHARED and value == control.default):
            continue
        shown = control.kind.options[value] if isinstance(control.kind, Choice) else value
        words.append(f"{control.kind.label.lower()} {shown}")
    return ", ".join(words) or cls.title


def figures_text(figures: Mapping[str, Quantity], goals: Goals) -> str:
    """Return error and costs of a candidate in one line.

    Example:
        >>> figures = {"error": Quantity.exact(2.5, "points")}
        >>> figures |= {"bytes": Quantity.exact(4e4, "bytes")}
        >>> figures_text(figures, Goals(("error", "bytes")))
        'error 2.50 points, 40.0 kB'
    """
    words = []
    for name in goals.objectives:
        if name in figures:
            words.append(figure_text(name, figures[name]))
    return ", ".join(words)


def doubts_about(candidate: Candidate, epochs: int, chance: float) -> list[str]:
    """Return what speaks against taking a network, in sentences.

    Args:
        candidate: The network.
        epochs: Of a whole training.
        chance: Accuracy of naming the most common class every time, in 0..1.
    """
    found = []
    if not (own := candidate.made.get("epochs", 0)):
        found.append("Its weights are those of the supernet: it was not trained by itself.")
    elif own < epochs:
        found.append(f"It was trained for {own} of {epochs} epochs.")
    if candidate.quality is not None and is_hardly_better(candidate.quality.value, chance):
        found.append(
            "It does hardly better than guessing: naming the most common class every time is "
            f"right for {chance:.0%} of the validation samples."
        )
    return found
