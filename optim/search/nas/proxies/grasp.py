"""GraSP: how much of the gradient's flow depends on the weights, ``sum -w (H g)``.

``H g``, the Hessian times the gradient, is half the gradient of ``g . g``: one pass forward, two
back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.search.nas.proxies.layers import multiplying
from optim.search.nas.proxies.proxy import Probe, Proxy

if TYPE_CHECKING:
    from torch import nn

__all__ = ["GRASP"]


def _score(module: nn.Module, probe: Probe) -> float:
    import torch

    module.train()
    weights = [layer.get_parameter("weight") for layer in multiplying(module)]
    loss = probe.objective(module(probe.inputs), probe.targets)
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    flow = torch.stack([(g * g).sum() for g in gradients]).sum() / 2
    products = torch.autograd.grad(flow, weights)
    return -sum(float((w.detach() * p).sum()) for w, p in zip(weights, products, strict=True))


GRASP = Proxy(
    "GraSP",
    "How much of the gradient's flow depends on the weights, by the Hessian.",
    "Wang et al., Picking Winning Tickets Before Training by Preserving Gradient Flow, 2020, "
    "arXiv:2002.07376",
    _score,
)
