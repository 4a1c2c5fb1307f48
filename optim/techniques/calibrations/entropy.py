"""Choose the range whose rounded distribution is closest to the observed one.

Minimises the Kullback-Leibler divergence, as TensorRT does. Suits activations with long thin
tails; costs a histogram and a search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from optim.techniques.calibrations.method import CalibrationMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.grid import Grid
    from optim.layers.statistics import Statistics

__all__ = ["Entropy"]

_BINS = 2048
_CANDIDATES = 64


class Entropy(CalibrationMethod):
    """Keep the information: minimise the Kullback-Leibler divergence.

    **Differs from the paper**: the search runs over shares of the whole range, both ends
    together, so that it also serves two-sided activations.
    """

    title: ClassVar[str] = "Entropy"
    paper: ClassVar[str] = "Migacz, 8-bit Inference with TensorRT, GTC 2017"

    def limits(self, statistics: Statistics, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return the range of least divergence for each row."""
        import torch

        shares = [
            _best_share(row.numpy(), float(low), float(high), grid.levels)
            for row, low, high in zip(
                statistics.values, statistics.low, statistics.high, strict=True
            )
        ]
        chosen = torch.tensor(shares)
        return statistics.low * chosen, statistics.high * chosen


def _best_share(values: np.ndarray, low: float, high: float, levels: int) -> float:
    low, high = min(low, 0.0), max(high, 0.0)
    if high <= low:
        return 1.0
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    shares = np.linspace(1.0, 0.1, _CANDIDATES)
    divergences = [
        _divergence(counts.astype(np.float64), centres, low * s, high * s, levels) for s in shares
    ]
    return float(shares[int(np.argmin(divergences))])


def _divergence(
    counts: np.ndarray, centres: np.ndarray, low: float, high: float, levels: int
) -> float:
    """Return the divergence of the clipped histogram from its rounded version."""
    inside = (centres >= low) & (centres <= high)
    kept = counts[inside]
    reference = kept.copy()
    reference[0] += counts[centres < low].sum()
    reference[-1] += counts[centres > high].sum()
    level = np.minimum(((centres[inside] - low) / (high - low) * levels).astype(int), levels - 1)
    occupied = kept > 0
    mass = np.bincount(level, kept, levels)
    bins = np.bincount(level, occupied, levels)
    spread = np.where(occupied, (mass / np.maximum(bins, 1))[level], 0.0)
    return _kullback_leibler(reference, spread)


def _kullback_leibler(p: np.ndarray, q: np.ndarray) -> float:
    p, q = p / p.sum(), q / max(q.sum(), 1.0)
    # An empty bin of q under mass of p would be infinitely far; it counts as very far.
    q = np.maximum(q, 1e-9)
    live = p > 0
    return float(np.sum(p[live] * np.log(p[live] / q[live])))
