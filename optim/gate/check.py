"""Hold a measured model against a baseline."""

from __future__ import annotations

from optim.errors import DataError
from optim.gate.baseline import Baseline
from optim.gate.criteria import (
    Criterion,
    GateResult,
    accuracy_criterion,
    bytes_criterion,
    latency_criterion,
    unmeasured_latency,
)
from optim.measure.latency import compare_files
from optim.quantity import Quantity
from optim.runner import Measured

__all__ = ["check_model"]


def check_model(
    found: Measured,
    baseline: Baseline,
    max_loss_points: float = 1.0,
    max_bytes: int | None = None,
    max_latency_ratio: float | None = None,
) -> GateResult:
    """Hold a measured model against a baseline.

    Args:
        found: The model, measured on the baseline's samples.
        baseline: What it may not be worse than.
        max_loss_points: See :func:`accuracy_criterion`.
        max_bytes: See :func:`bytes_criterion`; not asked if None.
        max_latency_ratio: See :func:`latency_criterion`; not asked if None. Both files are timed
            in turns, at the batch size and threads of the measurement.

    Raises:
        ConfigError: If a limit makes no sense.
        DataError: If the data are not those of the baseline.
    """
    if found.subject.data.hash != baseline.data:
        raise DataError(
            "The baseline was measured on other data.",
            hint="Use the same data, or write the baseline again.",
        )
    criteria = [accuracy_criterion(baseline.change(found.predictions), max_loss_points)]
    if max_bytes is not None:
        criteria.append(bytes_criterion(Quantity.exact(len(found.file), "bytes"), max_bytes))
    if max_latency_ratio is not None:
        criteria.append(_latency(found, baseline, max_latency_ratio))
    return GateResult(tuple(criteria))


def _latency(found: Measured, baseline: Baseline, max_ratio: float) -> Criterion:
    if baseline.file is None:
        why = f"{baseline.missing}, so that nothing can be timed in turns"
        return unmeasured_latency(max_ratio, why)
    conditions = found.scorecard.conditions
    samples = found.subject.samples(found.part)
    rows = samples.inputs[: conditions["batch_size"]]
    inputs = found.subject.bundle.spec.normalise(rows).numpy()
    threads, interface = conditions["threads"], found.subject.bundle.interface
    pair = compare_files(baseline.file, found.file, inputs, threads, interface=interface)
    return latency_criterion(pair.change, max_ratio)
