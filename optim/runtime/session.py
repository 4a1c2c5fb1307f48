"""ONNX Runtime sessions: the reference runtime in which every exported file is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import onnx

from optim.errors import ExportError, MeasurementError, first_line
from optim.models.interface import Interface, Read
from optim.models.probing import load_session, with_outputs
from optim.runtime.providers import PROVIDERS, provider_of

__all__ = ["GraphLevel", "InferenceSession", "Opener", "Session", "runtime_name"]


class Session(Protocol):
    """A file loaded in what executes it."""

    @property
    def runtime(self) -> str:
        """Name and version of what executes it, for the reader."""

    @property
    def threads(self) -> int:
        """Threads one inference may use."""

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs ``(N, numbers)`` for normalised inputs ``(N, ...)``."""

    def timed(self, x: np.ndarray) -> Callable[[], None]:
        """Return a function that runs a batch and reads nothing, as a clock wants it."""


Opener = Callable[[bytes, int, Interface | None], Session]
"""Loads a file, to be run on so many threads by that interface."""

GraphLevel = Literal["off", "basic", "extended", "all"]
"""How far the runtime may rewrite a graph for its own kernels."""

_LEVELS: dict[GraphLevel, str] = {
    "off": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


def runtime_name() -> str:
    """Return name and version of the runtime, for the reader."""
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}"


@dataclass(frozen=True, eq=False)
class InferenceSession:
    """A loaded ONNX file.

    Attributes:
        session: ONNX Runtime's own session.
        interface: What its inputs are given and which outputs are read.
        input_shape: Shape of one sample as the file declares it; 0 where it is dynamic.
        threads: Threads one inference may use.
        provider: What executes it, a key of ``PROVIDERS``.
    """

    session: Any
    interface: Interface
    input_shape: tuple[int, ...]
    threads: int
    provider: str = "cpu"

    @classmethod
    def open(
        cls,
        model: onnx.ModelProto | bytes,
        threads: int = 1,
        interface: Interface | None = None,
        *,
        level: GraphLevel = "all",
        provider: str = "cpu",
    ) -> InferenceSession:
        """Load a model.

        Args:
            model: The model or the bytes of its file.
            threads: Threads one inference may use.
            interface: How it is run; if None, it has one float32 input, and its first output is
                read.
            level: How far the runtime may rewrite the graph; if "off", it computes operator by
                operator, as ONNX defines them.
            provider: What executes it, a key of ``PROVIDERS``. Operators for which a GPU has no
                kernel are computed on the CPU.

        Raises:
            ExportError: If the runtime refuses the model.
            MeasurementError: If its interface has to be known and is not given, or if the runtime
                would fall back to another provider.
            MissingDependencyError: If the runtime has no such provider.
        """
        import onnxruntime as ort

        executed = provider_of(provider)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level])
        # Threads that spin while idle would disturb every other measurement on the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        data = model if isinstance(model, bytes) else model.SerializeToString()
        if interface is not None:
            data = with_outputs(data, interface.inside)
        try:
            session = load_session(
                data, options, providers=list(executed.order), enable_fallback=False
            )
        except Exception as error:
            # onnxruntime raises classes of its own that share no base but Exception.
            raise ExportError(
                f"{runtime_name()} cannot load the model: {first_line(error)}."
            ) from error
        # Where libraries of a GPU are missing it warns, and takes the next provider.
        if (taken := session.get_providers()[0]) != executed.order[0]:
            raise MeasurementError(
                f"{runtime_name()} would compute by {taken}, not on {executed.title}.",
                hint="It needs a GPU, its driver, and the libraries its release notes name.",
            )
        interface = interface or _plain(session)
        sizes = next(i.shape for i in session.get_inputs() if i.name == interface.name)
        sizes = sizes[1:] if interface.has_samples_axis else sizes
        shape = tuple(d if isinstance(d, int) else 0 for d in sizes)
        return cls(session, interface, shape, threads, provider)

    @property
    def runtime(self) -> str:
        """Name and version of the runtime, and the GPU's provider if there is one."""
        if self.provider == "cpu":
            return runtime_name()
        return f"{runtime_name()}, {PROVIDERS[self.provider].title}"

    @property
    def input_name(self) -> str:
        """Name of the input that samples feed."""
        return self.interface.name

    @property
    def batch(self) -> int:
        """Samples one inference takes if that is fixed; 0 if it takes any number."""
        return self.interface.batch

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return what is read for a batch ``(N, ...)`` of float32 inputs, one row a sample.

        A file written for a fixed number of samples is run as often as it takes; the last samples
        are repeated to fill its batch.

        Raises:
            MeasurementError: If the runtime fails on this input.
        """
        parts = [
            self.interface.rows(self.values(part), len(part)) for part in self.interface.pieces(x)
        ]
        return np.concatenate(parts)[: len(x)]

    def whole(self, x: np.ndarray) -> np.ndarray:
        """Return all numbers ``(N, numbers)`` of the first value that is read, however many.

        Raises:
            MeasurementError: If the runtime fails on this input.
        """
        found = [self.values(part)[0].reshape(len(part), -1) for part in self.interface.pieces(x)]
        return np.concatenate(found)[: len(x)]

    def timed(self, x: np.ndarray) -> Callable[[], None]:
        """Return a function that runs a batch and reads nothing, as a clock wants it."""
        fed = [self.interface.inputs(part) for part in self.interface.pieces(x)]

        def run() -> None:
            for inputs in fed:
                self.session.run(None, inputs)

        return run

    def values(self, x: np.ndarray) -> list[np.ndarray]:
        """Return what is read for one batch of the size that the file takes, as it is.

        If nothing is read, all outputs are computed and returned.

        Raises:
            MeasurementError: If the runtime fails on this input.
        """
        names = [read.name for read in self.interface.reads] or None
        try:
            found: list[np.ndarray] = self.session.run(names, self.interface.inputs(x))
            return found
        except Exception as error:
            raise MeasurementError(
                f"{runtime_name()} failed on inputs of shape {x.shape}: {first_line(error)}."
            ) from error


def _plain(session: Any) -> Interface:
    """Return the interface of a file with one float32 input."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        kinds = ", ".join(f"{i.name}: {i.type}" for i in inputs)
        raise MeasurementError(
            f"A model with one float32 input is needed: this one has {kinds or 'none'}."
        )
    first = inputs[0].shape[0] if inputs[0].shape else 0
    return Interface(
        inputs[0].name,
        batch=first if isinstance(first, int) else 0,
        reads=(Read(session.get_outputs()[0].name),),
    )
