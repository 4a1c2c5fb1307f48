"""The parameter-free shortcut of the CIFAR ResNets, made so that channels can leave it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optim.errors import UnsupportedModelError

__all__ = ["ChannelPadShortcut"]


class ChannelPadShortcut(nn.Module):
    """He et al.'s "option A" shortcut: subsample, and add channels of zeros.

    Which input channel each output channel copies is kept as an index, so that channels can be
    removed on either side.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; the new ones are split over both ends.
        stride: Subsampling of height and width.

    Attributes:
        source: ``(out_channels,)``; the input channel each output channel copies, -1 for zeros.

    References:
        He et al., Deep Residual Learning for Image Recognition, 2015, arXiv:1512.03385
    """

    source: Tensor

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise UnsupportedModelError(
                "A parameter-free shortcut cannot drop channels: "
                f"got in_channels={in_channels}, out_channels={out_channels}."
            )
        before = (out_channels - in_channels) // 2
        index = torch.full((out_channels,), -1)
        index[before : before + in_channels] = torch.arange(in_channels)
        self.register_buffer("source", index, persistent=False)
        self.in_channels = in_channels
        self.stride = stride
        # Asked of the index in every pass, it would stop compilation and wait for a GPU.
        self._padding: tuple[int, int] | None = (before, out_channels - in_channels - before)

    def extra_repr(self) -> str:
        """Return what decides the shape of its output."""
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}"

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return len(self.source)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in, H, W)`` to ``(N, out, ceil(H / stride), ceil(W / stride))``."""
        x = x[:, :, :: self.stride, :: self.stride]
        padding = self.padding()
        if padding is not None:
            return nn.functional.pad(x, (0, 0, 0, 0, *padding))
        zeros = x.new_zeros(()).expand(x.shape[0], 1, *x.shape[2:])
        return torch.cat([x, zeros], dim=1)[:, self.source]

    def padding(self) -> tuple[int, int] | None:
        """Return the zero channels before and after, or None if it is more than padding."""
        return self._padding

    def select(self, keep_in: Tensor, keep_out: Tensor) -> ChannelPadShortcut:
        """Return a shortcut between these input and output channels only."""
        position = torch.full((self.in_channels + 1,), -1)
        position[keep_in] = torch.arange(len(keep_in))
        return self.from_source(position[self.source[keep_out]], len(keep_in), self.stride)

    @classmethod
    def from_source(cls, source: Tensor, in_channels: int, stride: int) -> ChannelPadShortcut:
        """Return a shortcut with a given index."""
        shortcut = cls(0, 0, stride)
        shortcut.source = source
        shortcut.in_channels = in_channels
        shortcut._padding = _padding_of(source, in_channels)
        return shortcut


def _padding_of(source: Tensor, in_channels: int) -> tuple[int, int] | None:
    """Return the zero channels before and after, or None if an index is more than padding."""
    live = torch.nonzero(source >= 0).flatten()
    before = int(live[0]) if len(live) else 0
    after = len(source) - before - in_channels
    whole = torch.arange(in_channels, device=source.device)
    if after < 0 or not torch.equal(source[before : before + in_channels], whole):
        return None
    return (before, after) if len(live) == in_channels else None
