"""A little builder for ONNX graphs: nodes, initializers, unique names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = [
    "INTEGER_CONTAINERS",
    "OnnxGraph",
    "Unknown",
    "container_for",
    "file_bytes",
    "opset_for",
    "shorten_names_",
    "slim_",
    "unknown",
]

INTEGER_CONTAINERS: dict[int, tuple[int, int]] = {
    2: (TensorProto.INT2, 25),
    4: (TensorProto.INT4, 21),
    8: (TensorProto.INT8, 21),
    16: (TensorProto.INT16, 21),
}
"""``{bits: (ONNX type, first opset whose Cast takes it)}``."""

_IR_VERSIONS = {21: 10, 25: 13}
"""The oldest file format version that carries an opset; older runtimes read older formats."""


def container_for(bits: int) -> int:
    """Return the bits of the smallest integer type of ONNX that holds ``bits``."""
    return next(width for width in INTEGER_CONTAINERS if width >= bits)


def opset_for(bits: int) -> int:
    """Return the first operator set that stores integers of so many bits and casts them."""
    return INTEGER_CONTAINERS[container_for(bits)][1]


class Unknown(np.ndarray):
    """Numbers of which only type and shape are known; none is ever stored."""


def unknown(shape: tuple[int, ...]) -> Unknown:
    """Return float32 numbers of which only the shape is known; they take no memory."""
    return np.broadcast_to(np.zeros((), np.float32), shape).view(Unknown)


def file_bytes(model: onnx.ModelProto) -> int:
    """Return how long the file of a model is once the numbers that are unknown stand in it."""
    more = 0
    for tensor in model.graph.initializer:
        if not tensor.HasField("raw_data"):
            numbers = -(-prod(tensor.dims) * _bits_of(tensor.data_type) // 8)
            added = 1 + _varint(numbers) + numbers  # a byte says which field it is
            own = tensor.ByteSize()
            more += added + _varint(own + added) - _varint(own)
    graph = model.graph.ByteSize()
    return model.ByteSize() + more + _varint(graph + more) - _varint(graph)


def _bits_of(kind: int) -> int:
    widths = {container: bits for bits, (container, _) in INTEGER_CONTAINERS.items()}
    return widths.get(kind) or 8 * helper.tensor_dtype_to_np_dtype(kind).itemsize


def _varint(number: int) -> int:
    """Return how many bytes a length takes in a protobuf message."""
    return max(1, -(-number.bit_length() // 7))


_MANY, _FIRST = 64, 16
"""Floats that are worth a look whether they are there already, and how many tell most of them
apart."""


@dataclass
class OnnxGraph:
    """Nodes and initializers in the order they are added.

    Attributes:
        opset: Smallest opset version that has every operator used so far.
    """

    opset: int = 21
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    _known: dict[tuple[int, tuple[int, ...], bytes], str] = field(default_factory=dict)
    _large: dict[tuple[tuple[int, ...], bytes], dict[str, np.ndarray]] = field(default_factory=dict)

    def add(
        self, op_type: str, inputs: list[str], output: str, *, name: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output and return the output's name."""
        node = helper.make_node(op_type, inputs, [output], name=name or output, **attributes)
        self.nodes.append(node)
        return output

    def reshape(self, value: str, shape: list[int], output: str) -> str:
        """Add a Reshape; 0 keeps a dimension and -1 takes what is left."""
        target = self.constant(f"{output}_shape", np.array(shape, dtype=np.int64))
        return self.add("Reshape", [value, target], output)

    def constant(self, name: str, values: np.ndarray) -> str:
        """Add an initializer, once, and return its name; a masked weight is 0.0, never -0.0.

        Many floats that are there already, as of a layer that a graph uses twice, keep the name
        that they have.
        """
        if isinstance(values, Unknown):
            return self._unknown(name, values.shape, TensorProto.FLOAT)
        if name not in self.initializers:
            values = np.asarray(values + values.dtype.type(0), order="C")
            if values.ndim > 1 and values.dtype == np.float32 and values.size >= _MANY:
                alike = self._large.setdefault((values.shape, values.flat[:_FIRST].tobytes()), {})
                known = (n for n, other in alike.items() if np.array_equal(other, values))
                if (own := next(known, name)) != name:
                    return own
                alike[name] = values
            self.initializers[name] = numpy_helper.from_array(values, name)
        return name

    def shared(self, name: str, values: np.ndarray) -> str:
        """Add an initializer unless the same numbers are there; returns whose name they have.

        For what many grids of activations have in common. Weights keep zero points of their own:
        where ONNX Runtime widens weights, it would replace a common one twice and give up.
        """
        if isinstance(values, Unknown):
            return self.constant(name, values)
        key = (helper.np_dtype_to_tensor_dtype(values.dtype), values.shape, values.tobytes())
        if key not in self._known:
            self._known[key] = self.constant(name, values)
        return self._known[key]

    def integers(self, name: str, values: np.ndarray, bits: int) -> str:
        """Add signed integers in the smallest container that holds ``bits``; returns the name."""
        width = container_for(bits)
        kind, opset = INTEGER_CONTAINERS[width]
        self.opset = max(self.opset, opset)
        if isinstance(values, Unknown):
            return self._unknown(name, values.shape, kind)
        if width >= 8:
            return self.constant(name, values.astype(np.int8 if width == 8 else np.int16))
        tensor = TensorProto(data_type=kind, dims=values.shape, name=name)
        tensor.raw_data = _pack(values, width)
        self.initializers[name] = tensor
        return name

    def _unknown(self, name: str, shape: tuple[int, ...], kind: int) -> str:
        self.initializers[name] = TensorProto(data_type=kind, dims=shape, name=name)
        return name

    def model(
        self,
        inputs: list[tuple[str, list[int | str]]],
        outputs: list[tuple[str, list[int | str]]],
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """Return the finished model; inputs and outputs are float32 of the given shapes."""
        graph = helper.make_graph(
            self.nodes,
            "optim",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in inputs],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs],
            list(self.initializers.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset)],
            producer_name="optim-studio",
            ir_version=_IR_VERSIONS[self.opset],
        )
        helper.set_model_props(model, metadata)
        return model


_EXACT = 2**22
"""Below it a whole number times a float32 scale gives the same number when divided again."""


def slim_(model: onnx.ModelProto) -> None:
    """Leave out of a file of ours what a runtime makes itself, and shorten names, in place."""
    _lighten_(model)
    shorten_names_(model, layers=True)


def _lighten_(model: onnx.ModelProto) -> None:
    """Leave out of convolutions between quantizers what a runtime makes itself, in place.

    Zero points of a weight that are 0 need not be said. An int32 bias takes a scale for every
    number; ONNX Runtime makes the same int32 of one in float32 when it loads the file, from 1.21
    on. Of dense layers it takes neither: those would be computed in floating point.
    """
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[str]] = {value.name: ["output"] for value in graph.output}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    gone: set[str] = set()
    made: dict[str, onnx.TensorProto] = {}
    for node in graph.node:
        if node.op_type != "Conv" or set(readers.get(node.output[0], ())) != {"QuantizeLinear"}:
            continue
        weight = makers.get(node.input[1])
        if weight is None or weight.op_type != "DequantizeLinear":
            continue
        if len(weight.input) == 3 and _is_zero(stored.get(weight.input[2])):
            gone.add(weight.input.pop())
        bias = makers.get(node.input[2]) if len(node.input) == 3 else None
        if bias is None or bias.op_type != "DequantizeLinear" or len(bias.input) != 2:
            continue
        codes, scale = (numpy_helper.to_array(stored[name]) for name in bias.input)
        if np.abs(codes.astype(np.int64)).max() < _EXACT:
            gone.update(bias.input)
            values = codes.astype(np.float32) * scale
            made[bias.output[0]] = numpy_helper.from_array(values, bias.output[0])
    nodes = [node for node in graph.node if not (node.output and node.output[0] in made)]
    used = {name for node in nodes for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name not in gone - used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*tensors, *made.values()])


def _is_zero(tensor: onnx.TensorProto | None) -> bool:
    return tensor is not None and not any(tensor.raw_data) and tensor.HasField("raw_data")


def shorten_names_(
    model: onnx.ModelProto, kept: Collection[str] = (), *, layers: bool = False
) -> None:
    """Give the values of a graph names of a letter or two, and its nodes none, in place.

    Of a small network whose weights are integers, names would take more bytes than all biases and
    scales. A graph with branches or loops is left as it is: their bodies refer to its values by
    name.

    Args:
        model: What is changed.
        kept: Names that stay, besides those of inputs and outputs.
        layers: Whether only what lies between layers is renamed: grids with their scales, and
            single numbers. A reader and a profiler tell layers apart by their own names, by those
            of their weights, and by those of the values they write.
    """
    graph = model.graph
    if any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute):
        return
    fixed = {"", *kept, *(value.name for value in (*graph.input, *graph.output))}
    if layers:
        others = [node for node in graph.node if node.op_type not in _BETWEEN_LAYERS]
        constants = {tensor.name for tensor in graph.initializer}
        read = {
            name
            for node in others
            for name in node.input
            # A bias beside a weight of integers: a reader knows it by the weight.
            if not (node.op_type == "Conv" and node.input[1] not in constants and name in constants)
        }
        fixed |= {
            tensor.name
            for tensor in graph.initializer
            if len(tensor.dims) > 1 or (prod(tensor.dims) != 1 and tensor.name in read)
        }
        fixed |= {name for node in others for name in node.output}
    fresh = (name for name in _names() if name not in fixed)
    short: dict[str, str] = {name: name for name in fixed}
    for node in graph.node:
        if not layers or node.op_type in _BETWEEN_LAYERS:
            node.ClearField("name")
        node.ClearField("doc_string")
        for field_ in (node.input, node.output):
            for i, name in enumerate(field_):
                if name not in short:
                    short[name] = next(fresh)
                field_[i] = short[name]
    for tensor in graph.initializer:
        tensor.name = short.get(tensor.name, tensor.name)
    del graph.value_info[:]


_BETWEEN_LAYERS = frozenset({"Cast", "Clip", "DequantizeLinear", "QuantizeLinear"})
"""Operators that belong to no layer of a reader's network."""


def _names() -> Iterator[str]:
    """Return short names without end."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    yield from letters
    for first in _names():
        yield from (first + letter for letter in letters)


def _pack(values: np.ndarray, bits: int) -> bytes:
    """Pack small signed integers into bytes, first value in the low bits (the ONNX layout)."""
    a_byte = 8 // bits
    codes = values.astype(np.int8).reshape(-1).view(np.uint8) & (2**bits - 1)
    codes = np.pad(codes, (0, -len(codes) % a_byte)).reshape(-1, a_byte)
    shifts = np.arange(a_byte, dtype=np.uint8) * bits
    return np.bitwise_or.reduce(codes << shifts, axis=1).astype(np.uint8).tobytes()
