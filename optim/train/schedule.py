"""How long and how fast to train."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from optim.errors import ConfigError

__all__ = ["OptimizerName", "Schedule", "ScheduleShape"]

OptimizerName = Literal["sgd", "adamw"]
ScheduleShape = Literal["cosine", "one_cycle", "step", "constant"]

_MILESTONES = (0.5, 0.75)
"""Shares of the steps after which the shape ``step`` lowers the rate tenfold."""
_FIRST, _LAST = 1 / 25, 1 / 25e4
"""Ends of one cycle as shares of its highest rate."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        epochs: Passes over the training samples.
        batch_size: Samples a step.
        learning_rate: Highest rate, reached after the warm-up.
        warmup: Share of the steps in which the rate rises.
        momentum: Of SGD, with Nesterov's correction; of AdamW its first beta.
        weight_decay: On weights; biases and norms are left out.
        clip: Largest norm of the gradient; 0 does not clip.
        optimizer: ``sgd`` or ``adamw``.
        shape: What follows the warm-up: ``cosine`` falls to zero, ``step`` falls tenfold at half
            and at three quarters, ``constant`` stays. ``one_cycle`` rises and falls along cosines,
            from a 25th of the rate and to a 250,000th.
        l1: Weight of the sum of absolute weights; its gradient is added, the loss told is without.
        start_resolution: Size of images in the first epoch as a share of their own; it grows and
            is whole from the middle of training on.

    References:
        one cycle: Smith and Topin, Super-Convergence, 2017, arXiv:1708.07120
        AdamW: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2017, arXiv:1711.05101
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    warmup: float = 0.15
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip: float = 5.0
    optimizer: OptimizerName = "sgd"
    shape: ScheduleShape = "cosine"
    l1: float = 0.0
    start_resolution: float = 1.0

    def __post_init__(self) -> None:
        for name, options in (("optimizer", OptimizerName), ("shape", ScheduleShape)):
            value = getattr(self, name)
            if value not in get_args(options):
                raise ConfigError(
                    f"{name} must be one of {', '.join(get_args(options))}: got {value!r}.",
                    field=name,
                )

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rising = max(1, round(self.warmup * steps))
        if self.shape == "one_cycle":
            return self.learning_rate * _one_cycle(step, rising - 1, steps - 1)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        if self.shape == "step":
            return self.learning_rate * 0.1 ** sum(step >= m * steps for m in _MILESTONES)
        if self.shape == "constant":
            return self.learning_rate
        progress = (step - rising) / max(1, steps - rising)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def resolution(self, epoch: int) -> float:
        """Return the size of images in an epoch, counted from 1, as a share of their own."""
        if epoch == self.epochs:
            return 1.0
        grown = (epoch - 1) / max(1, self.epochs // 2)
        return min(1.0, self.start_resolution + (1 - self.start_resolution) * grown)

    def build(self, *modules: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of all parameters that are trained.

        What decays is apart from what does not: biases and norms must not shrink.
        """
        parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {
                "params": [p for p in parameters if p.ndim > 1],
                "weight_decay": self.weight_decay,
            },
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        if self.optimizer == "adamw":
            betas = (self.momentum, 0.999)
            return torch.optim.AdamW(groups, lr=self.learning_rate, betas=betas)
        return torch.optim.SGD(
            groups,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.momentum > 0,
        )


def _one_cycle(step: int, peak: int, last: int) -> float:
    """Return the share of the highest rate, which is reached at the step ``peak``."""
    if step <= peak:
        return _between(_FIRST, 1.0, step / peak if peak else 1.0)
    return _between(1.0, _LAST, (step - peak) / (last - peak))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
