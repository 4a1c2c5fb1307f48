"""How many channels of a group stay, and which.

Groups are those of :mod:`optim.layers.groups`; layers are cut to what is chosen here by
:mod:`optim.layers.slicing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from optim.layers.groups import ChannelGroup

__all__ = ["RoundTo", "best_channels", "channels_left", "global_shares"]

RoundTo = int | Literal["auto"]
"""Of how many channels a multiple stays; ``"auto"`` follows from the width: :func:`_multiple`."""


def global_shares(scores: Mapping[str, Tensor], ratio: float) -> dict[str, float]:
    """Return the share each group loses if the lowest ``ratio`` of all channels go."""
    together = torch.cat(list(scores.values()))
    count = round(ratio * len(together))
    if not count:
        return dict.fromkeys(scores, 0.0)
    threshold = together.kthvalue(count).values
    return {name: float((s <= threshold).float().mean()) for name, s in scores.items()}


def best_channels(
    scores: Tensor, ratio: float, round_to: RoundTo, blocks: int, together: int = 1
) -> Tensor:
    """Return the sorted channels of one group that stay.

    Args:
        scores: ``(channels,)`` importance.
        ratio: Share to remove, in 0..1.
        round_to: Keep a multiple of this many, as far as there are as many.
        blocks: Equal runs of channels that must stay equally large; the same positions of every
            run stay.
        together: Neighbours that stay or go as one.

    Returns:
        At least one channel a run, or all that go together with one.
    """
    if ratio == 0:
        return torch.arange(len(scores))
    if round_to == "auto":
        round_to = _multiple(len(scores), len(scores) * (1 - ratio))
    if together > 1:
        wholes = scores.reshape(-1, together).mean(dim=1)
        stay = best_channels(wholes, ratio, max(1, round_to // together), blocks)
        return (stay[:, None] * together + torch.arange(together)).flatten()
    runs = scores.reshape(blocks, -1).mean(dim=0)
    size = len(runs)
    step = max(1, round_to // blocks)
    kept = round(size * (1 - ratio) / step) * step
    kept = min(size, max(kept, min(step, size)))
    # The lowest channels go; of equal ones the later go first, on every machine.
    order = torch.argsort(runs, descending=True, stable=True)
    positions = order[:kept].sort().values
    starts = torch.arange(blocks)[:, None] * size
    return (starts + positions).flatten()


def channels_left(
    group: ChannelGroup, scores: Tensor, ratio: float, round_to: RoundTo = 1
) -> Tensor:
    """Return the sorted channels of a group that stay, one at least of every layer that makes some.

    The layers whose outputs are joined share a group, and one of them may have only low scores.

    Args:
        group: Of the channels.
        scores: ``(channels,)`` importance.
        ratio: See :func:`best_channels`.
        round_to: See :func:`best_channels`.
    """
    alive = torch.zeros(group.size, dtype=torch.bool)
    alive[best_channels(scores, ratio, round_to, group.blocks, group.together)] = True
    for member in group.members:
        if member.layer in group.makers and not alive[member.channel].any():
            alive[member.channel[scores[member.channel].argmax()]] = True
    return torch.nonzero(alive).flatten()


def _multiple(size: int, left: float) -> int:
    """Return of how many channels a multiple should stay.

    Kernels of bytes like eights, and fours more than what lies between. Narrow groups would lose
    far more or less than was asked for.

    Args:
        size: Channels of the group.
        left: How many should be left.
    """
    if size < 16:
        return 1
    return 8 if size >= 24 and left >= 8 else 4
