"""Weights that share values: clusters of one layer's weights, and the list of their centres.

References:
    Han et al., Deep Compression, 2015, arXiv:1510.00149, section 3: k-means on the weights of a
    layer, three ways to begin it
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from optim.layers.table import SharedWeight

__all__ = ["Start", "clustered", "shared"]

Start = Literal["linear", "density", "random"]

_ROUNDS = 100


def shared(weight: Tensor, bits: int, start: Start, generator: torch.Generator) -> SharedWeight:
    """Cluster the values of a weight; zeros stay zero and belong to no cluster.

    Args:
        weight: Any shape.
        bits: Of the index of a value: zero and at most ``2**bits - 1`` others.
        start: See :func:`clustered`.
        generator: Draws the first centres at random.
    """
    values = weight.detach().flatten().double()
    there = values != 0
    centres = clustered(values[there], 2**bits - 1, start, generator)
    # Half the digits are enough: a centre errs less by them than its cluster is wide.
    centres = torch.unique(centres.to(torch.bfloat16).float())
    negative, positive = centres[centres < 0], centres[centres > 0]
    book = torch.cat([torch.zeros(1), positive, negative])
    centres = torch.cat([negative, positive])
    nearest = _nearest(values[there], centres.double())
    ranks = torch.zeros(len(values), dtype=torch.int16)
    below = nearest - len(negative)
    ranks[there] = (below + (below >= 0)).to(torch.int16)
    narrow = torch.int8 if len(book) <= 128 else torch.int16
    return SharedWeight(book, ranks.to(narrow).reshape(weight.shape))


def clustered(values: Tensor, count: int, start: Start, generator: torch.Generator) -> Tensor:
    """Return the centres of at most ``count`` clusters by k-means, in order.

    A cluster that loses all its values goes; few different values are their own centres.

    Args:
        values: ``(N,)`` float64.
        count: Number of clusters.
        start: Where centres begin: ``linear`` evenly between the extremes, ``density`` at equal
            shares of the values, ``random`` at values drawn.
        generator: Draws them.

    Returns:
        ``(K,)`` float64 with ``K <= count``.
    """
    ordered = values.sort().values
    different = torch.unique_consecutive(ordered)
    if len(different) <= count:
        return different
    centres = _first(ordered, count, start, generator)
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), ordered.cumsum(0)])
    for _ in range(_ROUNDS):
        # Values are in order, so that a cluster is all between two of them.
        edges = torch.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        edges = torch.cat([edges.new_zeros(1), edges, edges.new_full((1,), len(ordered))])
        sizes = edges.diff()
        moved = (sums[edges[1:]] - sums[edges[:-1]])[sizes > 0] / sizes[sizes > 0]
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def _first(ordered: Tensor, count: int, start: Start, generator: torch.Generator) -> Tensor:
    if start == "linear":
        return torch.linspace(float(ordered[0]), float(ordered[-1]), count, dtype=torch.float64)
    if start == "density":
        shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        return torch.unique(ordered[(shares * len(ordered)).long()])
    drawn = torch.randperm(len(ordered), generator=generator)[:count]
    return torch.unique(ordered[drawn])


def _nearest(values: Tensor, centres: Tensor) -> Tensor:
    """Return the index of the centre nearest to each value; centres are in order."""
    return torch.searchsorted((centres[1:] + centres[:-1]) / 2, values)
