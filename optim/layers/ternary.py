"""Ternary weights: every weight is -s, 0 or s."""

from __future__ import annotations

import torch
from torch import Tensor

from optim.layers.grid import Grid
from optim.layers.table import QuantizedWeight

__all__ = ["ternary_weight"]

_THRESHOLD = 0.7


def ternary_weight(rows: Tensor, grid: Grid, counts: Tensor | None = None) -> QuantizedWeight:
    """Return the ternary form of the ``(R, n)`` rows of a weight.

    Weights within 0.7 times the mean magnitude become zero; the scale is the mean magnitude of
    the others, the least-squares choice for that threshold.

    Args:
        rows: The weights.
        grid: Their grid.
        counts: ``(R,)``, how many of a row are weights where zeros fill up the rest; all if None.

    References:
        Li and Liu, Ternary Weight Networks, 2016, arXiv:1605.04711
    """
    if rows.is_meta:  # only its size is known
        return QuantizedWeight(
            grid, *grid.parameters(-torch.ones(len(rows)), torch.ones(len(rows)))
        )
    size = rows.abs()
    mean = size.mean(dim=1) if counts is None else size.sum(dim=1) / counts
    live = size > _THRESHOLD * mean[:, None]
    scale = (size * live).sum(dim=1) / live.sum(dim=1).clamp(min=1)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    codes = (torch.sign(rows) * live).to(torch.int8)
    return QuantizedWeight(grid, scale, torch.zeros(len(rows), dtype=torch.int32), codes)
