"""Networks of one small cell, repeated: the cell itself is what a search decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from optim.errors import UnsupportedModelError
from optim.fields import Choice, Range
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

__all__ = ["Cells"]

_Operation = Literal["none", "skip", "conv1x1", "conv3x3", "average"]
_OPERATIONS: dict[Any, str] = {
    "none": "none",
    "skip": "skip",
    "conv1x1": "1x1",
    "conv3x3": "3x3",
    "average": "mean 3x3",
}
_USED = tuple(operation for operation in _OPERATIONS if operation != "none")


def _edge(source: int, target: int, **when: tuple[Any, ...]) -> Choice:
    ends = {0: "the input", 3: "the output"}
    start, end = ends.get(source, f"place {source}"), ends.get(target, f"place {target}")
    return Choice(
        options=_OPERATIONS,
        label=f"{source}→{target}",
        help=f"What is done between {start} and {end} of every cell. "
        "Whatever reaches a place is added up.",
        when=when,
    )


class Cells(Architecture):
    """Three stages of equal cells with six edges each, the space of NAS-Bench-201.

    At its defaults a cell is a residual block. As in the paper, activation comes before
    convolution and norm behind it. Unlike there, stages are joined by blocks whose shortcuts have
    no parameters, no norm stands behind the last sum, and means count zeros beyond the border: so
    every norm folds into a layer, and every runtime takes the rest.
    """

    title: ClassVar[str] = "Cells (NAS-Bench-201)"
    about: ClassVar[str] = "One small cell of chosen operations, repeated in three stages."
    paper: ClassVar[str] = (
        "Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture "
        "Search, 2020, arXiv:2001.00326"
    )
    spec: ClassVar[InputSpec] = InputSpec((3, 32, 32), mean=(0.5,), std=(0.25,), scale=255.0)
    elastic: ClassVar[tuple[str, ...]] = (
        "edge_01",
        "edge_02",
        "edge_12",
        "edge_03",
        "edge_13",
        "edge_23",
        "depth",
        "width",
    )

    depth: Annotated[
        int,
        Range(
            low=1,
            high=5,
            step=1,
            unit="cells",
            label="Depth",
            help="Cells of each of the three stages; 5 in the paper.",
        ),
    ] = 2
    width: StageWidth = 16
    edge_01: Annotated[_Operation, _edge(0, 1)] = "conv3x3"
    edge_02: Annotated[_Operation, _edge(0, 2)] = "none"
    edge_12: Annotated[_Operation, _edge(1, 2, edge_01=_USED)] = "conv3x3"
    edge_03: Annotated[_Operation, _edge(0, 3)] = "skip"
    edge_13: Annotated[_Operation, _edge(1, 3, edge_01=_USED)] = "none"
    edge_23: Annotated[_Operation, _edge(2, 3)] = "skip"
    activation: Activation = "relu"
    normalisation: Normalisation = "batch"
    momentum: Momentum = 0.1
    block_dropout: BlockDropout = 0.0
    dropout: Dropout = 0.0

    @property
    def edges(self) -> dict[tuple[int, int], str]:
        """``{(from, to): operation}`` of the edges that lie on a way from input to output."""
        pairs = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
        named = {(a, b): str(getattr(self, f"edge_{a}{b}")) for a, b in pairs}
        there = {pair: operation for pair, operation in named.items() if operation != "none"}
        reached, leads = {0}, {3}
        for source, target in there:
            reached |= {target} if source in reached else set()
        for source, target in reversed(there):
            leads |= {source} if target in leads else set()
        return {(a, b): what for (a, b), what in there.items() if a in reached and b in leads}

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Refuse cells that let nothing through."""
        super().check(input_shape)
        if not self.edges:
            raise UnsupportedModelError(
                f"{self.title}: no edge leads from place 0 to place 3 of the cell.",
                hint="Give edge_03 an operation, or edge_02 and edge_23.",
            )

    def compose(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Compose stem, three stages of cells, pooling and classifier."""
        from torch import nn

        from optim.models import blocks

        style: dict[str, Any] = {
            "act": self.activation,
            "norm": self.normalisation,
            "momentum": self.momentum,
            "dropout": self.block_dropout,
        }
        bias = self.normalisation == "none"
        layers: dict[str, nn.Module] = {
            "stem": nn.Conv2d(input_shape[0], self.width, 3, 1, 1, bias=bias),
            "stem_norm": blocks.normalisation(self.normalisation, self.width, 2, self.momentum),
        }
        channels = self.width
        for stage in (1, 2, 3):
            if stage > 1:
                layers[f"reduce{stage - 1}"] = blocks.BasicBlock(
                    channels, 2 * channels, 2, kernel=3, **style
                )
                channels *= 2
            cells = [blocks.Cell(channels, self.edges, **style) for _ in range(self.depth)]
            layers[f"stage{stage}"] = nn.Sequential(*cells)
        layers["act"] = blocks.activation(self.activation)
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["dropout"] = nn.Dropout(self.dropout)
        layers["classifier"] = nn.Linear(channels, n_outputs)
        module = blocks.named(**layers)
        blocks.initialise_(module)
        return module
