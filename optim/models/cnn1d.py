"""A one-dimensional CNN for sensor series."""

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

__all__ = ["CNN1D"]


class CNN1D(Architecture):
    """A wide first filter, then convolutions that halve the length, then a mean over time."""

    title: ClassVar[str] = "1-D CNN"
    about: ClassVar[str] = "Convolutions over time for vibration and other sensor series."
    paper: ClassVar[str] = (
        "Zhang et al., A New Deep Learning Model for Fault Diagnosis with Good Anti-Noise and "
        "Domain Adaptation Ability on Raw Vibration Signals (WDCNN), 2017, doi:10.3390/s17020425"
    )
    spec: ClassVar[InputSpec] = InputSpec((1, 1024))
    elastic: ClassVar[tuple[str, ...]] = ("kernel", "stem_kernel", "depth", "width")

    width: Annotated[
        int,
        Range(
            low=4,
            high=128,
            step=4,
            unit="channels",
            label="Width",
            help="Channels of the first layer; they double until four times as many.",
        ),
    ] = 16
    depth: Annotated[
        int,
        Range(
            low=1,
            high=6,
            step=1,
            unit="layers",
            label="Depth",
            help="Convolutions after the first; each halves the length.",
        ),
    ] = 4
    kernel: Annotated[
        Literal[3, 5, 7, 9],
        Choice(
            options={3: "3", 5: "5", 7: "7", 9: "9"},
            ordered=True,
            label="Kernel",
            help="Length of the filters after the first.",
        ),
    ] = 3
    stem_kernel: Annotated[
        Literal[16, 32, 64, 128],
        Choice(
            options={16: "16", 32: "32", 64: "64", 128: "128"},
            ordered=True,
            label="First kernel",
            help="Length of the first filter; long ones average noise.",
        ),
    ] = 64
    activation: Activation = "relu"
    normalisation: Normalisation = "batch"
    momentum: Momentum = 0.1
    block_dropout: BlockDropout = 0.0
    dropout: Dropout = 0.0

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose stem, convolutions with pooling, mean and classifier."""
        from torch import nn

        from optim.models import blocks

        bias = self.normalisation == "none"
        channels = self.width
        layers: dict[str, nn.Module] = {
            "stem": nn.Conv1d(
                input_shape[0], channels, self.stem_kernel, 8, self.stem_kernel // 2 - 4, bias=bias
            ),
            "stem_norm": blocks.normalisation(self.normalisation, channels, 1, self.momentum),
            "stem_act": blocks.activation(self.activation),
        }
        for i in range(1, self.depth + 1):
            out = min(2 * channels, 4 * self.width)
            layers[f"conv{i}"] = nn.Conv1d(
                channels, out, self.kernel, 2, self.kernel // 2, bias=bias
            )
            layers[f"norm{i}"] = blocks.normalisation(self.normalisation, out, 1, self.momentum)
            layers[f"act{i}"] = blocks.dropping(
                blocks.activation(self.activation), self.block_dropout
            )
            channels = out
        layers["pool"] = nn.AdaptiveAvgPool1d(1)
        layers["flatten"] = nn.Flatten()
        layers["dropout"] = nn.Dropout(self.dropout)
        layers["classifier"] = nn.Linear(channels, n_outputs)
        module = blocks.named(**layers)
        blocks.initialise_(module)
        return module
