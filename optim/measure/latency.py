"""Latency of exported files as quantities: one file alone, or two in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from optim.measure.intervals import median_interval
from optim.models.interface import Interface
from optim.quantity import Comparison, Quantity
from optim.runtime.latency import LatencySamples, measure_latency
from optim.runtime.session import InferenceSession, Opener, Session

__all__ = ["LatencyPair", "compare_files", "latency_of", "median_of", "pair_of"]


@dataclass(frozen=True)
class LatencyPair:
    """Latency of a candidate beside its baseline.

    Attributes:
        baseline: Time of the baseline.
        candidate: Time of the candidate.
        change: Candidate over baseline; paired by round where both were measured.
    """

    baseline: Quantity
    candidate: Quantity
    change: Comparison


def compare_files(
    baseline: bytes,
    candidate: bytes,
    inputs: np.ndarray,
    threads: int,
    *,
    interface: Interface | None = None,
    rounds: int = 40,
    check: Callable[[], None] = lambda: None,
) -> LatencyPair:
    """Measure two files in turns in ONNX Runtime.

    Args:
        baseline: ONNX file.
        candidate: ONNX file.
        inputs: ``(batch, ...)`` float32.
        threads: Threads of one inference.
        interface: How both are run; they have one input if None.
        rounds: Blocks of each file.
        check: Called between blocks; raises to stop.
    """
    sessions = {
        "baseline": _opened(baseline, threads, interface),
        "candidate": _opened(candidate, threads, interface),
    }
    samples = measure_latency(sessions, inputs, rounds=rounds, check=check)
    return pair_of(samples)


def pair_of(samples: LatencySamples) -> LatencyPair:
    """Return medians with intervals, and the ratio taken round by round."""
    first, second = samples.blocks_ms["baseline"], samples.blocks_ms["candidate"]
    return LatencyPair(
        median_of(first, "ms"),
        median_of(second, "ms"),
        Comparison(median_of(second / first, "x"), better="lower"),
    )


def latency_of(
    file: bytes,
    inputs: np.ndarray,
    threads: int,
    *,
    interface: Interface | None = None,
    rounds: int = 40,
    open_file: Opener = InferenceSession.open,
    check: Callable[[], None] = lambda: None,
) -> Quantity:
    """Measure one file by itself in what ``open_file`` opens; see :func:`compare_files`."""
    sessions = {"file": _opened(file, threads, interface, open_file)}
    blocks = measure_latency(sessions, inputs, rounds=rounds, check=check).blocks_ms["file"]
    return median_of(blocks, "ms")


def _opened(
    file: bytes,
    threads: int,
    interface: Interface | None,
    open_file: Opener = InferenceSession.open,
) -> Session:
    """Load a file with the outputs it has: what is read inside it would be computed as well."""
    return open_file(file, threads, interface.unread() if interface else None)


def median_of(values: np.ndarray, unit: str) -> Quantity:
    """Return the median of figures of blocks ``(rounds,)`` with its interval."""
    middle, low, high = median_interval(values)
    return Quantity(middle, unit, low, high, len(values))
