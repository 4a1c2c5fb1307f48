"""Predicted against measured on this machine: what was kept of the last comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from optim.devices.calibration import Calibration
from optim.devices.own import read_check
from optim.quantity import Quantity

__all__ = ["Checked", "checks_here"]


@dataclass(frozen=True)
class Checked:
    """One network on this machine.

    Attributes:
        name: What it is.
        predicted: From its operators and the probe, in ms.
        measured: In ONNX Runtime, in ms.
    """

    name: str
    predicted: Quantity
    measured: Quantity

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted.value / self.measured.value - 1.0

    @property
    def is_inside(self) -> bool:
        """Whether what was measured lies in the interval."""
        return self.predicted.low <= self.measured.value <= self.predicted.high

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "name": self.name,
            "predicted": self.predicted.to_json(),
            "measured": self.measured.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            data["name"],
            Quantity.from_json(data["predicted"]),
            Quantity.from_json(data["measured"]),
        )


def checks_here(calibration: Calibration) -> list[Checked]:
    """Return what was kept for this probe of this machine; nothing if it was not checked."""
    content = read_check()
    if content.get("probe") != calibration.probe.id:
        return []
    return [Checked.from_json(row) for row in content["rows"]]
