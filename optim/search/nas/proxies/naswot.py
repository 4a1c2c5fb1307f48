"""NASWOT: how differently samples switch the network's units on and off. One pass forward.

Of every activation the code of a sample is which units get a positive input; the kernel counts in
how many places two samples agree, and the score is the logarithm of its determinant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.search.nas.proxies.proxy import Probe, Proxy

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["NASWOT"]


def _score(module: nn.Module, probe: Probe) -> float:
    import torch
    from torch import nn

    kinds = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish)
    count = len(probe.inputs)
    kernel = torch.zeros(count, count, dtype=torch.float64)

    def add(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        code = (given[0] > 0).flatten(1).double()
        kernel.add_(code @ code.T + (1 - code) @ (1 - code).T)

    handles = [m.register_forward_pre_hook(add) for m in module.modules() if isinstance(m, kinds)]
    module.train()
    with torch.no_grad():
        module(probe.inputs)
    for handle in handles:
        handle.remove()
    sign, log = torch.linalg.slogdet(kernel)
    return float(log) if sign > 0 else float("-inf")


NASWOT = Proxy(
    "NASWOT",
    "How differently samples switch units on and off.",
    "Mellor et al., Neural Architecture Search without Training, 2020, arXiv:2006.04647",
    _score,
)
