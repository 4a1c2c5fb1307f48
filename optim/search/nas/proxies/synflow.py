"""SynFlow: the product of absolute weights along all paths, ``sum |w dR/dw|``. Needs no samples.

All parameters are made positive, normalisation does nothing, and ``R`` is the sum of the outputs
for an input of ones. Computed in 64 bits: the products of deep networks are large.

**Differs from the paper**, as in arXiv:2101.08134: used to compare networks, not to prune one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.search.nas.proxies.layers import multiplying
from optim.search.nas.proxies.proxy import Probe, Proxy

if TYPE_CHECKING:
    from torch import nn

__all__ = ["SYNFLOW"]


def _score(module: nn.Module, probe: Probe) -> float:
    import torch

    # In evaluation a fresh batch norm divides by one and adds nothing.
    module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    weights = [layer.get_parameter("weight") for layer in multiplying(module)]
    flow = module(torch.ones_like(probe.inputs[:1], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(flow, weights)
    return sum(float((w.detach() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True))


SYNFLOW = Proxy(
    "SynFlow",
    "The product of absolute weights along all paths through the network; no sample is looked at.",
    "Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic "
    "flow, 2020, arXiv:2006.05467",
    _score,
)
