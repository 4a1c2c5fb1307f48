"""What a layer's outputs lose as one weight after the other goes, each row of weights by itself.

Judged alone, each of several weights with much the same input is free: the others are still there.
Taken away together they are everything. So the losses here follow the removal: in every row the
weight goes that is missed least *now*, and what the outputs lose by it, after all that went before,
is its score. Where rows and layers are compared by it, as many go from each as it can spare.

References:
    Hassibi and Stork, Optimal Brain Surgeon, 1992; in rows, up to the last weight: Frantar and
    Alistarh, Optimal Brain Compression, 2022, arXiv:2208.11580
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from optim.layers.rounding import Moments, damped

__all__ = ["removal_shares"]

_DAMPING = 0.01
"""Added to the moments, in units of the mean energy of an input."""
_STANDING, _MADE_UP, _FEWEST = 128, 32, 8
"""Rounds in which the weights of a row go; within one their order does not change.

Where nothing makes up for a weight, the order changes more with each, and a round costs less.
"""
_WORK = 2e10
"""Multiplications, at most, that a layer is worth: seconds."""
_CHUNK_BYTES = 2**28
_APART = 1e-12
"""Share of the energy by which a loss exceeds that before it: scores keep the order of a row."""


def removal_shares(
    weight: Tensor,
    moments: Moments,
    *,
    refit: bool,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return what the outputs lose by each weight, over their energy, as the weights of a row go.

    Args:
        weight: ``(O, I, ...)``.
        moments: Of the layer's inputs.
        refit: Whether the weights that stay make up for those that go, as the surgeon has it, or
            stay as they are. In large layers, where that would take minutes, they stay.
        check: Called between rounds; raises to stop.

    Returns:
        Scores of the same shape in float64, zero or more.
    """
    inner = moments.inner.double()
    rows = weight.reshape(len(inner), -1, inner.shape[1]).double()
    whole = ((rows @ inner) * rows).sum().clamp(min=torch.finfo(torch.float32).tiny)
    if refit and rows.numel() * rows.shape[2] ** 2 <= _WORK:
        parts = zip(rows, inner, strict=True)
        lost = torch.stack([_made_up(*part, _APART * whole, check) for part in parts])
    else:
        lost = _as_they_stand(rows, inner, _APART * whole, check)
    return (lost / whole).reshape(weight.shape)


def _as_they_stand(rows: Tensor, inner: Tensor, apart: Tensor, check: Callable[[], None]) -> Tensor:
    """Return losses ``(G, R, D)`` of weights whose row is not fitted anew.

    With ``c`` the products of what went with the moments, the outputs lose ``w^2 M_ii + 2 w c_i``
    by one more weight; less than nothing where it takes back what another has cost.
    """
    energy = inner.diagonal(dim1=1, dim2=2)[:, None]
    gone, lost, worst = torch.zeros_like(rows), torch.zeros_like(rows), rows.new_zeros(1)
    here = torch.ones_like(rows, dtype=torch.bool)
    for count in _rounds(rows, _STANDING):
        check()
        more = rows.square() * energy + 2 * rows * (gone @ inner)
        least, at = more.where(here, torch.inf).topk(count, largest=False)
        least = _growing(least, worst, apart)
        worst = least[:, :, -1:]
        lost.scatter_(2, at, least)
        here.scatter_(2, at, False)
        gone = rows * ~here
    return lost


def _made_up(rows: Tensor, inner: Tensor, apart: Tensor, check: Callable[[], None]) -> Tensor:
    """Return losses ``(R, D)`` of weights whose row makes up for each that went."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped(inner[None], _DAMPING)))
    at_once = max(1, _CHUNK_BYTES // (8 * inner.numel()))
    parts = rows.split(at_once)
    return torch.cat([_chunk_made_up(part, inverse, apart, check) for part in parts])


def _chunk_made_up(
    rows: Tensor, inverse: Tensor, apart: Tensor, check: Callable[[], None]
) -> Tensor:
    """Take weights away in rounds; of each round the losses add up to what it costs together."""
    lost, worst = torch.zeros_like(rows), rows.new_zeros(1)
    here = torch.ones_like(rows, dtype=torch.bool)
    inverse = inverse.repeat(len(rows), 1, 1)
    for count in _rounds(rows[None], _MADE_UP):
        check()
        free = inverse.diagonal(dim1=1, dim2=2).clamp(min=torch.finfo(rows.dtype).tiny)
        alone = (rows.square() / free).where(here, torch.inf)
        at = alone.topk(count, largest=False).indices
        columns = inverse.gather(2, at[:, None].expand(-1, rows.shape[1], -1))
        block = columns.gather(1, at[:, :, None].expand(-1, -1, count))
        factor = torch.linalg.cholesky(block)
        step = torch.linalg.solve_triangular(factor, rows.gather(1, at)[:, :, None], upper=False)
        least = _growing(step.squeeze(2).square(), worst, apart)
        worst = least[:, -1:]
        lost.scatter_(1, at, least)
        here.scatter_(1, at, False)
        change = torch.linalg.solve_triangular(factor, columns.mT, upper=False)
        rows = (rows - (change * step).sum(1)) * here
        inverse.baddbmm_(change.mT, change, alpha=-1)
    return lost


def _growing(losses: Tensor, worst: Tensor, apart: Tensor) -> Tensor:
    """Return losses that only grow along a row: nothing goes before what has to go first."""
    grown = torch.maximum(losses, worst).cummax(-1).values
    return grown + apart * torch.arange(1, losses.shape[-1] + 1)


def _rounds(rows: Tensor, most: int) -> Iterator[int]:
    """Yield how many weights of each row go in every round, until all are gone."""
    columns = rows.shape[2]
    paid = int(_WORK // (rows.numel() * columns))
    count = -(-columns // min(max(paid, _FEWEST), most))
    for start in range(0, columns, count):
        yield min(count, columns - start)
