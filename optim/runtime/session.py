"""ONNX Runtime sessions: the reference runtime in which every exported file is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from optim.errors import ExportError, MeasurementError

__all__ = ["InferenceSession", "runtime_name"]


def runtime_name() -> str:
    """Return name and version of the runtime, for the reader."""
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}"


@dataclass(frozen=True, eq=False)
class InferenceSession:
    """A loaded ONNX file with one float32 input and at least one output.

    Attributes:
        session: ONNX Runtime's own session.
        input_name: Name of the input.
        input_shape: Shape of one sample as the file declares it; 0 where it is dynamic.
        threads: Threads one inference may use.
        batch: Samples one inference takes if the file fixes that; 0 if it takes any number.
    """

    session: Any
    input_name: str
    input_shape: tuple[int, ...]
    threads: int
    batch: int = 0

    @classmethod
    def open(
        cls, model: onnx.ModelProto | bytes, threads: int = 1, *, optimised: bool = True
    ) -> InferenceSession:
        """Load a model on the CPU.

        Args:
            model: The model or the bytes of its file.
            threads: Threads one inference may use.
            optimised: Whether the runtime may rewrite the graph for its own kernels; without that
                it computes operator by operator, as ONNX defines them.

        Raises:
            ExportError: If the runtime refuses the model.
        """
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if not optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Threads that spin while idle would disturb every other measurement on the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        data = model if isinstance(model, bytes) else model.SerializeToString()
        try:
            session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # onnxruntime raises classes of its own that share no base but Exception.
            raise ExportError(
                f"{runtime_name()} cannot load the model: {_first_line(error)}."
            ) from error
        inputs = session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            kinds = ", ".join(f"{i.name}: {i.type}" for i in inputs)
            raise MeasurementError(
                f"A model with one float32 input is needed: this one has {kinds or 'none'}."
            )
        shape = tuple(d if isinstance(d, int) else 0 for d in inputs[0].shape[1:])
        first = inputs[0].shape[0] if inputs[0].shape else 0
        return cls(session, inputs[0].name, shape, threads, first if isinstance(first, int) else 0)

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the first output for a batch ``(N, ...)`` of float32 inputs.

        A file written for a fixed number of samples is run as often as it takes; the last samples
        are repeated to fill its batch.

        Raises:
            MeasurementError: If the runtime fails on this input.
        """
        if not self.batch or len(x) == self.batch:
            return self._run(x)
        missing = -len(x) % self.batch
        filled = np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) if missing else x
        parts = [self._run(part) for part in np.split(filled, len(filled) // self.batch)]
        return np.concatenate(parts)[: len(x)]

    def _run(self, x: np.ndarray) -> np.ndarray:
        return self.values(x)[0]

    def values(self, x: np.ndarray) -> list[np.ndarray]:
        """Return every output for one batch of the size that the file takes.

        Raises:
            MeasurementError: If the runtime fails on this input.
        """
        try:
            found: list[np.ndarray] = self.session.run(None, {self.input_name: x})
            return found
        except Exception as error:
            raise MeasurementError(
                f"{runtime_name()} failed on inputs of shape {x.shape}: {_first_line(error)}."
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
