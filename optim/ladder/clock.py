"""What splits the time of operators on a device: the laws of a probed one, or a roofline."""

from __future__ import annotations

from typing import Protocol

from optim.devices.operators import Operator
from optim.devices.parts import Parts
from optim.ladder.footprint import Footprint

__all__ = ["Clock", "split"]


class Clock(Protocol):
    """Splits the time of operators on one device."""

    @property
    def overhead_ms(self) -> float:
        """Time of an empty inference."""
        ...

    def split(self, operator: Operator) -> Parts:
        """Return the parts of an operator's time."""
        ...


def split(footprint: Footprint, clock: Clock) -> Parts:
    """Return what an inference is spent on."""
    total = Parts(overhead=clock.overhead_ms)
    for operator in footprint.operators:
        total += clock.split(operator)
    return total
