"""Residual networks for 32x32 images, with parameter-free shortcuts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice
from optim.models.architecture import (
    Activation,
    Architecture,
    BlockDropout,
    Dropout,
    Momentum,
    Normalisation,
    StageWidth,
)
from optim.models.input_spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ResNet"]


class ResNet(Architecture):
    """ResNet-8 to ResNet-56: three stages of basic blocks, option A shortcuts.

    Parameter names are those of the published CIFAR-10 checkpoints.
    """

    title: ClassVar[str] = "ResNet (CIFAR)"
    about: ClassVar[str] = "Residual network of three stages for 32x32 images."
    paper: ClassVar[str] = (
        "He et al., Deep Residual Learning for Image Recognition, 2015, arXiv:1512.03385"
    )
    spec: ClassVar[InputSpec] = InputSpec(
        (3, 32, 32), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), scale=255.0
    )
    elastic: ClassVar[tuple[str, ...]] = ("kernel", "stem_stride", "depth", "width")

    depth: Annotated[
        Literal[8, 14, 20, 32, 44, 56],
        Choice(
            options={n: str(n) for n in (8, 14, 20, 32, 44, 56)},
            ordered=True,
            label="Depth",
            help="Number of layers with weights: 6 a block and stage, plus 2.",
        ),
    ] = 20
    width: StageWidth = 16
    kernel: Annotated[
        Literal[3, 5],
        Choice(options={3: "3x3", 5: "5x5"}, label="Kernel", help="Size of the filters."),
    ] = 3
    stem_stride: Annotated[
        Literal[1, 2],
        Choice(
            options={1: "1", 2: "2"},
            label="Stem stride",
            help="2 halves height and width at once and costs a quarter of the MACs.",
        ),
    ] = 1
    activation: Activation = "relu"
    normalisation: Normalisation = "batch"
    momentum: Momentum = 0.1
    block_dropout: BlockDropout = 0.0
    dropout: Dropout = 0.0

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose stem, three stages, pooling and classifier."""
        from torch import nn

        from optim.models import blocks

        blocks_per_stage = (self.depth - 2) // 6
        channels = [self.width, 2 * self.width, 4 * self.width]

        def block(in_channels: int, out_channels: int, stride: int) -> nn.Module:
            return blocks.BasicBlock(
                in_channels,
                out_channels,
                stride,
                kernel=self.kernel,
                act=self.activation,
                norm=self.normalisation,
                momentum=self.momentum,
                dropout=self.block_dropout,
            )

        def stage(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
            first = block(in_channels, out_channels, stride)
            rest = [block(out_channels, out_channels, 1) for _ in range(blocks_per_stage - 1)]
            return nn.Sequential(first, *rest)

        module = blocks.named(
            conv1=nn.Conv2d(
                input_shape[0],
                self.width,
                self.kernel,
                self.stem_stride,
                self.kernel // 2,
                bias=self.normalisation == "none",
            ),
            bn1=blocks.normalisation(self.normalisation, self.width, 2, self.momentum),
            act=blocks.activation(self.activation),
            layer1=stage(self.width, channels[0], 1),
            layer2=stage(channels[0], channels[1], 2),
            layer3=stage(channels[1], channels[2], 2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dropout=nn.Dropout(self.dropout),
            linear=nn.Linear(channels[2], n_outputs),
        )
        blocks.initialise_(module)
        return module
