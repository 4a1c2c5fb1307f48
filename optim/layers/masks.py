"""Which single weights go: exact counts, whole tensors or N of every M."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["global_masks", "lowest_mask", "n_of_m_mask"]


def lowest_mask(scores: Tensor, count: int) -> Tensor:
    """Return a mask that is False at exactly the ``count`` lowest scores; ties go in order.

    Args:
        scores: Any shape.
        count: 0 to ``scores.numel()``.
    """
    flat = scores.flatten()
    if count == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    threshold = flat.kthvalue(count).values
    keep = flat > threshold
    ties = torch.nonzero(flat == threshold).flatten()
    surplus = count - int((flat < threshold).sum())
    keep[ties[surplus:]] = True
    return keep.reshape(scores.shape)


def global_masks(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Return masks that together are False at the ``count`` lowest scores of all tensors."""
    together = torch.cat([s.flatten() for s in scores.values()])
    pieces = lowest_mask(together, count).split([s.numel() for s in scores.values()])
    return {
        name: piece.reshape(s.shape)
        for (name, s), piece in zip(scores.items(), pieces, strict=True)
    }


def n_of_m_mask(scores: Tensor, n: int, m: int) -> Tensor | None:
    """Return a mask that keeps the ``n`` highest of every ``m`` consecutive input channels.

    Runs along the inputs of each filter position, the order in which sparse tensor cores read
    (Mishra et al., Accelerating Sparse Deep Neural Networks, 2021, arXiv:2104.08378).

    Args:
        scores: ``(O, I, ...)``.
        n: Weights kept in a run.
        m: Length of a run.

    Returns:
        A mask of the same shape, or None if ``I`` is not a multiple of ``m``.
    """
    if scores.shape[1] % m:
        return None
    runs = scores.movedim(1, -1).reshape(-1, m)
    # A stable sort makes equal weights go in order on every machine.
    order = runs.sort(dim=1, stable=True).indices
    keep = torch.ones_like(runs, dtype=torch.bool).scatter_(1, order[:, : m - n], False)
    inputs_last = (scores.shape[0], *scores.shape[2:], scores.shape[1])
    return keep.reshape(inputs_last).movedim(-1, 1)
