"""Whether a converted module computes what ONNX Runtime computes from the file it came from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from optim.errors import UnsupportedModelError, first_line
from optim.models.probing import start_session

__all__ = ["largest_difference", "random_inputs", "runtime_outputs"]

_BATCH = 16
_SMALLEST = 1e-3


def random_inputs(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return four samples ``(4, *shape)``: two of a normal distribution, two in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(2, *shape, generator=generator)
    return torch.cat([normal, torch.rand(2, *shape, generator=generator)])


def runtime_outputs(file: bytes, inputs: Tensor, *, optimised: bool = True) -> np.ndarray:
    """Return what ONNX Runtime computes, whatever batch size the file is written for.

    Args:
        file: The file's bytes; one input of floats.
        inputs: ``(N, ...)``.
        optimised: Whether ONNX Runtime may fuse operators, quantizers into integer kernels among
            them; otherwise it computes them one by one.

    Returns:
        The first output, ``(N, ...)``, as float32.

    Raises:
        UnsupportedModelError: If ONNX Runtime cannot load the file, or fails on the inputs.
    """
    session = start_session(file, optimised=optimised)
    try:
        wanted = session.get_inputs()[0]
        batch = wanted.shape[0] if wanted.shape and isinstance(wanted.shape[0], int) else _BATCH
        results = [
            session.run(None, {wanted.name: rows})[0][:kept]
            for rows, kept in _batches(inputs.numpy(), batch)
        ]
    except Exception as error:
        # onnxruntime raises classes of its own that share no base but Exception.
        raise UnsupportedModelError(
            f"ONNX Runtime cannot run the file: {first_line(error)}."
        ) from error
    return np.concatenate(results).astype(np.float32)


def _batches(inputs: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield batches of exactly one size, the last one filled up, and how many rows are real."""
    for start in range(0, len(inputs), size):
        rows = inputs[start : start + size]
        filled = np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])
        yield filled, len(rows)


def largest_difference(module: nn.Module, inputs: Tensor, expected: np.ndarray) -> float:
    """Return how far a module's outputs are from those expected.

    Args:
        module: In evaluation mode.
        inputs: ``(N, ...)``.
        expected: ``(N, ...)``.

    Returns:
        The largest absolute difference, in units of the largest absolute output; of outputs that
        are all below 0.001, in units of 0.001: there the rounding of a sigmoid decides.
    """
    with torch.inference_mode():
        found = torch.cat([module(rows) for rows in inputs.split(_BATCH)]).numpy()
    if found.shape != expected.shape:
        return float("inf")
    scale = max(float(np.abs(expected).max()), _SMALLEST)
    return float(np.abs(found - expected).max()) / scale
