"""Channels that share a fate.

A *group* is a set of channels that are kept or removed together: the outputs of every convolution
that is added into one residual stream, the batch norms behind them and the inputs of everything
that reads the stream. :mod:`optim.layers.channels` finds the groups of a module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from optim.layers.shortcut import ChannelPadShortcut

__all__ = [
    "ChannelGroup",
    "Channels",
    "Conv",
    "Member",
    "TransposedConv",
    "is_depthwise",
    "width_of",
]

TransposedConv = nn.ConvTranspose1d | nn.ConvTranspose2d
Conv = nn.Conv1d | nn.Conv2d | TransposedConv


@dataclass(frozen=True, eq=False)
class Member:
    """One side of one layer in a group.

    Attributes:
        layer: Name of the layer.
        side: ``"out"`` if its output channels belong to the group, ``"in"`` if its inputs do.
        index: ``(n,)``; positions on that side of the layer.
        channel: ``(n,)``; the channel of the group each position belongs to.
    """

    layer: str
    side: Literal["out", "in"]
    index: Tensor
    channel: Tensor


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels that must be kept or removed together.

    Attributes:
        name: Name of the first layer that makes them.
        size: Number of channels.
        members: Every layer side the channels pass through.
        makers: Layers whose outputs are these channels.
        blocks: Equal runs of channels that must stay equally large because a grouped convolution
            divides them; 1 otherwise.
        source: torch-pruning's own group, for its importance measures.
        together: Neighbours that stay or go as one: the numbers of an attention head; 1 otherwise.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    makers: tuple[str, ...]
    blocks: int
    source: Any = field(repr=False)
    together: int = 1


@dataclass(frozen=True, eq=False)
class Channels:
    """The channel structure of one module.

    Attributes:
        groups: What can be pruned.
        protected: ``{layer: reason}`` for the layers whose outputs cannot.
    """

    groups: tuple[ChannelGroup, ...]
    protected: Mapping[str, str]


def is_depthwise(layer: Conv) -> bool:
    """Whether every channel of a convolution is filtered apart."""
    return layer.groups == layer.in_channels == layer.out_channels and layer.groups > 1


def width_of(layer: nn.Module, side: str) -> int:
    """Return the number of channels on one side of a layer."""
    if isinstance(layer, nn.Linear):
        return layer.in_features if side == "in" else layer.out_features
    if isinstance(layer, nn.Conv1d | nn.Conv2d | TransposedConv | ChannelPadShortcut):
        return layer.in_channels if side == "in" else layer.out_channels
    weight = layer._parameters.get("weight")
    if weight is not None:
        return weight.shape[-1]
    if isinstance(layer, nn.LayerNorm):
        return layer.normalized_shape[-1]
    wide: Any = layer  # another norm without weights
    return int(wide.num_channels if isinstance(layer, nn.GroupNorm) else wide.num_features)
