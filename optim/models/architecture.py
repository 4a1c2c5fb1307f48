"""What every architecture of the zoo is: annotated fields, and a module built from them.

The fields say what a slider or a search may vary (depth, width, kernel, ...). What the data
dictate, the shape of one input and the number of outputs, are arguments of :meth:`build`.

Modules are compositions of plain ``torch.nn`` layers and the few blocks of
:mod:`optim.models.blocks`, so that every technique sees ordinary layers, the graph can be traced,
and the parameter names are those of published checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.data.task import Classification, Detection
from optim.errors import UnsupportedModelError
from optim.fields import Choice, Config, Range
from optim.models.input_spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Activation",
    "Architecture",
    "BlockDropout",
    "Dropout",
    "Momentum",
    "Normalisation",
    "StageWidth",
]

Activation = Annotated[
    Literal["relu", "relu6", "gelu", "silu", "hardswish", "mish"],
    Choice(
        options={
            "relu": "ReLU",
            "relu6": "ReLU6",
            "gelu": "GELU",
            "silu": "SiLU",
            "hardswish": "Hardswish",
            "mish": "Mish",
        },
        label="Activation",
        help="Non-linearity between layers. ReLU is the one every runtime fuses.",
    ),
]

Normalisation = Annotated[
    Literal["batch", "group", "layer", "none"],
    Choice(
        options={
            "batch": "Batch norm",
            "group": "Group norm",
            "layer": "Layer norm",
            "none": "None",
        },
        label="Normalisation",
        help="Batch norm folds into the layer before it and costs nothing when deployed.",
    ),
]

Momentum = Annotated[
    float,
    Range(
        low=0.01,
        high=0.5,
        step=0.01,
        label="Batch norm momentum",
        help="Weight of the newest batch in the running statistics; small ones forget slowly.",
        when={"normalisation": ("batch",)},
        expert=True,
    ),
]

BlockDropout = Annotated[
    float,
    Range(
        low=0.0,
        high=0.8,
        step=0.05,
        scale="percent",
        label="Dropout in blocks",
        help="Share of activations set to zero while training, inside every block.",
        expert=True,
    ),
]

Dropout = Annotated[
    float,
    Range(
        low=0.0,
        high=0.8,
        step=0.05,
        scale="percent",
        label="Dropout",
        help="Share of activations set to zero while training, before the classifier.",
    ),
]

StageWidth = Annotated[
    int,
    Range(
        low=4,
        high=64,
        step=4,
        unit="channels",
        label="Width",
        help="Channels of the first stage; each further stage doubles them.",
    ),
]


class Architecture(Config):
    """Base of the zoo's architectures."""

    title: ClassVar[str]
    about: ClassVar[str]
    """One sentence for the picker."""
    paper: ClassVar[str] = ""
    kind: ClassVar[str] = Classification.kind
    """What models of it are for, the kind of :meth:`task`."""
    spec: ClassVar[InputSpec]
    """The input of the reference configuration."""
    is_of_one_size: ClassVar[bool] = False
    """Whether a module takes images of the size it was built for, and no other."""
    elastic: ClassVar[tuple[str, ...]] = ()
    """Fields of networks that can share weights, in the order in which sharing is learned."""

    def build(self, input_shape: tuple[int, ...], n_outputs: int, seed: int = 0) -> nn.Module:
        """Return a freshly initialised module.

        Args:
            input_shape: Shape of one sample: ``(C, H, W)``, ``(C, L)`` or ``(F,)``.
            n_outputs: Number of outputs that its task has.
            seed: Decides the initial weights; torch's global generator is left as it was.

        Raises:
            UnsupportedModelError: If the architecture cannot take inputs of that shape.
        """
        import torch

        self.check(input_shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.compose(input_shape, n_outputs)

    def task(
        self, input_shape: tuple[int, ...], class_names: tuple[str, ...]
    ) -> Classification | Detection:
        """Return what a model of this architecture predicts, for inputs of a shape."""
        return Classification(class_names)

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Refuse input shapes the architecture has no place for."""
        wanted = len(self.spec.shape)
        if len(input_shape) != wanted:
            form = {1: "(features,)", 2: "(channels, length)", 3: "(channels, height, width)"}
            raise UnsupportedModelError(
                f"{self.title} takes inputs of shape {form[wanted]}: got {input_shape}.",
                hint="Choose another architecture or another data set.",
            )

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose the module; called with the seed already set."""
        raise NotImplementedError
