"""Norm of the gradient: how strongly the first step would pull, summed over layers. One pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.search.nas.proxies.layers import weights_and_gradients
from optim.search.nas.proxies.proxy import Probe, Proxy

if TYPE_CHECKING:
    from torch import nn

__all__ = ["GRAD_NORM"]


def _score(module: nn.Module, probe: Probe) -> float:
    return sum(float(g.norm()) for _, g in weights_and_gradients(module, probe))


GRAD_NORM = Proxy(
    "Gradient norm",
    "The norm of the weights' gradients, summed over layers.",
    "Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, 2021, arXiv:2101.08134",
    _score,
)
