"""Run a model on samples and keep what it says."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import torch
from torch import fx

from optim.data.dataset import Samples
from optim.device import compute_device
from optim.measure.predictions import Predictions, batches
from optim.models.bundle import ModelBundle, TorchModel
from optim.models.interface import rows_of
from optim.quantity import How
from optim.runtime.emit_graph import graph_bytes
from optim.runtime.session import GraphLevel, InferenceSession, Session

__all__ = [
    "Runner",
    "how_of",
    "outputs_of",
    "predict",
    "predict_in_runtime",
    "runner_of",
    "samples_at_once",
]

Runner = Callable[[torch.Tensor], np.ndarray]
"""Computes outputs ``(N, numbers)`` for normalised inputs ``(N, ...)``."""

_BATCH = 256
_NUMBERS = 2**23


def samples_at_once(bundle: ModelBundle) -> int:
    """Return how many samples are evaluated at once: 256, or fewer of large ones.

    More gain nothing on a CPU and delay a cancellation; large ones would take memory.
    """
    return max(1, min(_BATCH, _NUMBERS // prod(bundle.spec.shape)))


def predict(
    bundle: ModelBundle,
    samples: Samples,
    *,
    as_defined: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Predictions:
    """Return what a model says about samples, fake-quantized where its table says so.

    Args:
        bundle: A torch model is run by torch, an ONNX file by ONNX Runtime.
        samples: Raw samples; they are normalised here.
        as_defined: See :func:`runner_of`.
        check: Called between batches; raises to stop.

    Raises:
        DataError: If the samples do not fit the model.
    """
    run = runner_of(bundle, as_defined=as_defined)
    outputs = []
    for rows in batches(len(samples), samples_at_once(bundle)):
        check()
        outputs.append(run(bundle.spec.normalise(samples.inputs[rows])))
    return Predictions(samples.ids, np.concatenate(outputs), samples.targets, how_of(bundle))


def how_of(bundle: ModelBundle) -> How:
    """Return how the outputs of :func:`runner_of` come about."""
    is_simulated = bundle.table.is_quantized and isinstance(bundle.content, TorchModel)
    return How.SIMULATED if is_simulated else How.MEASURED


def runner_of(bundle: ModelBundle, *, as_defined: bool = False) -> Runner:
    """Return what computes the outputs of a model for one normalised batch.

    Args:
        bundle: A torch model is run by torch, fake-quantized where its table says so; an ONNX graph
            by ONNX Runtime, on its integers.
        as_defined: Whether a graph is computed operator by operator, as ONNX defines them, instead
            of on the runtime's own kernels: what those have to agree with.
    """
    if isinstance(bundle.content, TorchModel):
        graph = bundle.simulated().to(compute_device())
        return lambda x: outputs_of(graph, x)
    file = graph_bytes(bundle.content.onnx, bundle.table, bundle.interface)
    threads = torch.get_num_threads()
    level: GraphLevel = "off" if as_defined else "all"
    session = InferenceSession.open(file, threads, bundle.interface, level=level)
    return lambda x: session.run(x.numpy())


def outputs_of(graph: fx.GraphModule, x: torch.Tensor) -> np.ndarray:
    """Return the outputs ``(N, numbers)`` of a traced graph for one normalised batch."""
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return rows_of([graph(x.to(compute_device())).float().cpu().numpy()])


def predict_in_runtime(
    session: Session,
    bundle: ModelBundle,
    samples: Samples,
    *,
    check: Callable[[], None] = lambda: None,
) -> Predictions:
    """Return what an exported file says about samples, in the runtime that will execute it.

    Args:
        session: The loaded file.
        bundle: Gives the normalisation of the inputs.
        samples: Raw samples.
        check: Called between batches; raises to stop.
    """
    outputs = []
    for rows in batches(len(samples), samples_at_once(bundle)):
        check()
        outputs.append(session.run(bundle.spec.normalise(samples.inputs[rows]).numpy()))
    return Predictions(samples.ids, np.concatenate(outputs), samples.targets, How.MEASURED)
