"""Fisher: how much the loss would change if channels were taken away. One pass.

Of every channel of every layer, ``1/2 mean over samples of (sum over places of a dL/da)^2``, summed
up. The loss is that of each sample, not the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.search.nas.proxies.layers import multiplying
from optim.search.nas.proxies.proxy import Probe, Proxy

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["FISHER"]


def _score(module: nn.Module, probe: Probe) -> float:
    import torch
    from torch import nn

    outputs: list[Tensor] = []
    dense: list[bool] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output)
        dense.append(isinstance(layer, nn.Linear))

    handles = [layer.register_forward_hook(note) for layer in multiplying(module)]
    module.train()
    loss = probe.objective(module(probe.inputs), probe.targets) * len(probe.inputs)
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(loss, outputs)
    by_channel = [
        # Places come behind the channels; of dense layers, such as those on tokens, before them.
        product.flatten(1, -2).sum(1) if is_dense and product.ndim > 2 else _summed(product)
        for is_dense, product in zip(
            dense, (a.detach() * g for a, g in zip(outputs, gradients, strict=True)), strict=True
        )
    ]
    return sum(float((values**2).mean(0).sum() / 2) for values in by_channel)


def _summed(product: Tensor) -> Tensor:
    return product.flatten(2).sum(2) if product.ndim > 2 else product


FISHER = Proxy(
    "Fisher",
    "How much the loss depends on the channels, each by itself.",
    "Turner et al., BlockSwap: Fisher-guided Block Substitution for Network Compression on a "
    "Budget, 2019, arXiv:1906.04113",
    _score,
)
