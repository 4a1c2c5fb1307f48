"""Random changes to a batch while training, each sample its own, as one tensor operation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Augment", "Mix", "Mixed", "resized"]


@dataclass(frozen=True)
class Augment:
    """Random changes to images while training; other inputs are left as they are.

    Attributes:
        shift: Largest shift in pixels; edges are filled with zeros, the mean of normalised images.
        flip: Whether half of the images are mirrored left to right.
        cutout: Side in pixels of a square set to zero. Its centre lies anywhere in the image, so
            that part of it may fall outside.

    References:
        cutout: DeVries and Taylor, 2017, arXiv:1708.04552
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed copies of ``(B, C, H, W)`` inputs."""
        if x.ndim != 4:
            return x
        if self.flip or self.shift:
            x = self._moved(x, generator)
        if self.cutout:
            x = x.masked_fill(_squares(x, self.cutout, generator)[:, None], 0.0)
        return x

    def _moved(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return windows of the padded, perhaps mirrored images, gathered in one operation."""
        count, channels, height, width = x.shape
        rows = torch.arange(height).expand(count, height)
        columns = torch.arange(width).expand(count, width)
        if self.flip:
            mirrored = torch.rand(count, generator=generator) < 0.5
            columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        if self.shift:
            offsets = torch.randint(0, 2 * self.shift + 1, (2, count), generator=generator)
            rows = rows + offsets[0][:, None]
            # A mirrored image is mirrored before it is shifted.
            towards = offsets[1][:, None]
            if self.flip:
                towards = torch.where(mirrored[:, None], 2 * self.shift - towards, towards)
            columns = columns + towards
        padded = functional.pad(x, [self.shift] * 4) if self.shift else x
        tall, wide = padded.shape[2:]
        image = torch.arange(count)[:, None, None]
        index = (image * tall + rows[:, :, None]) * wide + columns[:, None, :]
        pixels = padded.permute(0, 2, 3, 1).reshape(-1, channels)
        chosen = pixels.index_select(0, index.flatten().to(x.device))
        return chosen.view(count, height, width, channels).permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Mixed:
    """A batch in which every sample is mixed with another one.

    Attributes:
        x: Inputs.
        targets: ``(B,)`` class indices of the samples.
        partners: ``(B,)`` class indices of the others.
        share: ``(B,)`` how much of each sample is left.
    """

    x: Tensor
    targets: Tensor
    partners: Tensor
    share: Tensor

    def shares(self, classes: int) -> Tensor:
        """Return ``(B, classes)`` targets that sum to one."""
        own = functional.one_hot(self.targets, classes).to(self.share)
        other = functional.one_hot(self.partners, classes).to(self.share)
        return torch.lerp(other, own, self.share[:, None])


@dataclass(frozen=True)
class Mix:
    """Samples that are each a mixture of two; their targets are mixed alike.

    With both kinds, each batch is mixed in one of them, with equal chances.

    Attributes:
        mixup: Parameter of the Beta distribution of the shares with which inputs are blended; 0 is
            off, 1 makes all shares equally likely.
        cutmix: The same for the area that a rectangle of another image does not cover. Only images
            have one.

    References:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, 2017, arXiv:1710.09412;
        Yun et al., CutMix, 2019, arXiv:1905.04899
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def applies_to(self, x: Tensor) -> bool:
        """Whether batches of such inputs are mixed at all."""
        return self.mixup > 0 or (self.cutmix > 0 and x.ndim == 4)

    def __call__(self, x: Tensor, targets: Tensor, generator: torch.Generator) -> Mixed:
        """Mix every sample with the one before it in the batch."""
        cuts = self.cutmix > 0 and x.ndim == 4
        if cuts and self.mixup > 0:
            cuts = bool(torch.rand((), generator=generator) < 0.5)
        share = _beta(self.cutmix if cuts else self.mixup, len(x), generator).to(x)
        other, partners = x.roll(1, 0), targets.roll(1, 0)
        if cuts:
            inside = _rectangles(x, share, generator)
            share = 1 - inside.to(x).mean(dim=(1, 2))
            return Mixed(torch.where(inside[:, None], other, x), targets, partners, share)
        by_sample = share.reshape(-1, *[1] * (x.ndim - 1))
        return Mixed(torch.lerp(other, x, by_sample), targets, partners, share)


def resized(x: Tensor, share: float) -> Tensor:
    """Return ``(B, C, H, W)`` images of a share of their size."""
    size = [max(1, round(share * length)) for length in x.shape[2:]]
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _beta(parameter: float, count: int, generator: torch.Generator) -> Tensor:
    """Return ``(count,)`` shares from Beta(parameter, parameter)."""
    seed = int(torch.randint(2**62, (), generator=generator))
    drawn = np.random.default_rng(seed).beta(parameter, parameter, count)
    return torch.from_numpy(drawn.astype(np.float32))


def _squares(x: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Return ``(B, H, W)``, True in a square around a random pixel of each image."""
    sides = torch.full((2, len(x)), side)
    return _boxes(x, sides, generator)


def _rectangles(x: Tensor, share: Tensor, generator: torch.Generator) -> Tensor:
    """Return ``(B, H, W)``, True in a rectangle of the image's form that leaves about a share."""
    lengths = torch.tensor(x.shape[2:])[:, None] * (1 - share.cpu()).sqrt()
    return _boxes(x, lengths.round().long(), generator)


def _boxes(x: Tensor, sides: Tensor, generator: torch.Generator) -> Tensor:
    """Return ``(B, H, W)``, True in boxes of ``(2, B)`` sides around random pixels."""
    inside = []
    for length, side in zip(x.shape[2:], sides, strict=True):
        first = torch.randint(0, length, (len(x),), generator=generator) - side // 2
        place = torch.arange(length)[None, :] - first[:, None]
        inside.append((place >= 0) & (place < side[:, None]))
    return (inside[0][:, :, None] & inside[1][:, None, :]).to(x.device)
