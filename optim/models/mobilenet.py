"""A MobileNetV2 for small images: inverted residuals around depthwise convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice, Range
from optim.models.architecture import (
    Activation,
    Architecture,
    BlockDropout,
    Dropout,
    Momentum,
    Normalisation,
)
from optim.models.input_spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MobileNet"]

_STAGES = ((16, 1, 1), (24, 2, 1), (32, 2, 2), (64, 2, 2))
"""Channels at width 1, blocks at depth 1, stride of the first block."""


class MobileNet(Architecture):
    """MobileNetV2 style: four stages of inverted residuals for images of 32x32 pixels or so."""

    title: ClassVar[str] = "MobileNetV2 (small)"
    about: ClassVar[str] = "Inverted residuals with depthwise convolutions; few MACs, thin layers."
    paper: ClassVar[str] = (
        "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018, "
        "arXiv:1801.04381"
    )
    spec: ClassVar[InputSpec] = InputSpec((3, 32, 32), mean=(0.5,), std=(0.25,), scale=255.0)
    elastic: ClassVar[tuple[str, ...]] = ("kernel", "depth", "expansion", "width")

    width: Annotated[
        float,
        Range(
            low=0.25,
            high=2.0,
            step=0.25,
            unit="x",
            label="Width",
            help="Factor on the channels of every stage.",
        ),
    ] = 1.0
    depth: Annotated[
        Literal[1, 2, 3],
        Choice(
            options={1: "1", 2: "2", 3: "3"},
            ordered=True,
            label="Depth",
            help="Factor on the blocks of every stage.",
        ),
    ] = 1
    expansion: Annotated[
        int,
        Range(
            low=1,
            high=8,
            step=1,
            unit="x",
            label="Expansion",
            help="How many times wider a block is inside.",
        ),
    ] = 4
    kernel: Annotated[
        Literal[3, 5],
        Choice(options={3: "3x3", 5: "5x5"}, label="Kernel", help="Size of the depthwise filters."),
    ] = 3
    activation: Activation = "relu6"
    normalisation: Normalisation = "batch"
    momentum: Momentum = 0.1
    block_dropout: BlockDropout = 0.0
    dropout: Dropout = 0.0

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose stem, stages, a last 1x1 convolution, pooling and classifier."""
        from torch import nn

        from optim.models import blocks

        bias = self.normalisation == "none"
        channels, head = blocks.scaled(16, self.width, 8), blocks.scaled(128, self.width, 8)
        layers: dict[str, nn.Module] = {
            "stem": nn.Conv2d(input_shape[0], channels, 3, 2, 1, bias=bias),
            "stem_norm": blocks.normalisation(self.normalisation, channels, 2, self.momentum),
            "stem_act": blocks.activation(self.activation),
        }
        for i, (base, repeats, stride) in enumerate(_STAGES, start=1):
            stage: list[nn.Module] = []
            for repeat in range(repeats * self.depth):
                out = blocks.scaled(base, self.width, 8)
                stage.append(
                    blocks.InvertedResidual(
                        channels,
                        out,
                        stride if repeat == 0 else 1,
                        expansion=self.expansion,
                        kernel=self.kernel,
                        act=self.activation,
                        norm=self.normalisation,
                        momentum=self.momentum,
                        dropout=self.block_dropout,
                    )
                )
                channels = out
            layers[f"stage{i}"] = nn.Sequential(*stage)
        layers["head"] = nn.Conv2d(channels, head, 1, bias=bias)
        layers["head_norm"] = blocks.normalisation(self.normalisation, head, 2, self.momentum)
        layers["head_act"] = blocks.activation(self.activation)
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["dropout"] = nn.Dropout(self.dropout)
        layers["classifier"] = nn.Linear(head, n_outputs)
        module = blocks.named(**layers)
        blocks.initialise_(module)
        return module
