"""OpenVINO: its own file format, and its runtime on the CPU."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optim.errors import (
    ExportError,
    MeasurementError,
    OptimError,
)
from optim.graph.whole import check_whole
from optim.models.interface import Interface, rows_of
from optim.optional import optional_package

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["OpenVinoSession", "openvino", "openvino_ir"]


_PLACE = re.compile(r"Exception from |Check .* failed at ")
_LINES = 4
"""Lines of a message that are shown; it goes on with advice on extending OpenVINO."""


def openvino() -> ModuleType:
    """Return the package.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    return optional_package(
        "openvino", "OpenVINO files need the openvino package.", "pip install openvino==2026.4.1"
    )


def openvino_ir(file: bytes) -> tuple[bytes, bytes]:
    """Return an ONNX file as OpenVINO's graph (XML) and weights.

    Quantizers stay, and the runtime finds its integer kernels by them.

    Raises:
        ExportError: If OpenVINO cannot read the file.
    """
    import tempfile
    from pathlib import Path

    package = openvino()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        try:
            check_whole(file)
            model = package.Core().read_model(file)
            package.save_model(model, path, compress_to_fp16=False)
        except Exception as error:
            raise _refused(package, error) from error
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


@dataclass(frozen=True, eq=False)
class OpenVinoSession:
    """A model compiled by OpenVINO; offers what an :class:`InferenceSession` offers.

    Attributes:
        compiled: OpenVINO's own model.
        runtime: Name and version.
        threads: Threads one inference may use.
        interface: How it is run; None for one float32 input and one output.
    """

    compiled: Any
    runtime: str
    threads: int
    interface: Interface | None = None

    @classmethod
    def open(
        cls, graph: bytes, weights: bytes, threads: int = 1, interface: Interface | None = None
    ) -> OpenVinoSession:
        """Load a graph with its weights on the CPU.

        Raises:
            ExportError: If the runtime refuses it.
        """
        package = openvino()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            # A thread tied to a core waits for whoever else computes there; others move on.
            "ENABLE_CPU_PINNING": False,
        }
        core = package.Core()
        try:
            model = core.read_model(graph, weights)
            compiled = core.compile_model(model, "CPU", settings)
        except Exception as error:
            raise _refused(package, error) from error
        return cls(compiled, _name(package), threads, interface)

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs ``(N, numbers)`` for normalised inputs ``(N, ...)``.

        Raises:
            MeasurementError: If the runtime fails on this input.
        """
        if self.interface is None:
            return rows_of([np.array(self._inferred([x], x)[0])])
        parts = [self._read(self.interface, part) for part in self.interface.pieces(x)]
        return np.concatenate(parts)[: len(x)]

    def timed(self, x: np.ndarray) -> Callable[[], None]:
        """Return a function that runs a batch and reads nothing, as a clock wants it."""
        known = self.interface
        fed: list[Any] = [known.inputs(part) for part in known.pieces(x)] if known else [[x]]

        def run() -> None:
            for inputs in fed:
                self.compiled(inputs)

        return run

    def _read(self, interface: Interface, x: np.ndarray) -> np.ndarray:
        found = self._inferred(interface.inputs(x), x)
        return interface.rows([np.array(found[read.name]) for read in interface.reads], len(x))

    def _inferred(self, fed: Any, x: np.ndarray) -> Any:
        try:
            return self.compiled(fed)
        except Exception as error:
            # OpenVINO raises RuntimeError and classes of its own.
            raise MeasurementError(
                f"{self.runtime} failed on inputs of shape {x.shape}: {_told(error)}."
            ) from error


def _name(package: ModuleType) -> str:
    return f"OpenVINO {package.__version__.split('-')[0]}"


def _refused(package: ModuleType, error: Exception) -> OptimError:
    return ExportError(f"{_name(package)} cannot load the model: {_told(error)}.")


def _told(error: Exception) -> str:
    """Return what OpenVINO says, without the lines that say where in its source it says so."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not _PLACE.match(line)]
    return " ".join(told[:_LINES] or lines[:1]).rstrip(".")
