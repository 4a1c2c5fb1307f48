"""DS-CNN: depthwise separable convolutions of one width, made for microcontrollers."""

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

__all__ = ["DSCNN"]


class DSCNN(Architecture):
    """Depthwise separable CNN of keyword spotting, the MLPerf Tiny reference at its defaults."""

    title: ClassVar[str] = "DS-CNN"
    about: ClassVar[str] = "Depthwise separable convolutions for keyword spotting on a few kB."
    paper: ClassVar[str] = (
        "Zhang et al., Hello Edge: Keyword Spotting on Microcontrollers, 2017, arXiv:1711.07128"
    )
    spec: ClassVar[InputSpec] = InputSpec((1, 49, 10))
    elastic: ClassVar[tuple[str, ...]] = ("kernel", "stem", "depth", "width")

    width: Annotated[
        int,
        Range(
            low=8, high=256, step=8, unit="channels", label="Width", help="Channels of every layer."
        ),
    ] = 64
    depth: Annotated[
        int,
        Range(
            low=1,
            high=8,
            step=1,
            unit="blocks",
            label="Depth",
            help="Number of depthwise separable blocks.",
        ),
    ] = 4
    kernel: Annotated[
        Literal[3, 5],
        Choice(options={3: "3x3", 5: "5x5"}, label="Kernel", help="Size of the depthwise filters."),
    ] = 3
    stem: Annotated[
        Literal["10x4", "3x3"],
        Choice(
            options={"10x4": "10x4", "3x3": "3x3"},
            label="Stem",
            help="First filter: 10x4 for spectrograms (time x frequency), 3x3 for images.",
        ),
    ] = "10x4"
    activation: Activation = "relu"
    normalisation: Normalisation = "batch"
    momentum: Momentum = 0.1
    block_dropout: BlockDropout = 0.0
    dropout: Dropout = 0.0

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose stem, separable blocks, pooling and classifier."""
        from torch import nn

        from optim.models import blocks

        width, bias = self.width, self.normalisation == "none"
        kernel, pad = ((10, 4), (5, 1)) if self.stem == "10x4" else ((3, 3), (1, 1))
        layers: dict[str, nn.Module] = {
            "stem": nn.Conv2d(input_shape[0], width, kernel, 2, pad, bias=bias),
            "stem_norm": blocks.normalisation(self.normalisation, width, 2, self.momentum),
            "stem_act": blocks.activation(self.activation),
        }
        for i in range(1, self.depth + 1):
            layers[f"depthwise{i}"] = nn.Conv2d(
                width, width, self.kernel, 1, self.kernel // 2, groups=width, bias=bias
            )
            layers[f"depthwise_norm{i}"] = blocks.normalisation(
                self.normalisation, width, 2, self.momentum
            )
            layers[f"depthwise_act{i}"] = blocks.activation(self.activation)
            layers[f"pointwise{i}"] = nn.Conv2d(width, width, 1, bias=bias)
            layers[f"pointwise_norm{i}"] = blocks.normalisation(
                self.normalisation, width, 2, self.momentum
            )
            layers[f"pointwise_act{i}"] = blocks.dropping(
                blocks.activation(self.activation), self.block_dropout
            )
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["dropout"] = nn.Dropout(self.dropout)
        layers["classifier"] = nn.Linear(width, n_outputs)
        module = blocks.named(**layers)
        blocks.initialise_(module)
        return module
