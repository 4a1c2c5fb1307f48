"""What several proxies look at: the layers that multiply, and the gradients of their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optim.search.nas.proxies.proxy import Probe

__all__ = ["multiplying", "weights_and_gradients"]


def multiplying(module: nn.Module) -> list[nn.Module]:
    """Return the convolutions and dense layers of a network, in order of definition."""
    from torch import nn

    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear)
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def weights_and_gradients(module: nn.Module, probe: Probe) -> list[tuple[Tensor, Tensor]]:
    """Return the weights of these layers with the gradient of the loss on the probe's samples."""
    import torch

    module.train()
    weights = [layer.get_parameter("weight") for layer in multiplying(module)]
    loss = probe.objective(module(probe.inputs), probe.targets)
    gradients = torch.autograd.grad(loss, weights)
    return [(w.detach(), g) for w, g in zip(weights, gradients, strict=True)]
