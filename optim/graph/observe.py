"""What the values of an ONNX graph are on calibration samples, in a bounded amount of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from optim.errors import CalibrationError
from optim.layers.statistics import Observer, Statistics

__all__ = ["exposed", "observe_values", "value_batches"]

_BYTES = 2**27
"""Values of one batch that are held at once."""
_MAX_BATCH = 256


def exposed(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a graph whose results are these of its float values, in this order."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    graph = shown.graph
    given = {value.name for value in graph.input}
    results = []
    for name in names:
        result = f"{name}.observed" if name in given else name
        if name in given:  # an input cannot be a result
            graph.node.append(helper.make_node("Identity", [name], [result]))
        results.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, None))
    del graph.output[:]
    graph.output.extend(results)
    return shown


def observe_values(
    run: Callable[[np.ndarray], Sequence[np.ndarray]],
    names: Sequence[str],
    inputs: Tensor,
    *,
    batch: int = 0,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Statistics]:
    """Run calibration samples through a graph and return the statistics of its values.

    Args:
        run: Returns the results of an :func:`exposed` graph for ``(N, ...)`` float32 inputs.
        names: Of those results, in order.
        inputs: ``(N, ...)`` normalised samples.
        batch: Samples one run takes if the file fixes that; 0 if it takes any number.
        check: Called between batches; raises to stop.

    Raises:
        CalibrationError: If there is no sample or a value is not finite.
    """
    observers: dict[str, Observer] = {}
    for values, share in value_batches(run, inputs, batch=batch, check=check):
        for name, value in zip(names, values, strict=True):
            observer = observers.setdefault(name, Observer(share))
            if value.numel():
                observer(value)
    return {name: observer.statistics(name) for name, observer in observers.items()}


def value_batches(
    run: Callable[[np.ndarray], Sequence[np.ndarray]],
    inputs: Tensor,
    *,
    batch: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[list[Tensor], int]]:
    """Run samples through a graph in batches that fit into memory.

    Args:
        run: Returns the results of an :func:`exposed` graph for ``(N, ...)`` float32 inputs.
        inputs: ``(N, ...)`` normalised samples.
        batch: Samples one run takes if the file fixes that; 0 if it takes any number.
        check: Called between batches; raises to stop.

    Yields:
        The results of a batch, and how many batches there are.

    Raises:
        CalibrationError: If there is no sample.
    """
    if not len(inputs):
        raise CalibrationError("Calibration needs at least one sample.")
    samples = inputs.numpy()
    size = batch or _batch_size(run(samples[:1]))
    if batch:  # the last ones are repeated to fill a batch
        samples = np.concatenate([samples, np.repeat(samples[-1:], -len(samples) % batch, axis=0)])
    starts = range(0, len(samples), size)
    for start in starts:
        check()
        values = run(samples[start : start + size])
        yield [torch.from_numpy(np.asarray(value)) for value in values], len(starts)


def _batch_size(values: Sequence[np.ndarray]) -> int:
    """Return how many samples may run at once, given the values of one."""
    each = sum(value.nbytes for value in values)
    return max(1, min(_MAX_BATCH, _BYTES // max(1, each)))
