"""Covariance of Jacobians: how differently outputs depend on inputs, from sample to sample.

The eigenvalues ``v`` of the correlations between the samples' Jacobians score
``-sum(log(v + k) + 1 / (v + k))``, the most where no two samples are alike. One pass and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.search.nas.proxies.proxy import Probe, Proxy

if TYPE_CHECKING:
    from torch import nn

__all__ = ["JACOB_COV"]

_K = 1e-5


def _score(module: nn.Module, probe: Probe) -> float:
    import torch

    module.train()
    inputs = probe.inputs.clone().requires_grad_()
    (jacobian,) = torch.autograd.grad(module(inputs).sum(), inputs)
    rows = jacobian.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    norms = rows.norm(dim=1, keepdim=True)
    if bool((norms == 0).any()):
        return float("-inf")
    values = torch.linalg.eigvalsh((rows / norms) @ (rows / norms).T) + _K
    if bool((values <= 0).any()):
        values = values.clamp(min=_K)
    return -float((values.log() + 1 / values).sum())


JACOB_COV = Proxy(
    "Jacobian covariance",
    "How differently outputs depend on inputs, from sample to sample.",
    "Mellor et al., Neural Architecture Search without Training, version 1, 2020, arXiv:2006.04647",
    _score,
)
