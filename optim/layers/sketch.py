"""Modules of which only sizes are known: the same layers, with no numbers in their weights.

How large a file is, and what a layer costs, follows from shapes alone. Of a network whose weights
take seconds to go through, a sketch says so in a fraction of one. Everything that is not the weight
of a convolution or of a dense layer is small, and stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from optim.layers.graph import fork, with_parameters

__all__ = ["filled", "is_sketch", "sketch"]

_LARGE = (nn.Conv1d, nn.Conv2d, nn.Linear)


def sketch(module: nn.Module) -> nn.Module:
    """Return a copy of a module without the numbers of its weights; the rest is shared."""
    return _with_weights(module, lambda weight: torch.empty_like(weight, device="meta"))


def filled(module: nn.Module) -> nn.Module:
    """Return a copy of a sketch that can be run: its weights are zeros."""
    return _with_weights(module, lambda weight: torch.zeros(weight.shape))


def _with_weights(module: nn.Module, made: Callable[[Tensor], Tensor]) -> nn.Module:
    copied = fork(module)
    for name, layer in list(copied.named_modules()):
        if isinstance(layer, _LARGE):
            own = with_parameters(layer, weight=made(layer.weight))
            own.weight.requires_grad_(True)
            copied.set_submodule(name, own)
    return copied


def is_sketch(module: nn.Module) -> bool:
    """Whether only the sizes of a module's weights are known."""
    return any(parameter.is_meta for parameter in module.parameters())
