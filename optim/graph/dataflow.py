"""A deployed graph as kernels see it: what is computed in which order, and how it is stored.

A file says ``Conv -> Relu -> QuantizeLinear -> DequantizeLinear -> Conv``. What executes it is one
kernel that reads integers and writes integers. Here quantizers become the way in which a value is
stored, activation functions belong to the kernel before them, and what only renames or reshapes a
value disappears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from optim.errors import UnsupportedModelError
from optim.graph.fold import names_read
from optim.graph.skeleton import STANDARD, ValueType, value_types

__all__ = ["Dataflow", "Kernel", "StoredGrid", "StoredValue", "dataflow", "read_grid"]

_RENAMES = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that leave the numbers of their first input where they are."""
_ACTIVATIONS = frozenset(
    {
        *("Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Relu", "Selu"),
        *("Sigmoid", "Softplus", "Tanh"),
    }
)
_ELEMENTWISE = frozenset({*_ACTIVATIONS, "Add", "Mul", "QuantizeLinear", "Sub", "Sum"})
"""Operators that have read the numbers of a place when they write there."""


@dataclass(frozen=True)
class StoredGrid:
    """The integers a value is stored as: ``real = scale * (integer - zero_point)``.

    Attributes:
        scale: Step between two neighbours.
        zero_point: Integer that stands for 0.0.
        qmin: Smallest integer that occurs.
        qmax: Largest integer that occurs.
        signed: Whether the type of the integers is signed.
    """

    scale: float
    zero_point: int
    qmin: int
    qmax: int
    signed: bool


@dataclass(frozen=True)
class StoredValue:
    """A value that takes memory while the graph runs.

    Attributes:
        name: As in the graph; of a quantized value, that of its integers.
        shape: Its sizes for as few samples as one inference takes.
        width: Bytes of one number.
        grid: The integers it is stored as; None in floating point.
    """

    name: str
    shape: tuple[int, ...]
    width: int
    grid: StoredGrid | None = None

    @property
    def bytes(self) -> int:
        """Bytes of all its numbers."""
        return prod(self.shape) * self.width


@dataclass(frozen=True)
class Kernel:
    """What one pass over memory computes.

    Attributes:
        name: Of the node, or of what it writes where it has no name.
        node: The node; its inputs are named as in the graph.
        inputs: Names of the stored values it reads, in order; constants are left out.
        outputs: Names of the stored values it writes.
        after: Activation functions that are applied to each number before it is written.
    """

    name: str
    node: onnx.NodeProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    after: tuple[onnx.NodeProto, ...] = ()

    @property
    def is_elementwise(self) -> bool:
        """Whether the result may be written where an input of the same size stands."""
        return self.node.op_type in _ELEMENTWISE


@dataclass(frozen=True)
class Dataflow:
    """Kernels in the order in which they run, and the values between them.

    Attributes:
        kernels: In a topological order, that of the file.
        values: Stored values by name.
        inputs: Names of the stored values that are given.
        outputs: Names of the stored values that are the result.
    """

    kernels: tuple[Kernel, ...]
    values: Mapping[str, StoredValue]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def dataflow(model: onnx.ModelProto, sizes: Mapping[str, Sequence[int]] | None = None) -> Dataflow:
    """Return the kernels of a graph and the values between them.

    Args:
        model: A deployed graph; its nodes stand in a topological order, as ONNX demands.
        sizes: ``{input: shape}`` it is run with, in place of what it declares.

    Raises:
        UnsupportedModelError: If the size of a value is unknown, or an operator runs a graph of its
            own, whose memory nobody can tell before.
    """
    return _Reader(model, value_types(model, sizes)).read()


class _Reader:
    """Goes through a graph once, node by node."""

    def __init__(self, model: onnx.ModelProto, types: Mapping[str, ValueType]) -> None:
        self.graph = model.graph
        self.types = types
        self.constants = {t.name: t for t in model.graph.initializer}
        self.given = [v.name for v in model.graph.input if v.name not in self.constants]
        self.read_by = names_read(model.graph)
        # Names of everything that does not depend on an input.
        self.fixed = set(self.constants)
        self.values: dict[str, StoredValue] = {}
        # Where the numbers of a value of the graph stand.
        self.stored: dict[str, str] = {}
        self.kernels: list[Kernel] = []
        # Which kernel writes a stored value.
        self.makers: dict[str, int] = {}

    def read(self) -> Dataflow:
        """Return the whole; to be called once."""
        for name in self.given:
            self._store(name)
        for node in self.graph.node:
            self._node(node)
        given = tuple(self.stored[name] for name in self.given)
        outputs = tuple(self.stored[value.name] for value in self.graph.output)
        return Dataflow(tuple(self.kernels), self.values, given, outputs)

    def _node(self, node: onnx.NodeProto) -> None:
        names = [name for name in node.input if name]
        if any(a.type in _GRAPHS for a in node.attribute):
            raise UnsupportedModelError(
                f"{node.op_type} {node.name or node.output[0]!r} runs a graph of its own, and its "
                "memory is not known before it runs."
            )
        if all(name in self.fixed for name in names) and node.op_type not in _RANDOM:
            self.fixed.update(node.output)
            return
        moving = [name for name in names if name not in self.fixed]
        is_standard = node.domain in STANDARD
        if is_standard and node.op_type == "QuantizeLinear" and self._is_constant_grid(node):
            self._quantize(node)
        elif is_standard and (node.op_type in _RENAMES or self._only_reads_integers(node)):
            self.stored[node.output[0]] = self.stored[moving[0]]
        elif is_standard and node.op_type == "Clip" and self._narrows(node):
            self._narrow(node)
        elif is_standard and node.op_type in _ACTIVATIONS and self._is_free(moving[0]):
            self._fuse(node, moving[0])
        else:
            self._compute(node, moving)

    def _compute(self, node: onnx.NodeProto, moving: list[str]) -> None:
        outputs = tuple(name for name in node.output if name and self.read_by[name])
        for name in outputs:
            self._store(name)
            self.makers[name] = len(self.kernels)
        sources = tuple(self.stored[name] for name in moving)
        name = node.name or node.output[0]
        self.kernels.append(Kernel(name, node, sources, outputs))

    def _store(self, name: str) -> None:
        """Give a value memory of its own."""
        kind = self.types.get(name)
        if kind is None or kind.shape is None or not all(kind.shape):
            raise UnsupportedModelError(
                f"The size of the value {name!r} is not known before the graph runs."
            )
        self.values[name] = StoredValue(name, kind.shape, _width(kind.kind))
        self.stored[name] = name

    def _is_free(self, name: str) -> bool:
        """Whether a value stands alone: one kernel writes it, as floats, and one node reads it."""
        return (
            self.read_by[name] == 1
            and name in self.makers
            and self.stored[name] == name
            and self.values[name].grid is None
        )

    def _fuse(self, node: onnx.NodeProto, source: str) -> None:
        """Let the kernel that writes a value apply a function to it."""
        position = self.makers.pop(source)
        name = node.output[0]
        self._rewrite(position, source, name)
        self._store(name)
        kernel = self.kernels[position]
        self.kernels[position] = replace(kernel, after=(*kernel.after, node))

    def _quantize(self, node: onnx.NodeProto) -> None:
        source, name = node.input[0], node.output[0]
        stands, grid = self.stored[source], read_grid(node, self.constants)
        known = self.values[stands]
        if known.grid is not None and _is_same_grid(known.grid, grid):
            self.stored[name] = stands
            return
        if self._is_free(source):
            self._rewrite(self.makers.pop(source), source, name)
        elif stands in self.given and self.read_by[source] == 1:
            # Whoever calls gives integers then.
            self.stored[source] = name
            del self.values[source]
        else:
            self.kernels.append(Kernel(node.name or name, node, (stands,), (name,)))
        self.values[name] = StoredValue(name, known.shape, _width(self.types[name].kind), grid)
        self.stored[name] = name

    def _rewrite(self, position: int, old: str, new: str) -> None:
        """Let a kernel write another value than it did."""
        kernel = self.kernels[position]
        outputs = tuple(new if name == old else name for name in kernel.outputs)
        self.kernels[position] = replace(kernel, outputs=outputs)
        del self.values[old]
        self.makers[new] = position

    def _is_constant_grid(self, node: onnx.NodeProto) -> bool:
        """Whether one constant scale holds for the whole value."""
        parameters = [self.constants.get(name) for name in node.input[1:] if name]
        return all(t is not None and prod(t.dims) == 1 for t in parameters)

    def _only_reads_integers(self, node: onnx.NodeProto) -> bool:
        """Whether a node only reads integers back, which kernels do themselves."""
        if node.op_type != "DequantizeLinear" or node.input[0] not in self.stored:
            return False
        return self.values[self.stored[node.input[0]]].grid is not None

    def _narrows(self, node: onnx.NodeProto) -> bool:
        """Whether a Clip cuts integers to a narrower grid."""
        value = self.values.get(self.stored.get(node.input[0], ""))
        bounds = all(name in self.constants for name in node.input[1:] if name)
        return value is not None and value.grid is not None and bounds and len(node.input) == 3

    def _narrow(self, node: onnx.NodeProto) -> None:
        name = self.stored[node.input[0]]
        value = self.values[name]
        low, high = (
            int(numpy_helper.to_array(self.constants[n]).reshape(-1)[0]) for n in node.input[1:3]
        )
        assert value.grid is not None
        self.values[name] = replace(value, grid=replace(value.grid, qmin=low, qmax=high))
        self.stored[node.output[0]] = name


def read_grid(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> StoredGrid:
    """Return the grid of a QuantizeLinear with one constant scale.

    Args:
        node: The node.
        constants: Initializers of its graph, by name.
    """
    scale = float(numpy_helper.to_array(constants[node.input[1]]).reshape(-1)[0])
    dtype, zero = np.dtype(np.uint8), 0
    if len(node.input) > 2 and node.input[2]:
        stored = numpy_helper.to_array(constants[node.input[2]])
        dtype, zero = stored.dtype, int(stored.reshape(-1)[0])
    limits = np.iinfo(dtype)
    return StoredGrid(scale, zero, int(limits.min), int(limits.max), dtype.kind == "i")


def _is_same_grid(first: StoredGrid, second: StoredGrid) -> bool:
    """Whether the same integers stand for the same numbers; either may use fewer of them."""
    return (first.scale, first.zero_point, first.signed) == (
        second.scale,
        second.zero_point,
        second.signed,
    )


_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
_RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomUniform"})


def _width(kind: int) -> int:
    """Return the bytes of one number; types of less than a byte are kept in one."""
    return max(1, helper.tensor_dtype_to_np_dtype(kind or TensorProto.FLOAT).itemsize)
