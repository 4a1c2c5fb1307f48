"""QONNX: a graph that keeps every bit-width, for FPGA tools such as FINN and hls4ml.

Integers of ONNX have 2, 4, 8 or 16 bits. QONNX leaves numbers in float32 and says at each weight
and activation on how many bits it lies, by a ``Quant`` node with scale, zero point and bit-width.

References:
    Pappalardo et al., QONNX: Representing Arbitrary-Precision Quantized Neural Networks, 2022,
    arXiv:2206.07527
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from optim.errors import (
    ExportError,
    MeasurementError,
    first_line,
)
from optim.graph.dataflow import read_grid
from optim.graph.fold import drop_unread
from optim.layers.grid import Grid, from_rows
from optim.layers.table import QuantizedWeight
from optim.models.bundle import ModelBundle
from optim.models.interface import rows_of
from optim.optional import optional_package
from optim.runtime.deployed import deployed_graph
from optim.runtime.emit import INPUT, OUTPUT

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["QonnxSession", "qonnx", "qonnx_bytes"]

_DOMAIN = "qonnx.custom_op.general"


def qonnx() -> ModuleType:
    """Return the package.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    return optional_package(
        "qonnx", "QONNX files are verified by the qonnx package.", "pip install qonnx==1.0.0"
    )


def qonnx_bytes(bundle: ModelBundle, metadata: dict[str, str]) -> bytes:
    """Return a model as a QONNX file for one sample at a time.

    Args:
        bundle: A torch model.
        metadata: Properties of the file.

    Raises:
        UnsupportedLayerError: If an operation has no ONNX form here.
    """
    model = deployed_graph(bundle, metadata)
    _Writer(model, bundle).write()
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    _set_batch(model, 1)
    return model.SerializeToString()


class _Writer:
    """Replaces the quantizers of a graph, in place."""

    def __init__(self, model: onnx.ModelProto, bundle: ModelBundle) -> None:
        self.graph = model.graph
        self.weights = bundle.table.weights
        self.traced = bundle.deployable()
        self.constants = {t.name: t for t in model.graph.initializer}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.nodes: list[onnx.NodeProto] = []
        self.made: list[onnx.TensorProto] = []

    def write(self) -> None:
        """Write weights first, then nodes in their order."""
        names = {f"{name}.weight": entry for name, entry in self.weights.items()}
        readers = {node.input[1]: node for node in self.graph.node if len(node.input) > 1}
        for value, entry in names.items():
            self._weight(value, entry, is_transposed=readers[value].op_type == "MatMul")
        for node in self.graph.node:
            if node.output[0] not in names:
                self._node(node)
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(self.made)
        drop_unread(self.graph)

    def _node(self, node: onnx.NodeProto) -> None:
        if node.op_type != "DequantizeLinear":
            self.nodes.append(node)
        elif (integers := self._integers(node.input[0])) is not None:
            self._constant(node, integers)
        else:
            self._edge(node)

    def _integers(self, name: str) -> np.ndarray | None:
        """Return stored integers, also where the file widens them first; None if they are made."""
        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "Cast":
            name = maker.input[0]
        return self._array(name) if name in self.constants else None

    def _weight(self, value: str, entry: QuantizedWeight, *, is_transposed: bool) -> None:
        weight = self.traced.get_parameter(value).detach()
        rows = entry.integers(weight).shape[1]

        def spread(parameter: Any) -> np.ndarray:
            each = parameter.float()[:, None]
            if entry.grid.granularity == "per_group":
                each = from_rows(each.expand(-1, rows), weight.shape, entry.grid)
            else:
                each = each.reshape(-1, *[1] * (weight.ndim - 1))
            return (each.T if is_transposed else each).numpy()

        values = entry.apply(weight)
        stored = self._float(f"{value}_values", (values.T if is_transposed else values).numpy())
        parameters = spread(entry.scale), spread(entry.zero_point)
        self._quant(stored, value, *parameters, entry.grid)

    def _edge(self, node: onnx.NodeProto) -> None:
        """Replace QuantizeLinear, a Clip to a narrower grid, and DequantizeLinear by one node."""
        maker, limits = self.makers[node.input[0]], None
        if maker.op_type == "Clip":
            limits = [int(self._array(name)) for name in maker.input[1:3]]
            maker = self.makers[maker.input[0]]
        stored = read_grid(maker, self.constants)
        low, high = limits or (stored.qmin, stored.qmax)
        scale, zero = np.asarray(stored.scale), np.asarray(stored.zero_point)
        grid = Grid(low, high, symmetric=stored.signed)
        self._quant(maker.input[0], node.output[0], scale, zero, grid)

    def _constant(self, node: onnx.NodeProto, integers: np.ndarray) -> None:
        """Replace stored integers that are no weights by the floats they stand for."""
        scale = self._array(node.input[1]).astype(np.float32)
        self._float(node.output[0], integers.astype(np.float32) * scale)

    def _quant(
        self, source: str, value: str, scale: np.ndarray, zero: np.ndarray, grid: Grid
    ) -> None:
        names = [
            self._float(f"{value}_{part}", array)
            for part, array in (
                ("step", scale),
                ("zero", zero),
                ("bits", np.asarray(grid.bits, np.float32)),
            )
        ]
        self.nodes.append(
            helper.make_node(
                "Quant",
                [source, *names],
                [value],
                f"{value}_quant",
                domain=_DOMAIN,
                signed=int(grid.qmin < 0),
                narrow=grid.levels % 2,
                rounding_mode="ROUND",
            )
        )

    def _float(self, name: str, values: np.ndarray) -> str:
        array = np.asarray(values, np.float32, order="C")
        self.made.append(numpy_helper.from_array(array, name))
        return name

    def _array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.constants[name])


def _set_batch(model: onnx.ModelProto, batch: int) -> None:
    """Fix the number of samples of a graph."""
    for value in (*model.graph.input, *model.graph.output):
        size = value.type.tensor_type.shape.dim[0]
        size.Clear()
        size.dim_value = batch
    del model.graph.value_info[:]


@dataclass(frozen=True, eq=False)
class QonnxSession:
    """A QONNX file in the executor of its own package; offers what an ``InferenceSession`` offers.

    Attributes:
        file: Its bytes.
        runtime: Name and version.
        threads: Threads one inference may use.
    """

    file: bytes
    runtime: str
    threads: int

    @classmethod
    def open(cls, file: bytes, threads: int) -> QonnxSession:
        """Load a file.

        Raises:
            ExportError: If the package cannot read it.
        """
        from importlib.metadata import version

        qonnx()
        session = cls(file, f"QONNX {version('qonnx')}", threads)
        session._model(1)
        return session

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs ``(N, numbers)`` for normalised inputs ``(N, ...)``.

        Raises:
            MeasurementError: If the executor fails on this input.
        """
        from qonnx.core.onnx_exec import execute_onnx

        model = self._model(len(x))
        try:
            return rows_of([execute_onnx(model, {INPUT: x})[OUTPUT]])
        except Exception as error:
            # The executor raises Exception itself.
            raise MeasurementError(
                f"{self.runtime} failed on inputs of shape {x.shape}: {first_line(error)}."
            ) from error

    def timed(self, x: np.ndarray) -> Callable[[], None]:
        """Return a function that runs a batch and reads nothing, as a clock wants it."""
        from qonnx.core.onnx_exec import execute_onnx

        model = self._model(len(x))
        return lambda: execute_onnx(model, {INPUT: x})

    def _model(self, batch: int) -> Any:
        """Return the model for so many samples, with the sizes that the executor needs."""
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_shapes import InferShapes

        try:
            model = onnx.load_from_string(self.file)
            _set_batch(model, batch)
            return ModelWrapper(model).transform(InferShapes())
        except Exception as error:
            # The package raises whatever onnx and its own code raise.
            raise ExportError(
                f"{self.runtime} cannot load the model: {first_line(error)}."
            ) from error
