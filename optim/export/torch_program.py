"""A program of torch.export: the deployed model for those who stay in PyTorch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optim.errors import ExportError, first_line
from optim.layers.quantized_graph import FakeQuantize
from optim.layers.table import QuantizedEdge
from optim.models.bundle import ModelBundle
from optim.models.interface import rows_of

__all__ = ["TorchProgramSession", "torch_program"]


class _RoundToGrid(nn.Module):
    """A quantizer in plain operations, which every reader of a program knows."""

    def __init__(self, edge: QuantizedEdge) -> None:
        super().__init__()
        self.edge = edge

    def forward(self, x: Tensor) -> Tensor:
        edge = self.edge
        integers = torch.round(x / edge.scale) + edge.zero_point
        return (integers.clamp(edge.grid.qmin, edge.grid.qmax) - edge.zero_point) * edge.scale


def torch_program(bundle: ModelBundle) -> bytes:
    """Return the simulated model as a ``.pt2`` file for any number of samples.

    Weights lie on their grids as float32, activations are rounded to theirs.

    Raises:
        ExportError: If torch cannot export the model.
    """
    graph = bundle.simulated().cpu().eval()
    for name, layer in list(graph.named_modules()):
        if isinstance(layer, FakeQuantize):
            graph.set_submodule(name, _RoundToGrid(layer.edge))
    sample = torch.zeros(2, *bundle.spec.shape)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                graph, (sample,), dynamic_shapes=({0: torch.export.Dim("N")},)
            )
            for node in program.graph.nodes:
                node.meta.pop("stack_trace", None)  # paths of this machine
            file = io.BytesIO()
            torch.export.save(program, file)
    except Exception as error:
        # torch.export raises whatever its tracers raise.
        raise ExportError(f"torch cannot export the model: {first_line(error)}.") from error
    return file.getvalue()


@dataclass(frozen=True, eq=False)
class TorchProgramSession:
    """A program loaded by torch; offers what an :class:`InferenceSession` offers.

    Attributes:
        module: What the program became.
        threads: Threads one inference may use.
        is_compiled: Whether torch.compile makes kernels for it, on the first batches it meets.
        is_channels_last: Whether images and the weights that see them are laid out so.
    """

    module: Callable[[Tensor], Any]
    threads: int
    is_compiled: bool = False
    is_channels_last: bool = False

    @classmethod
    def open(
        cls, file: bytes, threads: int, *, compiled: bool = False, channels_last: bool = False
    ) -> TorchProgramSession:
        """Load a program that was just made here: loading others would execute what they say.

        Args:
            file: The program.
            threads: Threads one inference may use.
            compiled: Whether it is run by what torch.compile makes of it, for any number of
                samples; making that takes seconds.
            channels_last: Whether weights, and images before the clock starts, are laid out with
                all channels of a pixel beside each other.

        Raises:
            ExportError: If torch refuses it.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = torch.export.load(io.BytesIO(file)).module()
        except Exception as error:
            raise ExportError(f"torch cannot load the program: {first_line(error)}.") from error
        if channels_last:
            # The stubs of GraphModule leave this form out.
            module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compiled:
            made = torch.compile(module, fullgraph=True, dynamic=True)
            return cls(made, threads, True, channels_last)
        return cls(module, threads, False, channels_last)

    @property
    def runtime(self) -> str:
        """Name and version of torch, and whether it compiles."""
        name = f"PyTorch {torch.__version__.split('+')[0]}"
        return f"torch.compile, {name}" if self.is_compiled else name

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs ``(N, numbers)`` for normalised inputs ``(N, ...)``."""
        return rows_of([self._computed(self._laid_out(x)).numpy()])

    def timed(self, x: np.ndarray) -> Callable[[], None]:
        """Return a function that runs a batch and reads nothing, as a clock wants it."""
        inputs = self._laid_out(x)

        def run() -> None:
            self._computed(inputs)

        return run

    def _laid_out(self, x: np.ndarray) -> Tensor:
        inputs = torch.from_numpy(x)
        if not self.is_channels_last:
            return inputs
        return inputs.contiguous(memory_format=torch.channels_last)

    def _computed(self, inputs: Tensor) -> Any:
        known = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                return self.module(inputs)
        finally:
            torch.set_num_threads(known)
