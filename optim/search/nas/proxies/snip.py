"""SNIP: how much the loss would change if weights were taken away, ``sum |w dL/dw|``. One pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.search.nas.proxies.layers import weights_and_gradients
from optim.search.nas.proxies.proxy import Probe, Proxy

if TYPE_CHECKING:
    from torch import nn

__all__ = ["SNIP"]


def _score(module: nn.Module, probe: Probe) -> float:
    return sum(float((w * g).abs().sum()) for w, g in weights_and_gradients(module, probe))


SNIP = Proxy(
    "SNIP",
    "How much the loss depends on the weights, each by itself.",
    "Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, 2018, "
    "arXiv:1810.02340",
    _score,
)
