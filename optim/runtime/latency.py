"""How long an inference takes: files against each other, interleaved, on this machine.

A single time says little on a machine that does other things. Here the files take turns in short
blocks, so that a slow moment hits all of them; the figure is the median over blocks with its
interval, and the ratio to the first file is taken block by block. A block during which the system
gave the core to somebody else is measured again: it tells what others do, not what the file takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from optim.models.interface import Interface
from optim.runtime.session import Session
from optim.runtime.tracing import owner_of, trace_operators

__all__ = ["LatencySamples", "measure_latency", "profile_layers"]

_BLOCK_S = 0.002
"""A block repeats the inference until it lasts this long, far above the clock's resolution."""
_TRIALS = 3
"""Inferences that say how long one takes; the fastest counts, as the others were disturbed."""
_AGAIN = 1.0
"""Blocks that may be measured again, as a share of all: a busy machine takes twice as long."""


@dataclass(frozen=True, eq=False)
class LatencySamples:
    """Times of several files, measured in turns.

    Attributes:
        blocks_ms: ``{file: (rounds,) milliseconds per inference of the batch}``; position ``i`` of
            every array belongs to the same round.
        batch_size: Samples in one inference.
        threads: Threads of one inference.
    """

    blocks_ms: Mapping[str, np.ndarray]
    batch_size: int
    threads: int


def measure_latency(
    sessions: Mapping[str, Session],
    inputs: np.ndarray,
    *,
    rounds: int = 30,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> LatencySamples:
    """Time sessions in turns.

    Args:
        sessions: What to time, by name; all with the same number of threads.
        inputs: ``(batch, ...)`` float32.
        rounds: Blocks per session.
        check: Called between blocks; raises to stop.
        clock: Returns seconds; replaced in tests.
    """
    threads = next(iter(sessions.values())).threads
    runs = {name: session.timed(inputs) for name, session in sessions.items()}

    def spent(run: Callable[[], object], repeats: int) -> float:
        check()
        start = clock()
        for _ in range(repeats):
            run()
        return (clock() - start) / repeats

    repeats = {}
    for name, run in runs.items():
        run()
        fastest = min(spent(run, 1) for _ in range(_TRIALS))
        repeats[name] = max(1, round(_BLOCK_S / max(fastest, 1e-6)))
    times: dict[str, list[float]] = {name: [] for name in sessions}
    again = round(_AGAIN * rounds * len(runs))
    for _ in range(rounds):
        for name, run in runs.items():
            before = _interruptions(threads)
            block = spent(run, repeats[name])
            while again and _interruptions(threads) != before:
                again -= 1
                before = _interruptions(threads)
                block = min(block, spent(run, repeats[name]))
            times[name].append(block * 1e3)
    return LatencySamples(
        {name: np.array(values) for name, values in times.items()}, len(inputs), threads
    )


def _interruptions(threads: int) -> int:
    """Return how often the system took a core away, from this thread or from all of the process.

    Always 0 where the system does not tell.
    """
    try:
        import resource

        who = resource.RUSAGE_THREAD if threads == 1 else resource.RUSAGE_SELF
    except (ImportError, AttributeError):
        return 0
    return resource.getrusage(who).ru_nivcsw


def profile_layers(
    model: bytes,
    inputs: np.ndarray,
    owners: Mapping[str, str],
    runs: int = 30,
    interface: Interface | None = None,
) -> dict[str, float]:
    """Return each layer's share of the time ONNX Runtime spends in operators.

    Args:
        model: An ONNX file.
        inputs: ``(batch, ...)`` float32.
        owners: ``{kernel name: layer}``, see :func:`optim.runtime.emit.kernel_owners`.
        runs: Inferences to profile, after a warm-up.
        interface: How the file is run; it has one input if None.

    Returns:
        ``{layer: share in 0..1}``; ``""`` holds what belongs to no layer. The shares add up to 1.
    """
    spent: dict[str, float] = dict.fromkeys([*owners.values(), ""], 0.0)
    for event in trace_operators(model, inputs, runs=runs, interface=interface):
        spent[owner_of(event.name, owners) or ""] += event.ms
    total = sum(spent.values()) or 1.0
    return {layer: value / total for layer, value in spent.items()}
