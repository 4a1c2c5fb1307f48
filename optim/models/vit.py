"""A small vision transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.errors import UnsupportedModelError
from optim.fields import Choice, Range
from optim.models.architecture import Activation, Architecture, Dropout
from optim.models.input_spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ViT"]


class ViT(Architecture):
    """Patches, a few pre-norm transformer blocks, mean over the patches, classifier."""

    title: ClassVar[str] = "ViT (tiny)"
    about: ClassVar[str] = "Vision transformer for small images."
    paper: ClassVar[str] = (
        "Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, arXiv:2010.11929"
    )
    spec: ClassVar[InputSpec] = InputSpec((3, 32, 32), mean=(0.5,), std=(0.25,), scale=255.0)
    is_of_one_size: ClassVar[bool] = True
    elastic: ClassVar[tuple[str, ...]] = ("depth", "expansion", "width")

    patch: Annotated[
        Literal[2, 4, 8],
        Choice(
            options={2: "2", 4: "4", 8: "8"},
            ordered=True,
            unit="pixels",
            label="Patch",
            help="Side of a patch. Halving it makes four times as many tokens.",
        ),
    ] = 4
    width: Annotated[
        int,
        Range(
            low=16, high=256, step=16, unit="features", label="Width", help="Features of a token."
        ),
    ] = 64
    depth: Annotated[
        int,
        Range(
            low=1,
            high=12,
            step=1,
            unit="blocks",
            label="Depth",
            help="Number of transformer blocks.",
        ),
    ] = 4
    heads: Annotated[
        Literal[1, 2, 4, 8],
        Choice(
            options={1: "1", 2: "2", 4: "4", 8: "8"},
            ordered=True,
            label="Heads",
            help="Attention heads; they share the width.",
        ),
    ] = 4
    expansion: Annotated[
        int,
        Range(
            low=1,
            high=8,
            step=1,
            unit="x",
            label="Expansion",
            help="How many times wider the perceptron is inside.",
        ),
    ] = 2
    activation: Activation = "gelu"
    dropout: Dropout = 0.0

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Refuse images that patches do not tile."""
        super().check(input_shape)
        if input_shape[1] != input_shape[2] or input_shape[1] % self.patch:
            raise UnsupportedModelError(
                f"{self.title} with patch={self.patch} needs square images whose side is a "
                f"multiple of {self.patch}: got {input_shape[1]}x{input_shape[2]}.",
                hint="Choose another patch size or another architecture.",
            )

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose patch embedding, blocks, norm, mean and classifier."""
        from torch import nn

        from optim.models import blocks

        layers = [
            blocks.TransformerBlock(
                self.width, self.heads, self.expansion, self.activation, self.dropout
            )
            for _ in range(self.depth)
        ]
        return blocks.named(
            embed=blocks.PatchEmbedding(input_shape[0], input_shape[1], self.patch, self.width),
            blocks=nn.Sequential(*layers),
            norm=nn.LayerNorm(self.width),
            mean=blocks.TokenMean(),
            head=nn.Linear(self.width, n_outputs),
        )
