"""What layers can spare, as plain data: a cell for each technique, layer and level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from optim.quantity import Comparison, Quantity

__all__ = ["SAMPLES", "Cell", "Level", "Profile", "Row"]

SAMPLES = 1000
"""Samples that are looked at, unless asked otherwise: accuracy is known to about two points."""

Level = bool | int | float | str


@dataclass(frozen=True)
class Row:
    """Layers that one technique can only treat together.

    Attributes:
        technique: Its name in the index.
        layer: The layer that stands for them in a recipe.
        layers: All of them, in order of execution; the outputs of layers that are added up, say,
            lose the same channels.
    """

    technique: str
    layer: str
    layers: tuple[str, ...]

    @property
    def title(self) -> str:
        """The row for a reader.

        Example:
            >>> Row("prune_channels", "conv1", ("conv1", "conv3", "conv5")).title
            'conv1 + 2 coupled'
        """
        others = len(self.layers) - 1
        return f"{self.layer} + {others} coupled" if others else self.layer


@dataclass(frozen=True)
class Cell:
    """What one level of one technique on one row costs in quality, all other layers as they were.

    Attributes:
        technique: Name in the index.
        layer: The row's layer.
        level: The value of the field that the technique's layers override.
        quality: The figure that decides, see ``optim.measure.quality``.
        change: That of the original, paired; None where the figure compares by itself.
        harm: How far the outputs moved from the original's: divergence in nats of classes, else the
            share of the outputs' energy that the difference has. Smoother than a change of
            accuracy, and so what layers are compared by.
        macs: Multiply-accumulates of the model, for one sample.
        bytes: Its weights that are not zero, at their bits.
        time: Latency of its 8-bit file over that of the original's; None where that was not
            measured.
    """

    technique: str
    layer: str
    level: Level
    quality: Quantity
    change: Comparison | None
    harm: Quantity
    macs: int
    bytes: int
    time: Quantity | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **vars(self),
            "quality": self.quality.to_json(),
            "change": self.change.to_json() if self.change else None,
            "harm": self.harm.to_json(),
            "time": self.time.to_json() if self.time else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        change = Comparison.from_json(data["change"]) if data["change"] else None
        quality, harm = Quantity.from_json(data["quality"]), Quantity.from_json(data["harm"])
        time = Quantity.from_json(data["time"]) if data["time"] else None
        return cls(**{**data, "quality": quality, "change": change, "harm": harm, "time": time})


@dataclass(frozen=True)
class Profile:
    """The sensitivity of one model.

    Attributes:
        metric: Name of the figure that decides, a key of ``optim.measure.quality.METRICS``.
        original: That figure of the model as it is; None where it compares with the original.
        rows: What was looked at, in order of execution.
        cells: What was found, row by row.
        left_out: ``{technique: {layer: why it cannot be treated}}``.
        refused: ``{technique: why it cannot treat the model}``.
        n: Samples looked at so far.
        total: Samples asked for.
        part: Which samples: ``"validation"``, or ``"all"`` of data without parts.
        macs: Multiply-accumulates of the original, for one sample.
        bytes: Its weights that are not zero, at their bits.
        computed: Share of the work that was computed; the rest was known from the original.
        seconds: Time it took so far.
    """

    metric: str
    original: Quantity | None
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    left_out: Mapping[str, Mapping[str, str]]
    refused: Mapping[str, str]
    n: int
    total: int
    part: str
    macs: int
    bytes: int
    computed: float
    seconds: float

    @property
    def is_complete(self) -> bool:
        """Whether all samples were looked at."""
        return self.n >= self.total

    def cells_of(self, technique: str) -> list[Cell]:
        """Return the cells of a technique, row by row."""
        return [cell for cell in self.cells if cell.technique == technique]

    @property
    def structural(self) -> tuple[str, ...]:
        """The techniques that take work away, and may so take less time."""
        return tuple(dict.fromkeys(c.technique for c in self.cells if c.macs < self.macs))

    def is_timed(self, technique: str) -> bool:
        """Whether it is known how much time each cell of a technique takes."""
        cells = self.cells_of(technique)
        return bool(cells) and all(cell.time is not None for cell in cells)

    def rows_of(self, technique: str) -> list[Row]:
        """Return the rows of a technique."""
        return [row for row in self.rows if row.technique == technique]

    def harms(self, technique: str) -> dict[str, Quantity]:
        """Return the harm of the strongest level by layer; coupled layers share one."""
        strongest = {cell.layer: cell.harm for cell in self.cells_of(technique)}
        return {
            layer: strongest[row.layer]
            for row in self.rows_of(technique)
            if row.layer in strongest
            for layer in row.layers
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **vars(self),
            "original": self.original.to_json() if self.original else None,
            "rows": [{**vars(row), "layers": list(row.layers)} for row in self.rows],
            "cells": [cell.to_json() for cell in self.cells],
            "left_out": {name: dict(reasons) for name, reasons in self.left_out.items()},
            "refused": dict(self.refused),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        original = Quantity.from_json(data["original"]) if data["original"] else None
        rows = tuple(Row(r["technique"], r["layer"], tuple(r["layers"])) for r in data["rows"])
        cells = tuple(Cell.from_json(cell) for cell in data["cells"])
        return cls(**{**data, "original": original, "rows": rows, "cells": cells})
