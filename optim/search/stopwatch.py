"""How long files take on the computer that searches, measured beside the original's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optim.measure.latency import LatencyPair, compare_files
from optim.models.interface import Interface
from optim.quantity import Quantity

__all__ = ["Stopwatch"]

_ROUNDS = 15


class Stopwatch:
    """Times files in ONNX Runtime, one sample on one thread, in turns with the original's.

    A search lasts minutes in which a computer also does other things. So a file's time is its share
    of what the original takes in the very same moments, and the original's time is what it was at
    first.

    Args:
        original: ONNX file.
        inputs: ``(1, ...)`` float32, one sample as the network takes it.
        interface: How files are run; they have one input if None.
    """

    def __init__(
        self, original: bytes, inputs: np.ndarray, interface: Interface | None = None
    ) -> None:
        self._original = original
        self._inputs = inputs
        self._interface = interface
        self._ms: Quantity | None = None

    @property
    def original(self) -> Quantity:
        """How long the original takes, in milliseconds."""
        if self._ms is None:
            self._ms = self._pair(self._original, lambda: None).baseline
        return self._ms

    def __call__(self, file: bytes, check: Callable[[], None] = lambda: None) -> Quantity:
        """Return how long a file takes, in milliseconds.

        Args:
            file: ONNX file.
            check: Called between blocks; raises to stop.

        Raises:
            OptimError: If ONNX Runtime does not take the file.
        """
        share, ms = self._pair(file, check).change.difference, self.original.value
        return Quantity(ms * share.value, "ms", ms * share.low, ms * share.high, share.n, share.how)

    def _pair(self, file: bytes, check: Callable[[], None]) -> LatencyPair:
        return compare_files(
            self._original,
            file,
            self._inputs,
            1,
            interface=self._interface,
            rounds=_ROUNDS,
            check=check,
        )
