"""Latency for the slider: an estimate at once, a measurement as soon as it is quiet."""

from __future__ import annotations

from dataclasses import dataclass

from optim.measure.latency import LatencyPair
from optim.models.bundle import ModelBundle
from optim.quantity import Comparison, How, Quantity

__all__ = ["LatencySetting", "estimate"]

_KERNEL_OVERHEAD_MS = 0.002
"""What a runtime spends on calling one kernel, before it multiplies anything."""
_INTEGER_SPEEDUP = (1.2, 2.0, 4.0)
"""How much faster integer kernels are than float ones: seldom less, often, seldom more."""
_ERROR = 0.3


@dataclass(frozen=True)
class LatencySetting:
    """What a latency holds for.

    Attributes:
        batch_size: Samples in one inference.
        threads: Threads of one inference.
    """

    batch_size: int = 1
    threads: int = 1


def estimate(
    baseline: Quantity, baseline_macs: int, candidate: ModelBundle, macs: int, layers: int
) -> LatencyPair:
    """Guess a candidate's latency from its baseline's, MACs and number of layers.

    Args:
        baseline: Measured time of the baseline.
        baseline_macs: MACs of the baseline for one sample.
        candidate: Says whether integer kernels apply.
        macs: MACs of the candidate for one sample.
        layers: Layers that multiply; pruning channels leaves their number as it is.
    """
    calls = min(layers * _KERNEL_OVERHEAD_MS, 0.8 * baseline.value)
    # Of a network that multiplies nothing, MACs say nothing: the rest stays as it is.
    kept = macs / baseline_macs if baseline_macs else 1.0
    compute = (baseline.value - calls) * kept
    slow, usual, fast = _INTEGER_SPEEDUP if candidate.table.edges else (1.0, 1.0, 1.0)
    value = calls + compute / usual
    low, high = (calls + compute / fast) * (1 - _ERROR), (calls + compute / slow) * (1 + _ERROR)
    share = 1 / baseline.value
    return LatencyPair(
        baseline,
        Quantity(value, "ms", low, high, None, How.ESTIMATED),
        Comparison(
            Quantity(value * share, "x", low * share, high * share, None, How.ESTIMATED),
            better="lower",
        ),
    )
