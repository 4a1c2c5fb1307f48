"""How far proxies can be trusted: their rank correlation with what was trained, in this very space.

Kendall's tau-b, from -1 to 1: how much more often than not a proxy puts two networks in the order
that training puts them in. Spearman's rho, from -1 to 1: the correlation of the ranks. Their
intervals are by Fisher's transformation with the variances ``0.437 / (n - 4)`` and
``(1 + rho^2 / 2) / (n - 3)`` (Bonett and Wright, Sample Size Requirements for Estimating Pearson,
Kendall and Spearman Correlations, 2000), which are good up to about 0.8 and 0.9.

What a supernet says of a network stands beside the proxies: it is no cheaper than its training.
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

__all__ = [
    "LEAST_NETWORKS",
    "SUPERNET",
    "Trust",
    "kendall_tau",
    "spearman_rho",
    "tau_of",
    "trust_of",
]

SUPERNET = "supernet"
"""Name of the score that a supernet gives."""
_TOLD = {
    SUPERNET: (
        "Supernet",
        "Accuracy on validation samples with the weights that networks share.",
        "Cai et al., Once-for-All: Train One Network and Specialize it for Efficient Deployment, "
        "2019, arXiv:1908.09791",
    ),
    **{name: (proxy.title, proxy.about, proxy.paper) for name, proxy in PROXIES.items()},
}

LEAST_NETWORKS = 8
"""Trained networks that a correlation is told from, at least."""


@dataclass(frozen=True)
class Trust:
    """How far one proxy can be trusted.

    Attributes:
        proxy: A key of ``PROXIES``, or :data:`SUPERNET`.
        tau: Kendall's tau-b with the validation accuracy; ``n`` counts networks.
        rho: Spearman's rho with the same.
    """

    proxy: str
    tau: Quantity
    rho: Quantity

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        title, about, paper = _TOLD[self.proxy]
        return {
            "proxy": self.proxy,
            "title": title,
            "about": about,
            "paper": paper,
            "tau": self.tau.shown(),
            "rho": self.rho.shown(),
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


def spearman_rho(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Spearman's rho; None where all values of either are the same.

    Example:
        >>> spearman_rho([1, 2, 3], [10, 30, 20])
        0.5
    """
    ranks = [_ranks(np.asarray(x)) for x in (one, other)]
    centred = [r - r.mean() for r in ranks]
    scale = math.sqrt(math.prod(float((r * r).sum()) for r in centred))
    return round(float((centred[0] * centred[1]).sum()) / scale, 12) if scale else None


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1; equal values share the mean of theirs."""
    below = (values[:, None] > values[None, :]).sum(1)
    equal = (values[:, None] == values[None, :]).sum(1)
    ranks: np.ndarray = below + (equal + 1) / 2
    return ranks


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
    for name in _TOLD:
        known = [c for c in equal if name in c.scores]
        if len(known) < LEAST_NETWORKS:
            continue
        accuracy = [-c.figures["error"].value for c in known]
        scores = [c.scores[name] for c in known]
        tau, rho = kendall_tau(scores, accuracy), spearman_rho(scores, accuracy)
        if tau is not None and rho is not None:
            n = len(known)
            found.append(
                Trust(
                    name,
                    _tau(tau, n),
                    _with_interval(rho, "tau", n, (1 + rho * rho / 2) / (n - 3)),
                )
            )
    return sorted(found, key=lambda trust: -trust.tau.value)


def tau_of(one: Sequence[float], other: Sequence[float]) -> Quantity | None:
    """Return Kendall's tau-b of at least five pairs with its interval; None where all are tied."""
    tau = kendall_tau(one, other)
    return None if tau is None else _tau(tau, len(one))


def _tau(tau: float, n: int) -> Quantity:
    return _with_interval(tau, "tau", n, 0.437 / (n - 4))


def _with_interval(value: float, unit: str, n: int, variance: float) -> Quantity:
    # A perfect order among few says less than certainty: half a pair may have been luck.
    most = 1 - 1 / (n * (n - 1))
    middle = math.atanh(max(-most, min(most, value)))
    spread = 1.96 * math.sqrt(variance)
    low, high = math.tanh(middle - spread), math.tanh(middle + spread)
    return Quantity(value, unit, min(low, value), max(high, value), n)
