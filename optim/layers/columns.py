"""Layers as products of a matrix: which inputs every output of a convolution is computed from."""

from __future__ import annotations

import zlib
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["at_places", "columns_at", "outputs_of", "places_of", "sampled_places"]


def outputs_of(layer: nn.Module, outputs: Tensor) -> Tensor:
    """Return what a layer gave as ``(N, channels, positions)``."""
    if isinstance(layer, nn.Linear):
        outputs = outputs.movedim(-1, 1)
    return outputs.reshape(len(outputs), outputs.shape[1], -1)


def at_places(values: Tensor, places: Tensor) -> Tensor:
    """Return ``(N, channels, places)`` of ``(N, channels, positions)``."""
    return values.gather(2, places[:, None].expand(-1, values.shape[1], -1))


def places_of(layer: nn.Module, given: Tensor) -> tuple[int, ...]:
    """Return the sizes of the positions at which a layer has outputs for one sample."""
    if isinstance(layer, nn.Linear):
        return tuple(given.shape[1:-1])
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return tuple(
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, dilation, stride in zip(
            _padded(layer, given[:1]).shape[2:],
            layer.kernel_size,
            layer.dilation,
            layer.stride,
            strict=True,
        )
    )


def sampled_places(name: str, samples: int, positions: int, most: int) -> Tensor:
    """Return ``(N, places)``, at most ``most`` for each sample; the same whenever asked for.

    Args:
        name: Decides which.
        samples: How many samples there are.
        positions: How many positions each has.
        most: Positions of a sample that are taken.
    """
    if positions <= most:
        return torch.arange(positions).expand(samples, -1)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randint(positions, (samples, most), generator=generator)


def columns_at(layer: nn.Module, given: Tensor, places: Tensor) -> Tensor:
    """Return what a layer computes its outputs from at some positions.

    Args:
        layer: A convolution or dense layer.
        given: Its inputs ``(N, ...)``.
        places: ``(N, places)``, positions of its outputs.

    Returns:
        ``(N, inputs, places)``; inputs in the order of the flattened weight, those of a grouped
        convolution group after group.
    """
    if isinstance(layer, nn.Linear):
        return at_places(outputs_of(layer, given), places)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    padded = _padded(layer, given)
    size = padded.shape[2:]
    index, rest, offsets = torch.zeros_like(places), places, torch.zeros(1, dtype=torch.long)
    for axis, extent in reversed(list(enumerate(places_of(layer, given)))):
        across = prod(size[axis + 1 :])
        index = index + rest % extent * layer.stride[axis] * across
        rest = rest // extent
        steps = torch.arange(layer.kernel_size[axis]) * layer.dilation[axis] * across
        offsets = (steps[:, None] + offsets).flatten()
    where = (offsets[:, None] + index[:, None]).flatten(1)
    found = padded.flatten(2).gather(2, where[:, None].expand(-1, padded.shape[1], -1))
    return found.reshape(len(given), -1, places.shape[1])


def _padded(layer: nn.Conv1d | nn.Conv2d, given: Tensor) -> Tensor:
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(given, layer._reversed_padding_repeated_twice, mode=mode)
