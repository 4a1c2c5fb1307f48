"""What calibration remembers of an activation: its exact ends and a fair sample of its values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from optim.errors import CalibrationError
from optim.layers.graph import trace
from optim.layers.quantized_graph import QuantizationPlan

__all__ = ["Observer", "Statistics", "collect_statistics"]

_SAMPLE, _DRAFT = 65_536, 16_384
"""Values remembered of an activation."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """Values of one tensor, or of each row of a weight.

    Attributes:
        values: ``(R, n)``; all values of a weight, a sample of an activation's.
        low: ``(R,)``; the exact minimum.
        high: ``(R,)``; the exact maximum.
    """

    values: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of_rows(cls, rows: Tensor) -> Statistics:
        """Return the statistics of the ``(R, n)`` rows of a weight; without numbers, -1 to 1."""
        if rows.is_meta:
            ends = torch.ones(len(rows))
            return cls(rows, -ends, ends)
        low, high = rows.aminmax(dim=1)
        return cls(rows, low, high)


class Observer(nn.Module):
    """Passes a tensor on, remembering its ends and every k-th value.

    Args:
        batches: How many tensors will come; each gives its share of the values remembered.
        check: Called for each tensor; raises to stop.
        draft: Whether fewer values are remembered.
    """

    def __init__(
        self, batches: int, check: Callable[[], None] = lambda: None, *, draft: bool = False
    ) -> None:
        super().__init__()
        self.check = check
        self.share = max(1, (_DRAFT if draft else _SAMPLE) // batches)
        self.low, self.high = float("inf"), float("-inf")
        self.samples: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Look at a tensor and return it."""
        self.check()
        low, high = x.aminmax()
        self.low, self.high = min(self.low, low.item()), max(self.high, high.item())
        flat = x.flatten()
        stride = max(1, flat.numel() // self.share)
        # An odd stride does not fall into step with the powers of two of most shapes.
        self.samples.append(flat[:: stride | 1][: self.share].clone())
        return x

    def statistics(self, edge: str) -> Statistics:
        """Return what was seen of an edge.

        Raises:
            CalibrationError: If it is not finite.
        """
        if not abs(self.low) + abs(self.high) < float("inf"):
            raise CalibrationError(
                f"The activation {edge!r} is not finite on the calibration data "
                f"(from {self.low} to {self.high}).",
                hint="Check the inputs for NaN and the normalisation of the data.",
            )
        return Statistics(
            torch.cat(self.samples)[None], torch.tensor([self.low]), torch.tensor([self.high])
        )


def collect_statistics(
    module: nn.Module,
    plan: QuantizationPlan,
    batches: Iterable[Tensor],
    check: Callable[[], None] = lambda: None,
    *,
    draft: bool = False,
) -> dict[str, Statistics]:
    """Run calibration batches through a module and return the statistics of each edge.

    Args:
        module: A traceable module with float weights.
        plan: The edges to observe.
        batches: ``(N, ...)`` normalised inputs.
        check: Called at every edge; raises to stop.
        draft: Whether a smaller sample of the values is enough.

    Raises:
        CalibrationError: If there is no batch or an activation is not finite.
    """
    batches = list(batches)
    if not batches:
        raise CalibrationError("Calibration needs at least one batch of samples.")
    observers = {edge: Observer(len(batches), check, draft=draft) for edge in plan.edges}
    traced = trace(module, behind=observers)
    with torch.inference_mode():
        for batch in batches:
            traced(batch)
    return {edge: observer.statistics(edge) for edge, observer in observers.items()}
