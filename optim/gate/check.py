"""Hold a measured model against a baseline."""

from __future__ import annotations

import torch

from optim.data.task import Detection, Regression
from optim.errors import DataError
from optim.gate.baseline import Baseline, check_lasting
from optim.gate.criteria import (
    Criterion,
    GateResult,
    accuracy_criterion,
    agreement_criterion,
    bytes_criterion,
    error_criterion,
    latency_criterion,
    sqnr_criterion,
    unmeasured_latency,
)
from optim.measure.detection import precision_change
from optim.measure.evaluate import predict_in_runtime
from optim.measure.latency import compare_files
from optim.measure.quality import fidelity_to, primary_metric
from optim.measure.regression import error_change
from optim.quantity import Quantity
from optim.runner import Measured
from optim.runtime.session import InferenceSession

__all__ = ["check_model"]


def check_model(
    found: Measured,
    baseline: Baseline,
    max_loss_points: float = 1.0,
    max_bytes: int | None = None,
    max_latency_ratio: float | None = None,
    min_sqnr_db: float = 20.0,
) -> GateResult:
    """Hold a measured model against a baseline.

    Unless labels are classes the baseline's ONNX file is run on the samples, and both are compared:
    by their errors where labels are boxes or quantities, by their outputs where there are none.

    Args:
        found: The model, measured on the baseline's samples.
        baseline: What it may not be worse than.
        max_loss_points: See :func:`accuracy_criterion`, :func:`error_criterion` for quantities, and
            :func:`agreement_criterion` for samples without labels.
        max_bytes: See :func:`bytes_criterion`; not asked if None.
        max_latency_ratio: See :func:`latency_criterion`; not asked if None. Both files are timed
            in turns, at the batch size and threads of the measurement.
        min_sqnr_db: See :func:`sqnr_criterion`; for outputs that are no classes, without labels.

    Raises:
        ConfigError: If a limit makes no sense.
        DataError: If the data are not those of the baseline, or its ONNX file is needed and not
            there.
        MeasurementError: If outputs are not finite, or the baseline makes no error at all.
    """
    check_lasting(found.subject.data)
    if found.subject.data.hash != baseline.data:
        raise DataError(
            "The baseline was measured on other data.",
            hint="Use the same data, or write the baseline again.",
        )
    criteria = [_quality(found, baseline, max_loss_points, min_sqnr_db)]
    if max_bytes is not None:
        criteria.append(bytes_criterion(Quantity.exact(len(found.file), "bytes"), max_bytes))
    if max_latency_ratio is not None:
        criteria.append(_latency(found, baseline, max_latency_ratio))
    return GateResult(tuple(criteria))


def _quality(
    found: Measured, baseline: Baseline, max_loss_points: float, min_sqnr_db: float
) -> Criterion:
    if baseline.accuracy is not None:
        return accuracy_criterion(baseline.change(found.predictions), max_loss_points)
    if baseline.file is None:
        raise DataError(
            "Unless labels are classes a model is held against what the baseline's ONNX file says, "
            f"and {baseline.missing}.",
            hint="Keep both files of `measure --save-baseline` together.",
        )
    baseline.check_samples(found.predictions)
    bundle = found.subject.bundle
    session = InferenceSession.open(baseline.file, torch.get_num_threads(), bundle.interface)
    said = predict_in_runtime(session, bundle, found.subject.samples(found.part))
    if isinstance(bundle.task, Detection) and found.predictions.has_boxes:
        change = precision_change(found.predictions, said, bundle.task)
        return accuracy_criterion(change, max_loss_points, "map")
    if isinstance(bundle.task, Regression) and found.predictions.has_quantities:
        return error_criterion(error_change(found.predictions, said), max_loss_points)
    figures = fidelity_to(said, found.predictions, bundle.task)
    if primary_metric(found.predictions.is_labelled, bundle.task) == "agreement":
        return agreement_criterion(figures["agreement"], max_loss_points)
    return sqnr_criterion(figures.get("sqnr"), min_sqnr_db)


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
