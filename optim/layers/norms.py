"""What batch norm believes about its inputs, measured again."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor, nn

from optim.layers.rewrite import norm_layers

__all__ = ["measure_norms_"]


def measure_norms_(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of a module's batch norms to those of some samples, in place.

    Norms that were in evaluation mode are in it again afterwards; without norms nothing is done. A
    last batch of one sample is left out, and so is all there is, where that does not vary.

    Args:
        module: In the mode in which its other layers shall work.
        batches: Samples, as the module takes them.
    """
    norms = norm_layers(module).values()
    if not norms:
        return
    batches = iter(batches)
    first = next(batches, None)
    if first is None or (len(first) == 1 and any(isinstance(n, nn.BatchNorm1d) for n in norms)):
        return  # one value does not vary
    before = [(norm, norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        # A module may share its buffers with another, which stays as it is.
        norm._buffers.update({name: b.clone() for name, b in norm.named_buffers()})
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average over all batches
        norm.train()
    try:
        with torch.no_grad():
            for batch in chain([first], (batch for batch in batches if len(batch) > 1)):
                module(batch)
    finally:
        for norm, momentum, training in before:
            norm.momentum = momentum
            norm.train(training)
