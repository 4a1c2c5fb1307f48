"""The building blocks of the zoo: small modules of plain ``torch.nn`` layers.

Everything here can be traced by ``torch.fx`` down to its layers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from optim.layers.shortcut import ChannelPadShortcut

__all__ = [
    "BasicBlock",
    "Cell",
    "InvertedResidual",
    "PatchEmbedding",
    "SelfAttention",
    "TokenMean",
    "TransformerBlock",
    "activation",
    "dropping",
    "initialise_",
    "named",
    "normalisation",
    "scaled",
]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "mish": nn.Mish,
}


def activation(name: str) -> nn.Module:
    """Return the activation module of that name."""
    return _ACTIVATIONS[name]()


def normalisation(name: str, channels: int, dims: int, momentum: float = 0.1) -> nn.Module:
    """Return a normalisation layer.

    Args:
        name: ``"batch"``, ``"group"``, ``"layer"`` (one group of all channels) or ``"none"``.
        channels: Number of channels.
        dims: Spatial dimensions of its input: 0 for tables, 1 for series, 2 for images.
        momentum: Weight of the newest batch in the running statistics of batch norm.
    """
    if name == "batch":
        layer = nn.BatchNorm2d if dims == 2 else nn.BatchNorm1d
        return layer(channels, momentum=momentum)
    if name in ("group", "layer"):
        wanted = (8, 4, 2) if name == "group" else ()
        # In a table a channel is one value, and a group of one value says nothing.
        most = channels if dims else channels // 2
        groups = next((n for n in wanted if channels % n == 0 and n <= most), 1)
        return nn.GroupNorm(groups, channels)
    return nn.Identity()


def dropping(layer: nn.Module, rate: float) -> nn.Module:
    """Return a layer followed by dropout; without any, the layer itself, under its own name."""
    return nn.Sequential(layer, nn.Dropout(rate)) if rate else layer


def named(**layers: nn.Module) -> nn.Sequential:
    """Return a sequence whose layers have names, so that parameter names are chosen by us."""
    return nn.Sequential(OrderedDict(layers))


def scaled(channels: int, width: float, multiple: int = 1) -> int:
    """Return ``channels`` times ``width``, rounded to a multiple, at least one of it."""
    return max(multiple, int(channels * width + multiple / 2) // multiple * multiple)


def initialise_(module: nn.Module) -> None:
    """Draw convolution weights as He et al. (2015, arXiv:1502.01852) propose, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2015)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        *,
        kernel: int,
        act: str,
        norm: str,
        momentum: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        pad, bias = kernel // 2, norm == "none"
        self.conv1 = nn.Conv2d(in_channels, channels, kernel, stride, pad, bias=bias)
        self.bn1 = normalisation(norm, channels, 2, momentum)
        self.act1 = dropping(activation(act), dropout)
        self.conv2 = nn.Conv2d(channels, channels, kernel, 1, pad, bias=bias)
        self.bn2 = normalisation(norm, channels, 2, momentum)
        same = stride == 1 and in_channels == channels
        self.shortcut = nn.Identity() if same else ChannelPadShortcut(in_channels, channels, stride)
        self.act2 = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        out = self.act1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.act2(out + self.shortcut(x))


class Cell(nn.Module):
    """Four places; each is the sum of what edges make of earlier ones (Dong and Yang 2020).

    Args:
        channels: Of input, output and all between.
        edges: ``{(from, to): operation}`` in the order of the places they lead to, of ``"skip"``,
            ``"conv1x1"``, ``"conv3x3"`` and ``"average"``; each lies on a way from 0 to 3.
        act: Name of the activation before a convolution.
        norm: Name of the normalisation behind it.
        momentum: Of batch norm.
        dropout: Rate of dropout before a convolution.
    """

    def __init__(
        self,
        channels: int,
        edges: Mapping[tuple[int, int], str],
        *,
        act: str,
        norm: str,
        momentum: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.edges = tuple(edges)
        for (source, target), operation in edges.items():
            if operation == "skip":
                layer: nn.Module = nn.Identity()
            elif operation == "average":
                layer = nn.AvgPool2d(3, 1, 1)
            else:
                kernel = 1 if operation == "conv1x1" else 3
                layer = named(
                    act=dropping(activation(act), dropout),
                    conv=nn.Conv2d(channels, channels, kernel, 1, kernel // 2, bias=norm == "none"),
                    norm=normalisation(norm, channels, 2, momentum),
                )
            self.add_module(f"edge{source}{target}", layer)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, channels, H, W)`` to the same shape."""
        places = {0: x}
        for source, target in self.edges:
            found = self.get_submodule(f"edge{source}{target}")(places[source])
            places[target] = places[target] + found if target in places else found
        return places[3]


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; a shortcut where shapes allow (Sandler et al. 2018)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        *,
        expansion: int,
        kernel: int,
        act: str,
        norm: str,
        momentum: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden, bias = in_channels * expansion, norm == "none"
        layers: dict[str, nn.Module] = {}
        if expansion > 1:
            layers["expand"] = nn.Conv2d(in_channels, hidden, 1, bias=bias)
            layers["expand_norm"] = normalisation(norm, hidden, 2, momentum)
            layers["expand_act"] = activation(act)
        layers["depthwise"] = nn.Conv2d(
            hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=bias
        )
        layers["depthwise_norm"] = normalisation(norm, hidden, 2, momentum)
        layers["depthwise_act"] = dropping(activation(act), dropout)
        layers["project"] = nn.Conv2d(hidden, channels, 1, bias=bias)
        layers["project_norm"] = normalisation(norm, channels, 2, momentum)
        self.branch = named(**layers)
        self.has_shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        return x + self.branch(x) if self.has_shortcut else self.branch(x)


class PatchEmbedding(nn.Module):
    """Cut an image into patches, one vector each, and add where it came from."""

    def __init__(self, in_channels: int, side: int, patch: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(in_channels, width, patch, patch)
        self.position = nn.Parameter(torch.zeros(1, (side // patch) ** 2, width))
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, S, S)`` to ``(N, patches, width)``."""
        return self.project(x).flatten(2).transpose(1, 2) + self.position


class SelfAttention(nn.Module):
    """Multi-head self-attention in plain matrix products (Vaswani et al. 2017).

    It goes by the size of a head, and works on with fewer of them.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.head = width // heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.project = nn.Linear(width, width)
        self.scale = self.head**-0.5

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, width)`` to ``(N, T, width)``."""
        q = self.query(x).unflatten(-1, (-1, self.head)).transpose(1, 2)
        k = self.key(x).unflatten(-1, (-1, self.head)).transpose(1, 2)
        v = self.value(x).unflatten(-1, (-1, self.head)).transpose(1, 2)
        weights = torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * self.scale, dim=-1)
        return self.project(torch.matmul(weights, v).transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each after a layer norm and around a shortcut."""

    def __init__(self, width: int, heads: int, expansion: int, act: str, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = named(
            fc1=nn.Linear(width, width * expansion),
            act=activation(act),
            fc2=nn.Linear(width * expansion, width),
            dropout=nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, width)`` to ``(N, T, width)``."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TokenMean(nn.Module):
    """Average the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, width)`` to ``(N, width)``."""
        return x.mean(1)
