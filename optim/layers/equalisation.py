"""Move the scale of a channel from the layer that makes it to the layers that read it.

Dividing a channel by ``s > 0`` and multiplying by ``s`` the weights that read it changes nothing,
as long as what lies between scales with its input: ReLU, pooling, padding with zeros. It does
change how well weights and activations fit a grid that many channels share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.layers.graph import COMPUTE, kind_of, nodes_of, trace
from optim.layers.rewrite import replace_parameters

__all__ = ["Link", "Scaled", "channel_reach", "links_of"]

_ALIKE = frozenset({"identity", "leaky_relu", "prelu", "relu"})
"""What scales with its input, value by value or channel by channel."""
_POOLS = frozenset({"avg_pool", "global_avg_pool", "max_pool"})


@dataclass(frozen=True)
class Link:
    """A layer whose outputs are read by other layers alone.

    Attributes:
        source: The layer that makes the channels; a layer norm, or one with weights.
        norm: The batch norm behind it, or None.
        readers: The layers that read them.
        value: Node of what they read.
        channels: How many there are.
        is_last: Whether they are the last axis of that; otherwise they are the first behind the
            batch.
    """

    source: str
    norm: str | None
    readers: tuple[str, ...]
    value: str
    channels: int
    is_last: bool


def links_of(module: nn.Module, *, norms: bool) -> tuple[list[Link], dict[str, str]]:
    """Return the links of a module in order of execution, and why other layers have none.

    Args:
        module: Traceable.
        norms: Whether layer norms are looked at as well.
    """
    nodes = nodes_of(module)
    calls = Counter(str(node.target) for node in nodes if node.op == "call_module")
    kinds = (*COMPUTE, "layer_norm") if norms else COMPUTE
    links, reasons = [], {}
    for node in nodes:
        if node.op != "call_module" or kind_of(node) not in kinds:
            continue
        found = _link(module, node, calls)
        if isinstance(found, Link):
            links.append(found)
        else:
            reasons[str(node.target)] = found
    return links, reasons


def _link(module: nn.Module, node: fx.Node, calls: Mapping[str, int]) -> Link | str:
    """Return the link that starts at a node, or the reason why there is none."""
    name = str(node.target)
    source, norm, value, flattened = module.get_submodule(name), None, node, False
    if kind_of(node) == "layer_norm" and getattr(source, "bias", None) is None:
        return "it has no scale and shift of its own"
    is_conv, seen = kind_of(node) == "conv", node
    while not (value.users and all(kind_of(user) in COMPUTE for user in value.users)):
        users = list(value.users)
        kind = kind_of(users[0]) if users else "output"
        if len(users) != 1:
            return "its outputs are read by several, not all of them layers with weights"
        if kind == "output":
            return "no layer with weights follows"
        if kind == "batch_norm" and norm is None and value is node and kind_of(node) in COMPUTE:
            norm = str(users[0].target)
            if getattr(module.get_submodule(norm), "bias", None) is None:
                return "the batch norm behind it has no scale and shift of its own"
        elif kind == "flatten" and is_conv and _is_whole(module, users[0]):
            flattened = True
        elif not (kind in _ALIKE or (kind in _POOLS and is_conv)):
            return f"what follows ({kind.replace('_', ' ')}) does not scale with its input"
        value = users[0]
        if kind != "identity":  # those are gone where values are observed
            seen = value
    channels = _channels(source)
    readers = tuple(str(user.target) for user in value.users)
    if any(calls[each] > 1 for each in (name, *readers, *([norm] if norm else []))):
        return "a layer that is called more than once has a part in it"
    for reader in readers:
        layer = module.get_submodule(reader)
        if isinstance(layer, nn.Linear):
            fits = layer.in_features == channels or (
                flattened and layer.in_features % channels == 0
            )
        else:
            groups = getattr(layer, "groups", 1)
            fits = is_conv and not flattened and groups in (1, channels)
        if not fits:
            return f"{reader} does not read its channels one by one"
    return Link(name, norm, readers, seen.name, channels, not is_conv)


def _is_whole(module: nn.Module, node: fx.Node) -> bool:
    """Whether a node flattens everything but the batch."""
    if node.op == "call_module":
        layer: Any = module.get_submodule(str(node.target))
        return (layer.start_dim, layer.end_dim) == (1, -1)
    return tuple(node.args[1:]) == (1,) and not node.kwargs


def _channels(layer: nn.Module) -> int:
    return len(layer.get_parameter("weight"))


class Scaled:
    """A module whose channels are being scaled; what is given stays as it is."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.changed: dict[str, Tensor] = {}
        self._norms = {
            str(node.all_input_nodes[0].target): str(node.target)
            for node in nodes_of(module)
            if kind_of(node) == "batch_norm" and kind_of(node.all_input_nodes[0]) in COMPUTE
        }

    def parameter(self, name: str) -> Tensor:
        """Return the present value of a parameter."""
        return self.changed.get(name, self.module.get_parameter(name).detach())

    def result(self) -> nn.Module:
        """Return a copy of the module with the scaled parameters."""
        return replace_parameters(self.module, self.changed)

    def scale(self, link: Link, scales: Tensor) -> None:
        """Divide the channels ``(C,)`` of a link by positive scales, and make up for it."""
        holder = link.norm or link.source
        for kind in ("weight", "bias"):
            name = f"{holder}.{kind}"
            if getattr(self.module.get_submodule(holder), kind, None) is not None:
                value = self.parameter(name)
                self.changed[name] = value / scales.reshape(-1, *[1] * (value.ndim - 1))
        for reader in link.readers:
            name = f"{reader}.weight"
            weight = self.parameter(name)
            self.changed[name] = weight * self._by_input(reader, weight, scales)

    def made(self, link: Link) -> Tensor:
        """Return the largest folded weight ``(C,)`` that makes each channel."""
        return self._folded(link.source).abs().flatten(1).amax(1)

    def read(self, link: Link) -> Tensor:
        """Return the largest folded weight ``(C,)`` that reads each channel."""
        found = [
            self._per_input(reader, self._folded(reader), link.channels) for reader in link.readers
        ]
        return torch.stack(found).amax(0)

    def _folded(self, name: str) -> Tensor:
        weight = self.parameter(f"{name}.weight")
        if name not in self._norms:
            return weight
        norm = self._norms[name]
        layer: Any = self.module.get_submodule(norm)
        factor = torch.rsqrt(layer.running_var + layer.eps)
        if layer.affine:
            factor = factor * self.parameter(f"{norm}.weight")
        return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))

    def _by_input(self, reader: str, weight: Tensor, scales: Tensor) -> Tensor:
        """Return scales of channels in the shape of the weights that read them."""
        layer = self.module.get_submodule(reader)
        ones = [1] * (weight.ndim - 2)
        if getattr(layer, "groups", 1) > 1:
            return scales.repeat_interleave(len(weight) // len(scales)).reshape(-1, 1, *ones)
        return scales.repeat_interleave(weight.shape[1] // len(scales)).reshape(1, -1, *ones)

    def _per_input(self, reader: str, weight: Tensor, channels: int) -> Tensor:
        """Return the largest weight that reads each channel."""
        if getattr(self.module.get_submodule(reader), "groups", 1) > 1:
            return weight.abs().reshape(channels, -1).amax(1)
        by_input = weight.abs().movedim(1, 0).reshape(weight.shape[1], -1).amax(1)
        return by_input.reshape(channels, -1).amax(1)


def channel_reach(
    module: nn.Module, links: Iterable[Link], batches: Iterable[Tensor]
) -> dict[str, Tensor]:
    """Return ``{value: (C,) largest magnitude}`` of what is read, channel by channel.

    Args:
        module: Traceable.
        links: Whose values are looked at.
        batches: ``(N, ...)`` normalised inputs.
    """
    observers = {link.value: _Reach(link) for link in links}
    traced = trace(module, fold=False, behind=observers)
    with torch.inference_mode():
        for batch in batches:
            traced(batch)
    return {value: observer.reach.clone() for value, observer in observers.items()}


class _Reach(nn.Module):
    """Passes a value on, remembering the largest magnitude of each channel."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.link = link
        self.reach = torch.zeros(link.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Look at a value and return it."""
        if self.link.is_last:
            found = x.detach().reshape(-1, self.link.channels).abs().amax(0)
        else:
            found = x.detach().reshape(len(x), self.link.channels, -1).abs().amax((0, 2))
        self.reach = torch.maximum(self.reach, found)
        return x
