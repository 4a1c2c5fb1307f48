"""Measured energy: what the meters of processors and GPUs say (RAPL, NVML), read by zeus.

Meters count for a whole processor or GPU, with everything else that runs on it. Where there is no
meter, or zeus is not installed (``pip install optim-studio[energy]``), energy is not measured;
:mod:`optim.devices.energy` estimates that of an inference.

Reference:
    You et al., Zeus: Understanding and Optimizing GPU Energy Consumption, NSDI 2023.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any, Self

from optim.quantity import Quantity

__all__ = ["EnergyMeter"]

_LOG = logging.getLogger(__name__)
_WINDOW = "optim"


class EnergyMeter:
    """A running meter; :meth:`start` begins, :meth:`stop` ends and reads it."""

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor

    @classmethod
    def start(cls) -> Self | None:
        """Begin to count; None where zeus is not installed or its meters cannot be used."""
        if find_spec("zeus") is None:
            return None
        try:
            from zeus.monitor import ZeusMonitor

            monitor = ZeusMonitor()
            monitor.begin_window(_WINDOW, sync_execution=False)
        except Exception:
            # Drivers and permissions fail in many ways; none of them may stop what is measured.
            _LOG.warning("energy is not measured", exc_info=True)
            return None
        return cls(monitor)

    def stop(self) -> Quantity | None:
        """Return joules since the start; None where no meter has counted."""
        try:
            found = self._monitor.end_window(_WINDOW, sync_execution=False)
        except Exception:
            _LOG.warning("energy is not measured", exc_info=True)
            return None
        parts = (found.gpu_energy, found.cpu_energy, found.dram_energy)
        counted = [float(joules) for part in parts if part for joules in part.values()]
        total = sum(counted)
        return Quantity.exact(total, "j") if total > 0 else None
