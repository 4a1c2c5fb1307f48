"""The ResNet-20 of the bench in plain torch, as a user of any toolkit would write it.

Subsampling in the shortcut is a pooling of one value, so that tracers meet modules alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["ResNet20", "opened"]


class Shortcut(nn.Module):
    """Subsamples, and puts channels of zeros around."""

    def __init__(self, more: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(1, stride)
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(self.pool(x), (0, 0, 0, 0, self.more, self.more))


class Block(nn.Module):
    """Two convolutions and what is added to them."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, made, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(made)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(made)
        self.relu2 = nn.ReLU()
        same = given == made and stride == 1
        self.shortcut = nn.Identity() if same else Shortcut((made - given) // 2, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet20(nn.Module):
    """He et al., Deep Residual Learning for Image Recognition, 2015, for CIFAR-10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, 1)
        self.layer2 = _stage(16, 32, 2)
        self.layer3 = _stage(32, 64, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, 10)`` of normalised images ``(N, 3, 32, 32)``."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.flatten(self.pool(x)))


def _stage(given: int, made: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Block(given, made, stride), Block(made, made, 1), Block(made, made, 1))


def opened(weights: Path) -> ResNet20:
    """Return the network with the weights of an ``.npz`` file, in evaluation mode."""
    network = ResNet20()
    with np.load(weights) as found:
        network.load_state_dict({name: torch.from_numpy(found[name]) for name in found})
    return network.eval()
