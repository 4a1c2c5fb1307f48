"""Trainings that somebody else does, while a search goes on thinking.

A search decides what is trained and judges what came of it; who trains is an :class:`Executor`: the
engine of runs, on this machine or on the nodes of a cluster. What it trains is stored under the key
of all that led to it (:mod:`optim.stored`), so nothing but that key has to come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["LOOK_EVERY_S", "NETWORK_KIND", "RECIPE_KIND", "Executor", "Order", "Outcome"]

RECIPE_KIND, NETWORK_KIND = "recipe training", "network training"
"""Kinds of work, as the engine names them."""
LOOK_EVERY_S = 1.0
"""How long to wait for trainings elsewhere before looking whether to stop."""


@dataclass(frozen=True)
class Order:
    """A training that is to be done.

    Attributes:
        key: By which its end is told; equal keys are the same training.
        kind: Of work: ``RECIPE_KIND`` or ``NETWORK_KIND``.
        spec: What is trained, plain data.
        title: For a reader.
    """

    key: str
    kind: str
    spec: Mapping[str, Any]
    title: str


@dataclass(frozen=True)
class Outcome:
    """What came of an order.

    Attributes:
        key: Of the order.
        seconds: Of its epochs.
        problem: Why nothing was trained; empty if it was.
    """

    key: str
    seconds: float = 0.0
    problem: str = ""


class Executor(Protocol):
    """Trains for a search.

    Attributes:
        places: How many trainings it does at once.
    """

    places: int

    def begin(self, order: Order) -> None:
        """Have something trained; return at once.

        Raises:
            RunError: If nobody can be asked.
        """
        ...

    def ended(self, wait_s: float) -> list[Outcome]:
        """Return what has ended since it was last asked.

        Args:
            wait_s: How long to wait for the first, at most.

        Raises:
            RunError: If nobody can be asked.
        """
        ...

    def withdraw(self) -> None:
        """Give up all that has not ended."""
        ...
