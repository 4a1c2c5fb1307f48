"""LeNet-300-100, the perceptron of the pruning literature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.models.architecture import Activation, Architecture, Dropout
from optim.models.input_spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LeNet300"]


class LeNet300(Architecture):
    """Two hidden layers, 300 and 100 neurons at ``width`` 1."""

    title: ClassVar[str] = "LeNet-300-100"
    about: ClassVar[str] = "Two hidden layers for MNIST; the classic of the pruning papers."
    paper: ClassVar[str] = (
        "LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998"
    )
    spec: ClassVar[InputSpec] = InputSpec((1, 28, 28), mean=(0.1307,), std=(0.3081,), scale=255.0)
    is_of_one_size: ClassVar[bool] = True

    width: Annotated[
        float,
        Range(
            low=0.1,
            high=4.0,
            step=0.1,
            unit="x",
            label="Width",
            help="Factor on the 300 and 100 neurons.",
        ),
    ] = 1.0
    activation: Activation = "relu"
    dropout: Dropout = 0.0

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Accept any shape."""

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose flatten, two hidden layers and classifier."""
        from math import prod

        from torch import nn

        from optim.models import blocks

        first, second = blocks.scaled(300, self.width), blocks.scaled(100, self.width)
        return blocks.named(
            flatten=nn.Flatten(),
            fc1=nn.Linear(prod(input_shape), first),
            act1=blocks.activation(self.activation),
            fc2=nn.Linear(first, second),
            act2=blocks.activation(self.activation),
            dropout=nn.Dropout(self.dropout),
            fc3=nn.Linear(second, n_outputs),
        )
