"""Which single weights go: exact counts, whole tensors or N of every M."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["SHAPES", "erk_shares", "global_masks", "lowest_mask", "n_of_m_mask", "over_units"]


SHAPES = ("kernel", "block")
"""Weights that go together: see :func:`over_units`."""
_BLOCK = 4
"""Output channels of a block: what one instruction of a small processor computes."""


def over_units(scores: Tensor, shape: str) -> Tensor | None:
    """Return scores in which all weights of a unit have the unit's sum.

    Args:
        scores: ``(O, I, ...)``.
        shape: ``"kernel"``: all positions of one input of one output; ``"block"``: four outputs in
            a row, at one input and position, as sparse kernels of CPUs take them (Elsen et al.,
            Fast Sparse ConvNets, 2019, arXiv:1911.09723).

    Returns:
        The same shape; None if the units do not divide the weight.
    """
    if shape == "kernel":
        if scores.ndim < 3:
            return None
        return (
            scores.flatten(2)
            .sum(2)
            .reshape(*scores.shape[:2], *[1] * (scores.ndim - 2))
            .expand(scores.shape)
        )
    if scores.shape[0] % _BLOCK:
        return None
    blocks = scores.reshape(-1, _BLOCK, *scores.shape[1:])
    return blocks.sum(1, keepdim=True).expand(blocks.shape).reshape(scores.shape)


def erk_shares(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, float]:
    """Return a sparsity for each layer: the larger, the sparser, as much together as is wanted.

    The density of a layer is proportional to the sum of its dimensions over their product (Evci et
    al., Rigging the Lottery, 2019, arXiv:1911.11134); one that would be more than full stays full.

    Args:
        shapes: Of the weights, ``(O, I, ...)``.
        sparsity: Share of all weights that are zero, in 0..1.
    """
    sizes = {name: float(torch.Size(shape).numel()) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    full: set[str] = set()
    while True:
        rest = {name for name in shapes if name not in full}
        kept = (1 - sparsity) * sum(sizes.values()) - sum(sizes[name] for name in full)
        unit = kept / (sum(raw[name] * sizes[name] for name in rest) or 1.0)
        more = {name for name in rest if unit * raw[name] > 1}
        if not more:
            break
        full |= more
    return {name: 0.0 if name in full else 1 - unit * raw[name] for name in shapes}


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
