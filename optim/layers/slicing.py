"""Cutting layers to the channels that stay.

For any choice of channels the layers are sliced directly, which takes milliseconds, so that a
slider can follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from optim.layers.graph import fork, with_parameters
from optim.layers.groups import ChannelGroup, TransposedConv, is_depthwise, width_of
from optim.layers.shortcut import ChannelPadShortcut

__all__ = ["keep_channels", "kept_positions", "resized_layer", "slice_masks"]


def keep_channels(
    module: nn.Module, groups: Sequence[ChannelGroup], keep: Mapping[str, Tensor]
) -> nn.Module:
    """Return a copy of a module that has only some channels of some groups.

    Args:
        module: The module the groups were found in; unchanged.
        groups: Result of :func:`find_channels`.
        keep: ``{group name: (k,) sorted channels to keep}``; other groups stay whole.
    """
    kept = kept_positions(module, groups, keep)
    pruned = fork(module)
    for name in {layer for layer, _ in kept}:
        layer = pruned.get_submodule(name)
        pruned.set_submodule(name, _sliced(layer, kept.get((name, "out")), kept.get((name, "in"))))
    return pruned


def slice_masks(
    module: nn.Module,
    masks: Mapping[str, Tensor],
    groups: Sequence[ChannelGroup],
    keep: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Return weight masks ``{layer: (O, I, ...)}`` cut to the channels that stay."""
    kept = kept_positions(module, groups, keep)
    sliced = {}
    for name, mask in masks.items():
        out, inputs = kept.get((name, "out")), kept.get((name, "in"))
        layer = module.get_submodule(name)
        if out is not None:
            mask = mask[out]
        if inputs is not None:
            mask = _slice_inputs(layer, mask, out, inputs)
        sliced[name] = mask
    return sliced


def kept_positions(
    module: nn.Module, groups: Sequence[ChannelGroup], keep: Mapping[str, Tensor]
) -> dict[tuple[str, str], Tensor]:
    """Return ``{(layer, side): positions kept}`` for every layer side that loses some."""
    live: dict[tuple[str, str], Tensor] = {}
    for group in groups:
        if group.name not in keep or len(keep[group.name]) == group.size:
            continue
        alive = torch.zeros(group.size, dtype=torch.bool)
        alive[keep[group.name]] = True
        for member in group.members:
            key = (member.layer, member.side)
            if key not in live:
                live[key] = torch.ones(
                    width_of(module.get_submodule(member.layer), member.side), dtype=torch.bool
                )
            live[key][member.index[~alive[member.channel]]] = False
    return {key: torch.nonzero(mask).flatten() for key, mask in live.items()}


def _sliced(layer: nn.Module, keep_out: Tensor | None, keep_in: Tensor | None) -> nn.Module:
    """Return a layer with only these channels; None keeps a whole side."""
    if isinstance(layer, ChannelPadShortcut):
        every_in, every_out = torch.arange(layer.in_channels), torch.arange(layer.out_channels)
        return layer.select(
            every_in if keep_in is None else keep_in, every_out if keep_out is None else keep_out
        )
    tensors = {**layer._parameters, **layer._buffers}
    if isinstance(layer, TransposedConv):
        return _sliced_transposed(layer, keep_out, keep_in)
    if keep_out is not None:
        tensors = {
            # One number may serve all channels, as the slope of a PReLU does.
            name: t if t is None or t.ndim == 0 or len(t) == 1 else t.detach()[keep_out]
            for name, t in tensors.items()
        }
    weight = tensors["weight"]
    if keep_in is not None and isinstance(weight, Tensor) and weight.ndim > 1:
        tensors["weight"] = _slice_inputs(layer, weight.detach(), keep_out, keep_in)
    resized = resized_layer(layer, tensors["weight"], tensors.get("bias"))
    for name in layer._buffers:
        resized._buffers[name] = tensors[name]
    if tensors["weight"] is None and keep_out is not None:
        _set_width(resized, len(keep_out))
    return resized


def _set_width(norm: Any, width: int) -> None:
    """Tell a norm how wide its inputs are."""
    if isinstance(norm, nn.LayerNorm):
        norm.normalized_shape = (*norm.normalized_shape[:-1], width)
    elif isinstance(norm, nn.GroupNorm):
        norm.num_channels = width
    else:
        norm.num_features = width


def _sliced_transposed(
    layer: nn.ConvTranspose1d | nn.ConvTranspose2d, keep_out: Tensor | None, keep_in: Tensor | None
) -> nn.Module:
    """Return a transposed convolution with only these channels; its inputs come first."""
    weight = layer.weight.detach()
    bias = None if layer.bias is None else layer.bias.detach()
    if keep_in is not None:
        weight = weight[keep_in]
    elif keep_out is not None and is_depthwise(layer):
        weight = weight[keep_out]  # the same channels leave on both sides
    if keep_out is not None:
        weight = weight if is_depthwise(layer) else weight[:, keep_out]
        bias = None if bias is None else bias[keep_out]
    return resized_layer(layer, weight, bias)


def _slice_inputs(
    layer: nn.Module, weight: Tensor, keep_out: Tensor | None, keep_in: Tensor
) -> Tensor:
    groups = layer.groups if isinstance(layer, nn.Conv1d | nn.Conv2d) else 1
    if groups == 1:
        return weight[:, keep_in]
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    if is_depthwise(layer):
        return weight
    per_group = layer.in_channels // groups
    out_group = torch.arange(layer.out_channels) // (layer.out_channels // groups)
    if keep_out is not None:
        out_group = out_group[keep_out]
    columns = (keep_in % per_group).reshape(groups, -1)[out_group].to(weight.device)
    shape = (*columns.shape, *weight.shape[2:])
    return weight.gather(1, columns.reshape(*columns.shape, *[1] * (weight.ndim - 2)).expand(shape))


def resized_layer(layer: nn.Module, weight: Tensor | None, bias: Tensor | None) -> nn.Module:
    """Return a layer like ``layer`` whose sizes follow from another weight and bias.

    Normalisations get fresh statistics of the right size.
    """
    tensors = {"weight": weight, "bias": bias}
    clone = with_parameters(layer, **tensors)
    for parameter in clone.parameters(recurse=False):
        parameter.requires_grad_(True)
    if weight is None:
        return clone
    size = weight.shape[0]
    if isinstance(clone, nn.Linear):
        clone.out_features, clone.in_features = weight.shape
    elif isinstance(clone, nn.Conv1d | nn.Conv2d):
        assert isinstance(layer, nn.Conv1d | nn.Conv2d)
        clone.groups = size if is_depthwise(layer) else layer.groups
        clone.out_channels, clone.in_channels = size, weight.shape[1] * clone.groups
    elif isinstance(clone, TransposedConv):
        assert isinstance(layer, TransposedConv)
        clone.groups = size if is_depthwise(layer) else layer.groups
        clone.in_channels, clone.out_channels = size, weight.shape[1] * clone.groups
    elif isinstance(clone, nn.PReLU):
        clone.num_parameters = size
    elif isinstance(clone, nn.BatchNorm1d | nn.BatchNorm2d):
        _set_width(clone, size)
        buffers = {"running_mean": torch.zeros(size), "running_var": torch.ones(size)}
        object.__setattr__(clone, "_buffers", {**layer._buffers, **buffers})
    elif isinstance(clone, nn.GroupNorm | nn.InstanceNorm1d | nn.InstanceNorm2d):
        _set_width(clone, size)
    elif isinstance(clone, nn.LayerNorm):
        clone.normalized_shape = tuple(weight.shape)
    return clone
