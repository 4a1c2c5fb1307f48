"""How far proxies can be trusted: their rank correlation with what was trained, in this very space.

Kendall's tau-b, from -1 to 1: how much more often than not a proxy puts two networks in the order
that training puts them in. Its interval is by Fisher's transformation with the variance
``0.437 / (n - 4)`` (Bonett and Wright, Sample Size Requirements for Estimating Pearson, Kendall and
Spearman Correlations, 2000), which is good up to about 0.8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.nas.proxies import PROXIES

__all__ = ["LEAST_NETWORKS", "Trust", "kendall_tau", "tau_of", "trust_of"]

LEAST_NETWORKS = 8
"""Trained networks that a correlation is told from, at least."""


@dataclass(frozen=True)
class Trust:
    """How far one proxy can be trusted.

    Attributes:
        proxy: A key of ``PROXIES``.
        tau: Kendall's tau-b with the validation accuracy; ``n`` counts networks.
    """

    proxy: str
    tau: Quantity

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        proxy = PROXIES[self.proxy]
        return {
            "proxy": self.proxy,
            "title": proxy.title,
            "about": proxy.about,
            "paper": proxy.paper,
            "tau": self.tau.shown(),
        }


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Kendall's tau-b; None where all values of either are the same.

    Example:
        >>> kendall_tau([1, 2, 3], [10, 30, 20])
        0.3333333333333333
    """
    upper = np.triu_indices(len(one), 1)
    signs = [np.sign(np.subtract.outer(x, x))[upper] for x in map(np.asarray, (one, other))]
    untied = math.sqrt(math.prod(float(np.abs(s).sum()) for s in signs))
    return float((signs[0] * signs[1]).sum()) / untied if untied else None


def trust_of(candidates: Sequence[Candidate]) -> list[Trust]:
    """Return how far each proxy can be trusted, the most trustworthy first.

    Only networks that were trained equally long are compared: those of the shortest training.

    Args:
        candidates: Of one search.
    """
    trained = [c for c in candidates if c.is_whole and c.scores and "epochs" in c.made]
    if not trained:
        return []
    shortest = min(c.made["epochs"] for c in trained)
    equal = [c for c in trained if c.made["epochs"] == shortest]
    found = []
    for name in PROXIES:
        known = [c for c in equal if name in c.scores]
        if len(known) < LEAST_NETWORKS:
            continue
        accuracy = [-c.figures["error"].value for c in known]
        tau = tau_of([c.scores[name] for c in known], accuracy)
        if tau is not None:
            found.append(Trust(name, tau))
    return sorted(found, key=lambda trust: -trust.tau.value)


def tau_of(one: Sequence[float], other: Sequence[float]) -> Quantity | None:
    """Return Kendall's tau-b of at least five pairs with its interval; None where all are tied."""
    tau = kendall_tau(one, other)
    return None if tau is None else _with_interval(tau, len(one))


def _with_interval(tau: float, n: int) -> Quantity:
    # A perfect order among few says less than certainty: half a pair may have been luck.
    most = 1 - 1 / (n * (n - 1))
    middle = math.atanh(max(-most, min(most, tau)))
    spread = 1.96 * math.sqrt(0.437 / (n - 4))
    low, high = math.tanh(middle - spread), math.tanh(middle + spread)
    return Quantity(tau, "tau", min(low, tau), max(high, tau), n)
