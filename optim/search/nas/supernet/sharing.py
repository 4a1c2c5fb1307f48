"""Which weights of the largest network a smaller one takes.

=========================  ======================================================================
fewer channels             those in the middle: where a parameter-free shortcut adds channels of
                           zeros on both sides, they stay where they belong
fewer blocks               the first ones; a network has no parameters of those it lacks
a smaller filter           the middle of the larger one, times a matrix of its own that is learned
                           (once for all: Cai et al., 2019, arXiv:1908.09791)
a filter with no middle    weights of its own, such as 10x4 beside 3x3
=========================  ======================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import torch
from torch import Tensor, nn

__all__ = ["SharedWeights", "middle"]


def middle(full: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the middle of a tensor along every axis.

    Args:
        full: At least as large as what is wanted.
        shape: Of what is wanted, with as many axes.

    Example:
        >>> middle(torch.arange(5), (3,)).tolist()
        [1, 2, 3]
    """
    for axis, (have, want) in enumerate(zip(full.shape, shape, strict=True)):
        if want < have:
            full = full.narrow(axis, (have - want) // 2, want)
    return full


class SharedWeights(nn.Module):
    """What networks need besides the weights of the largest: matrices and filters of their own.

    Args:
        largest: The largest network.
        variants: Networks that differ from it in the size of a filter, each at its largest else.
    """

    def __init__(self, largest: nn.Module, variants: Iterable[nn.Module]) -> None:
        super().__init__()
        self.changes = nn.ParameterDict()
        self.filters = nn.ParameterDict()
        shapes = {name: p.shape for name, p in largest.named_parameters()}
        for variant in variants:
            for name, value in variant.named_parameters():
                size = value.shape[2:]
                if size == shapes[name][2:]:
                    continue
                key = _key(name, size)
                if _has_middle(shapes[name][2:], size):
                    self.changes[key] = nn.Parameter(torch.zeros(prod(size), prod(size)))
                else:
                    self.filters[key] = nn.Parameter(value.detach().clone())

    def take(self, wanted: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the parameters of a network; gradients reach what they were taken from.

        Args:
            wanted: Tells names and shapes; its values do not count.
            weights: Parameters of the largest network by name.
        """
        return {
            name: self._taken(name, tuple(value.shape), weights)
            for name, value in wanted.named_parameters()
        }

    def _taken(self, name: str, shape: tuple[int, ...], weights: Mapping[str, Tensor]) -> Tensor:
        full = weights[name]
        key = _key(name, shape[2:])
        if key in self.filters:
            return middle(self.filters[key], shape)
        found = middle(full, shape)
        if key not in self.changes:
            return found
        flat = found.flatten(2)
        # Decay draws the change to nothing, and the filter to the middle of the larger one.
        return (flat + flat @ self.changes[key]).view(shape)


def _has_middle(full: tuple[int, ...], size: tuple[int, ...]) -> bool:
    return all(
        have >= want and (have - want) % 2 == 0 for have, want in zip(full, size, strict=True)
    )


def _key(name: str, size: tuple[int, ...]) -> str:
    return f"{name.replace('.', '/')}@{'x'.join(map(str, size))}"
