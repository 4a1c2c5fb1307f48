"""Valid files with a few bytes changed: what reads them must refuse them in its own words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optim.errors import DataError

__all__ = ["refusals"]


def refusals(content: bytes, read: Callable[[bytes], object], *, cases: int, bytes_: int) -> int:
    """Return how many of so many damaged copies were refused; any other error escapes.

    Args:
        content: A valid file.
        read: Reads a copy, and raises a :class:`~optim.errors.DataError` if it cannot.
        cases: Copies that are read.
        bytes_: Bytes changed in each.
    """
    rng, refused = np.random.default_rng(0), 0
    for _ in range(cases):
        raw = bytearray(content)
        for at in rng.integers(0, len(raw), bytes_):
            raw[at] = rng.integers(0, 256)
        try:
            read(bytes(raw))
        except DataError:
            refused += 1
    return refused
