"""Everything that is known about one model, each figure with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from optim.measure.quality import METRICS
from optim.quantity import Comparison, Quantity

__all__ = ["Scorecard", "ratio"]


@dataclass(frozen=True)
class Scorecard:
    """Quality, size and cost of one model.

    Attributes:
        quality: ``{metric: Quantity}``, see ``optim.measure.quality``.
        primary: The metric that decides; it has no figure where it cannot be measured.
        params: Parameters of the deployed model.
        macs: Multiply-accumulates for one sample.
        sparsity: Share of zero weights.
        sizes: ``{encoding: bytes}``, see ``optim.measure.size``.
        file: Bytes of the exported ONNX file; ``None`` until it was written.
        latency: Time of one inference; ``None`` until it was measured or estimated.
        conditions: What latency holds for: runtime, batch size, threads, machine.
    """

    quality: Mapping[str, Quantity]
    primary: str
    params: Quantity
    macs: Quantity
    sparsity: Quantity
    sizes: Mapping[str, Quantity] = field(default_factory=dict)
    file: Quantity | None = None
    latency: Quantity | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> Quantity | None:
        """The primary figure; None where it cannot be measured."""
        return self.quality.get(self.primary)

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys."""
        return {
            "accuracy": None,
            **{name: value.to_json() for name, value in self.quality.items()},
            "primary": self.primary,
            "params": self.params.to_json(),
            "macs": self.macs.to_json(),
            "sparsity": self.sparsity.to_json(),
            "sizes": {name: value.to_json() for name, value in self.sizes.items()},
            "file": self.file.to_json() if self.file else None,
            "latency": self.latency.to_json() if self.latency else None,
            "conditions": dict(self.conditions),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""

        def optional(value: dict[str, Any] | None) -> Quantity | None:
            return Quantity.from_json(value) if value else None

        return cls(
            quality={name: Quantity.from_json(data[name]) for name in METRICS if data.get(name)},
            primary=data["primary"],
            params=Quantity.from_json(data["params"]),
            macs=Quantity.from_json(data["macs"]),
            sparsity=Quantity.from_json(data["sparsity"]),
            sizes={name: Quantity.from_json(v) for name, v in data["sizes"].items()},
            file=optional(data["file"]),
            latency=optional(data["latency"]),
            conditions=data["conditions"],
        )


def ratio(baseline: Quantity, candidate: Quantity) -> Comparison:
    """Compare two exact counts: candidate over baseline, lower is better."""
    share = candidate.value / baseline.value if baseline.value else 1.0
    return Comparison(Quantity.exact(share, "x", candidate.how), better="lower")
