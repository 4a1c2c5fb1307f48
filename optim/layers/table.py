"""The compression table: what compression knows about a model beside its plain weights.

Weights stay ordinary float parameters, so that pruning, copying, training and export never meet
wrapper modules. What a parameter or an edge of the graph has to obey stands here instead:

* a *mask* (which weights must stay zero), keyed by layer name;
* a *quantized weight* (grid, scales, and the codes where they are more than rounding), keyed by
  layer name and valid for the batch-norm-folded weight;
* a *shared weight* (a few values, and which of them each weight takes), keyed by layer name and
  valid for the folded weight as well;
* a *quantized edge* (grid, scale, zero point of an activation), keyed by the node that makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from optim.layers.grid import Grid, dequantize, from_rows, quantize, to_rows

__all__ = ["CompressionTable", "QuantizedEdge", "QuantizedWeight", "SharedWeight"]


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """How one weight is put on a grid.

    Attributes:
        grid: The legal integers and how scales are shared.
        scale: ``(R,)``, one a row.
        zero_point: ``(R,)`` int32.
        codes: ``(R, n)`` int8 or int16 integers where a method chose them by more than rounding,
            else None.
    """

    grid: Grid
    scale: Tensor
    zero_point: Tensor
    codes: Tensor | None = None

    def integers(self, weight: Tensor) -> Tensor:
        """Return the ``(R, n)`` integers that stand for a weight, as float32."""
        if self.codes is not None:
            return self.codes.float()
        if weight.is_meta:  # only its size is known
            return to_rows(weight, self.grid)
        return quantize(to_rows(weight, self.grid), self.grid, self.scale, self.zero_point)

    def holding(self, weight: Tensor) -> Self:
        """Return the same grid with the integers that stand for a weight which lies on it."""
        rows = to_rows(weight, self.grid)
        codes = quantize(rows, self.grid, self.scale, self.zero_point)
        narrow = torch.int8 if self.grid.bits <= 8 else torch.int16
        return replace(self, codes=codes.to(narrow))

    def apply(self, weight: Tensor) -> Tensor:
        """Return the weight as it is once stored on the grid and read back."""
        rows = dequantize(self.integers(weight), self.scale, self.zero_point)
        return from_rows(rows, weight.shape, self.grid)


@dataclass(frozen=True, eq=False)
class SharedWeight:
    """The few values of one weight.

    Attributes:
        book: ``(K,)`` float32: 0.0, the values above it in order, then those below it in order.
        ranks: Which value each weight takes, in the weight's shape; int8 or int16. 0 is zero, 1 the
            first above it, -1 the first below it: an index of ``book`` from its front or its end.
        bias: The same of the layer's bias, if that is shared too.
    """

    book: Tensor
    ranks: Tensor
    bias: SharedWeight | None = None

    @property
    def bits(self) -> int:
        """Bits of an index that has no sign."""
        return max(1, (len(self.book) - 1).bit_length())

    def values(self) -> Tensor:
        """Return the weight as it is read back."""
        return self.book[self.ranks.long()]


@dataclass(frozen=True)
class QuantizedEdge:
    """How one activation is put on a grid.

    Attributes:
        grid: The legal integers; one scale for the whole tensor.
        scale: Step between two neighbouring values.
        zero_point: Integer that stands for 0.0.
    """

    grid: Grid
    scale: float
    zero_point: int

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and largest value on the grid."""
        low = (self.grid.qmin - self.zero_point) * self.scale
        return low, (self.grid.qmax - self.zero_point) * self.scale


@dataclass(frozen=True, eq=False)
class CompressionTable:
    """Masks, quantized and shared weights, and quantized edges of one model."""

    masks: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, QuantizedWeight] = field(default_factory=dict)
    edges: Mapping[str, QuantizedEdge] = field(default_factory=dict)
    codebooks: Mapping[str, SharedWeight] = field(default_factory=dict)

    def with_masks(self, masks: Mapping[str, Tensor]) -> Self:
        """Return a table where these masks are added; a layer masked twice keeps both."""
        joined = {
            name: mask & self.masks[name] if name in self.masks else mask
            for name, mask in masks.items()
        }
        return replace(self, masks={**self.masks, **joined})

    def with_quantization(
        self, weights: Mapping[str, QuantizedWeight], edges: Mapping[str, QuantizedEdge]
    ) -> Self:
        """Return a table with this quantization instead of the present one."""
        return replace(self, weights=dict(weights), edges=dict(edges))

    def with_codebooks(self, codebooks: Mapping[str, SharedWeight]) -> Self:
        """Return a table with these shared weights instead of the present ones."""
        return replace(self, codebooks=dict(codebooks))

    @property
    def is_quantized(self) -> bool:
        """Whether any weight or edge is on a grid, or any weight has shared values."""
        return bool(self.weights or self.edges or self.codebooks)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor under a unique name, for hashing and saving."""
        found: dict[str, Tensor] = {f"mask:{name}": mask for name, mask in self.masks.items()}
        for name, entry in self.weights.items():
            found[f"scale:{name}"] = entry.scale
            found[f"zero_point:{name}"] = entry.zero_point
            if entry.codes is not None:
                found[f"codes:{name}"] = entry.codes
        for name, shared in self.codebooks.items():
            found |= {f"book:{name}": shared.book, f"ranks:{name}": shared.ranks}
            if shared.bias is not None:
                found[f"bias_book:{name}"] = shared.bias.book
                found[f"bias_ranks:{name}"] = shared.bias.ranks
        return found
