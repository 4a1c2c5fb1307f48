"""What was tried, and what came of it. Plain values: what a study keeps and a page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from optim.quantity import Quantity
from optim.search.space import Point

__all__ = ["Candidate", "Outcome"]

Outcome = Literal["measured", "ranked", "stopped", "sized", "failed"]
"""All samples were looked at; enough to know that it loses too much, and how it ranks; some, and
another one is better beyond doubt; none, because a limit is missed whatever the samples say; or it
could not be made."""


@dataclass(frozen=True)
class Candidate:
    """One thing that was tried.

    Attributes:
        point: Where it lies in the space; empty for what lies outside, such as a baseline.
        made: What makes it again, plain data: ``{"recipe": ...}`` or ``{"architecture": ...}``.
        figures: What is known of it, keys of ``optim.search.figures.FIGURES``.
        outcome: How far it was looked at.
        stage: Where in the search: ``"without training"``, ``"short training"``, ...
        title: What it is, in a few words.
        note: Why it was stopped or failed, in one sentence.
        number: Of the study, in the order in which they were kept; -1 before.
        parent: Number of the candidate that it was made from; -1 if there is none.
        parents: Numbers of the candidates whose points evolution crossed or changed to get its own.
        is_baseline: Whether it was drawn to be compared with, and is not chosen.
        quality: The figure of quality itself, such as accuracy; None where it was not measured.
        scores: What proxies said of it before it was trained, by their names.
        seconds: It took, in all.
    """

    point: Point
    made: Mapping[str, Any]
    figures: Mapping[str, Quantity]
    outcome: Outcome
    stage: str
    title: str = ""
    note: str = ""
    number: int = -1
    parent: int = -1
    parents: tuple[int, ...] = ()
    is_baseline: bool = False
    quality: Quantity | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)

    @property
    def is_judged(self) -> bool:
        """Whether enough samples were looked at to compare it with others."""
        return self.outcome in ("measured", "ranked")

    @property
    def is_whole(self) -> bool:
        """Whether all samples were looked at, so that it can be chosen."""
        return self.outcome == "measured"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **vars(self),
            "parents": list(self.parents),
            "point": dict(self.point),
            "made": dict(self.made),
            "scores": dict(self.scores),
            "figures": {name: value.to_json() for name, value in self.figures.items()},
            "quality": self.quality.to_json() if self.quality else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        figures = {name: Quantity.from_json(value) for name, value in data["figures"].items()}
        quality = Quantity.from_json(data["quality"]) if data["quality"] else None
        parents = tuple(data.get("parents", ()))
        return cls(**{**data, "figures": figures, "quality": quality, "parents": parents})
