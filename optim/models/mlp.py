"""Multi-layer perceptron of equal hidden layers, for tables and small images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
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

__all__ = ["MLP"]


class MLP(Architecture):
    """Fully connected layers of one width; flattens inputs of any shape."""

    title: ClassVar[str] = "MLP"
    about: ClassVar[str] = "Fully connected network for tables and very small images."
    spec: ClassVar[InputSpec] = InputSpec((30,))
    is_of_one_size: ClassVar[bool] = True
    elastic: ClassVar[tuple[str, ...]] = ("depth", "width")

    depth: Annotated[
        int,
        Range(low=1, high=8, step=1, unit="layers", label="Depth", help="Number of hidden layers."),
    ] = 2
    width: Annotated[
        int,
        Range(
            low=4,
            high=1024,
            step=4,
            unit="neurons",
            label="Width",
            help="Neurons of each hidden layer.",
        ),
    ] = 64
    activation: Activation = "relu"
    normalisation: Normalisation = "none"
    momentum: Momentum = 0.1
    block_dropout: BlockDropout = 0.0
    dropout: Dropout = 0.0

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Accept any shape."""

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose flatten, hidden layers and classifier."""
        from math import prod

        from torch import nn

        from optim.models import blocks

        layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
        features = prod(input_shape)
        for i in range(1, self.depth + 1):
            layers[f"fc{i}"] = nn.Linear(features, self.width)
            layers[f"norm{i}"] = blocks.normalisation(
                self.normalisation, self.width, 0, self.momentum
            )
            layers[f"act{i}"] = blocks.dropping(
                blocks.activation(self.activation), self.block_dropout
            )
            features = self.width
        layers["dropout"] = nn.Dropout(self.dropout)
        layers["head"] = nn.Linear(features, n_outputs)
        return blocks.named(**layers)
