"""LeNet-5 in the variant of Caffe (20-50-500), the convnet of the pruning literature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.errors import UnsupportedModelError
from optim.fields import Choice, Range
from optim.models.architecture import Activation, Architecture, Dropout
from optim.models.input_spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LeNet5"]


class LeNet5(Architecture):
    """Two convolutions of 20 and 50 filters, 500 hidden neurons at ``width`` 1."""

    title: ClassVar[str] = "LeNet-5 (Caffe)"
    about: ClassVar[str] = "Two convolutions and two dense layers for MNIST."
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
            help="Factor on the 20 and 50 filters and the 500 neurons.",
        ),
    ] = 1.0
    kernel: Annotated[
        Literal[3, 5],
        Choice(options={3: "3x3", 5: "5x5"}, label="Kernel", help="Size of the filters."),
    ] = 5
    activation: Activation = "relu"
    dropout: Dropout = 0.0

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Refuse images that two convolutions and two halvings leave nothing of."""
        super().check(input_shape)
        if min(self._sides(input_shape)) < 1:
            smallest = 4 + 3 * (self.kernel - 1)
            raise UnsupportedModelError(
                f"{self.title} with kernel={self.kernel} needs images of at least "
                f"{smallest}x{smallest} pixels: got {input_shape[1]}x{input_shape[2]}.",
                hint="Use a smaller kernel, or an MLP for very small images.",
            )

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose two convolutions with pooling, a hidden layer and the classifier."""
        from torch import nn

        from optim.models import blocks

        first, second = blocks.scaled(20, self.width), blocks.scaled(50, self.width)
        hidden = blocks.scaled(500, self.width)
        height, width = self._sides(input_shape)
        return blocks.named(
            conv1=nn.Conv2d(input_shape[0], first, self.kernel),
            act1=blocks.activation(self.activation),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(first, second, self.kernel),
            act2=blocks.activation(self.activation),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(second * height * width, hidden),
            act3=blocks.activation(self.activation),
            dropout=nn.Dropout(self.dropout),
            fc2=nn.Linear(hidden, n_outputs),
        )

    def _sides(self, input_shape: tuple[int, ...]) -> tuple[int, int]:
        lost = self.kernel - 1
        height, width = (((side - lost) // 2 - lost) // 2 for side in input_shape[1:])
        return height, width
