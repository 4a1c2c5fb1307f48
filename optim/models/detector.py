"""A small single-shot detector: convolutions that answer for every place of the image at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.data.task import Detection
from optim.errors import UnsupportedModelError
from optim.fields import Range
from optim.models.architecture import Activation, Architecture, Momentum, Normalisation
from optim.models.input_spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Detector"]

_STRIDE = 8
_RARE = -4.6
"""Logit at the start: objects are rare, one place in a hundred has one."""


class Detector(Architecture):
    """Anchor-free detector of one scale: each place of 8x8 pixels names a class and a box.

    **Differs from the paper**: a box is told by its middle and its size, not by the distances to
    its sides, so that one narrower than a place can be told; there is no separate centre-ness.
    Boxes are decoded and overlapping ones suppressed outside the network, see
    :mod:`optim.data.boxes`.
    """

    title: ClassVar[str] = "Single-shot detector"
    about: ClassVar[str] = "Convolutions that find objects and their boxes in one pass."
    paper: ClassVar[str] = (
        "Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, 2019, arXiv:1904.01355"
    )
    kind: ClassVar[str] = Detection.kind
    spec: ClassVar[InputSpec] = InputSpec((3, 64, 64), (0.5,), (0.25,), 255.0)

    width: Annotated[
        int,
        Range(
            low=8,
            high=64,
            step=8,
            unit="channels",
            label="Width",
            help="Channels of the first layer; later ones have two and three times as many.",
        ),
    ] = 24
    depth: Annotated[
        int,
        Range(
            low=1,
            high=4,
            step=1,
            unit="layers",
            label="Depth",
            help="Layers on the raster of places, before the head.",
        ),
    ] = 2
    activation: Activation = "relu"
    normalisation: Normalisation = "batch"
    momentum: Momentum = 0.1

    def task(self, input_shape: tuple[int, ...], class_names: tuple[str, ...]) -> Detection:
        """Return the task: classes and boxes on places of eight pixels."""
        return Detection(class_names, (input_shape[1], input_shape[2]), _STRIDE)

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Refuse images that places of eight pixels do not cover."""
        super().check(input_shape)
        if any(side % _STRIDE for side in input_shape[1:]):
            raise UnsupportedModelError(
                f"{self.title} takes images whose sides are multiples of {_STRIDE}: got "
                f"{input_shape}.",
                hint="Scale the images.",
            )

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose three halvings, layers on the raster of places, and the head."""
        import torch
        from torch import nn

        from optim.models import blocks

        bias = self.normalisation == "none"
        layers: dict[str, nn.Module] = {}
        channels = input_shape[0]
        halving = (1, 2, 4)
        widths = [self.width, 2 * self.width, 2 * self.width, *[3 * self.width] * (self.depth + 1)]
        for i, width in enumerate(widths, start=1):
            stride = 2 if i in halving else 1
            layers[f"conv{i}"] = nn.Conv2d(channels, width, 3, stride, 1, bias=bias)
            layers[f"norm{i}"] = blocks.normalisation(self.normalisation, width, 2, self.momentum)
            layers[f"act{i}"] = blocks.activation(self.activation)
            channels = width
        head = nn.Conv2d(channels, n_outputs, 1)
        module = blocks.named(**layers, head=head, flatten=nn.Flatten())
        blocks.initialise_(module)
        nn.init.normal_(head.weight, std=0.01)
        start = torch.zeros(n_outputs)
        start[:-4] = _RARE
        head.bias = nn.Parameter(start)
        return module
