"""How long files take on the computer that searches, measured beside the original's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optim.measure.latency import LatencyPair, compare_files
from optim.models.interface import Interface
from optim.quantity import Quantity

__all__ = ["Stopwatch"]

_ROUNDS = 15
_FIRST_ROUNDS = 7
"""Nothing is known of the model yet, which may be slow."""
_LEAST_ROUNDS, _MS = 5, 400.0
"""A file gets so many rounds at least, and more as long as the original's take no longer."""

Check = Callable[[], None]


class Stopwatch:
    """Times files in ONNX Runtime, one sample on one thread, in turns with the original's.

    A search lasts minutes in which a computer also does other things. So a file's time is its share
    of what the original takes in the very same moments, and the original's time is what it was at
    first.

    Args:
        original: ONNX file.
        inputs: ``(1, ...)`` float32, one sample as the network takes it.
        interface: How files are run; they have one input if None.

    Attributes:
        known: How long the original takes, in milliseconds; None until it is asked for. Who goes on
            with a search puts there what it was when that began.
    """

    def __init__(
        self, original: bytes, inputs: np.ndarray, interface: Interface | None = None
    ) -> None:
        self._original = original
        self._inputs = inputs
        self._interface = interface
        self.known: Quantity | None = None

    def original(self, check: Check = lambda: None) -> Quantity:
        """Return how long the original takes, in milliseconds."""
        if self.known is None:
            self.known = self._pair(self._original, _FIRST_ROUNDS, check).baseline
        return self.known

    def __call__(self, file: bytes, check: Check = lambda: None) -> Quantity:
        """Return how long a file takes, in milliseconds.

        Args:
            file: ONNX file.
            check: Called between blocks; raises to stop.

        Raises:
            OptimError: If ONNX Runtime does not take the file.
        """
        ms = self.original(check).value
        rounds = round(min(_ROUNDS, max(_LEAST_ROUNDS, _MS / ms)))
        share = self._pair(file, rounds, check).change.difference
        return Quantity(ms * share.value, "ms", ms * share.low, ms * share.high, share.n, share.how)

    def _pair(self, file: bytes, rounds: int, check: Check) -> LatencyPair:
        return compare_files(
            self._original,
            file,
            self._inputs,
            1,
            interface=self._interface,
            rounds=rounds,
            check=check,
        )
