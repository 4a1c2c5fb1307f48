"""What a zero-cost proxy is: one figure of a network that has not been trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Probe", "Proxy"]


@dataclass(frozen=True, eq=False)
class Probe:
    """What a proxy may look at besides the network.

    Attributes:
        inputs: ``(B, ...)`` normalised training samples.
        targets: ``(B,)`` their classes.
        objective: Maps outputs and targets to a scalar loss.
        params: Parameters of the deployed network.
        macs: Multiply-accumulates of one inference.
    """

    inputs: Tensor
    targets: Tensor
    objective: Callable[[Tensor, Tensor], Tensor]
    params: int
    macs: int


@dataclass(frozen=True)
class Proxy:
    """One way to tell networks apart before training. More is meant to be better.

    Attributes:
        title: Name for a reader.
        about: What it looks at, in one sentence.
        paper: Where it comes from; empty for plain counts.
        score: From a freshly initialised network that it may change, and what may be looked at.
    """

    title: str
    about: str
    paper: str
    score: Callable[[nn.Module, Probe], float]
