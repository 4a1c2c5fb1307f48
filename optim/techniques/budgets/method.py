"""What every budget method is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optim.fields import MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.table import QuantizedWeight
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["BudgetMethod", "Offer", "Spread"]


@dataclass(frozen=True, eq=False)
class Offer:
    """What bits are spread over.

    Attributes:
        bundle: The model in floating point.
        weights: ``{layer: folded weight}`` of the layers that are free.
        bits: Of each of them if all had the same; what these cost is the budget.
        quantized: Puts a weight on the grid of so many bits.
        key: Identity of that function.
    """

    bundle: ModelBundle
    weights: Mapping[str, Tensor]
    bits: int
    quantized: Callable[[Tensor, int], QuantizedWeight]
    key: str


@dataclass(frozen=True)
class Spread:
    """Bits of single layers.

    Attributes:
        bits: ``{layer: bits}``; the common bits where a layer is missing.
        reasons: ``{layer: why}``.
        note: One sentence for the report, or empty.
    """

    bits: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


class BudgetMethod(MethodConfig):
    """Base of the budget methods."""

    @property
    def passes(self) -> int:
        """Samples that are run forward for the method, or about as much work; for drafts."""
        return 0

    def spread(self, offer: Offer, context: Context) -> Spread:
        """Return the bits of single layers, which together cost no more than the common ones."""
        raise NotImplementedError
