"""The moving average of a model's weights: often better than where training stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from optim.train.state import copied, overwrite_, tensors_of

__all__ = ["Average"]


class Average:
    """Exponential moving average of parameters and of batch norm statistics.

    After ``n`` steps the average moves by ``1 - min(decay, (1 + n) / (10 + n))``, so that it
    forgets the initial weights quickly.

    Args:
        module: What is trained.
        decay: Share of the average that is kept in each step, in 0..1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.values = copied(tensors_of(module))

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the present weights; whole numbers, such as counters, are taken over."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in tensors_of(module).items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 - decay)
            else:
                self.values[name].copy_(value)

    @torch.no_grad()
    def mask(self, masks: Mapping[str, Tensor]) -> None:
        """Set weights to zero that were masked only now."""
        for name, mask in masks.items():
            self.values[f"{name}.weight"].mul_(mask)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Give the module the average, and its own weights back afterwards."""
        own = copied(tensors_of(module))
        overwrite_(module, self.values)
        try:
            yield
        finally:
            overwrite_(module, own)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`load` reads."""
        return {"steps": self.steps, "values": self.values}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.steps = int(state["steps"])
        for name, value in self.values.items():
            value.copy_(state["values"][name])
