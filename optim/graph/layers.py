"""Which nodes of an ONNX graph hold weights, and how those weights are arranged.

A *layer* is one weight of one node: an LSTM, which has two, is two layers. Techniques see every
weight as they see those of torch, ``(O, I, ...)`` with output channels first, however the file
stores it; :class:`Layout` goes both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from optim.errors import UnsupportedModelError
from optim.graph.skeleton import STANDARD
from optim.layers.grid import Grid
from optim.layers.table import QuantizedWeight

__all__ = [
    "GraphLayer",
    "Layout",
    "attribute_of",
    "graph_layers",
    "kept_layers",
    "node_layers",
    "read_weights",
    "replace_initializers",
    "replace_layer_weights",
    "stored_weights",
]


@dataclass(frozen=True)
class Layout:
    """How a stored weight becomes ``(O, I, ...)``.

    Attributes:
        order: Axes of the stored weight in the order output channels, inputs, rest.
        joined: How many leading axes are one after that: directions and gates of an LSTM.
    """

    order: tuple[int, ...]
    joined: int = 1

    @property
    def axis(self) -> int:
        """Axis of the stored weight along which the output channels lie."""
        return self.order[self.joined - 1]

    @property
    def back(self) -> tuple[int, ...]:
        """Order of the axes that undoes :attr:`order`."""
        return tuple(int(i) for i in np.argsort(self.order))

    def sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the sizes as ``(O, I, ...)`` of what is stored in a shape."""
        moved = [shape[i] for i in self.order]
        return (prod(moved[: self.joined]), *moved[self.joined :])

    def rows(self, stored: Tensor) -> Tensor:
        """Return a stored weight as ``(O, I, ...)``."""
        moved = stored.permute(self.order)
        return moved.flatten(0, self.joined - 1) if self.joined > 1 else moved

    def stored(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return ``(O, I, ...)`` as it is stored in that shape."""
        return rows.reshape([shape[i] for i in self.order]).permute(self.back)


@dataclass(frozen=True)
class GraphLayer:
    """One weight of one node.

    Attributes:
        name: Name of the node, or of its output where it has none of its own; of recurrent nodes
            followed by ``.W`` (inputs) or ``.R`` (recurrence).
        kind: ``"conv"``, ``"conv_transpose"``, ``"linear"``, ``"embedding"`` or ``"recurrent"``.
        node: Index of the node in the graph.
        weight: Name of the weight.
        bias: Name of the constant bias in the node itself; empty if there is none.
        layout: How the weight is arranged.
        shape: Sizes of the weight as it is stored.
    """

    name: str
    kind: str
    node: int
    weight: str
    bias: str
    layout: Layout
    shape: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the weight as ``(O, I, ...)``."""
        return self.layout.sizes(self.shape)


def attribute_of(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute of a node, or ``default`` where it leaves it out."""
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def graph_layers(model: onnx.ModelProto) -> list[GraphLayer]:
    """Return the layers of a graph in the order in which its nodes stand.

    A weight that several nodes read belongs to the first of them. Weights that the file stores as
    integers are found as well, see :func:`stored_weights`.
    """
    found: dict[str, GraphLayer] = {}
    for layer in node_layers(model):
        found.setdefault(layer.weight, layer)
    return list(found.values())


def node_layers(model: onnx.ModelProto) -> list[GraphLayer]:
    """Return a layer for every node that reads a weight, whoever else reads it."""
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    shapes |= {
        node.output[0]: shapes[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in shapes
    }
    names = _node_names(model.graph)
    found = []
    for index, node in enumerate(model.graph.node):
        read = _READERS.get(node.op_type)
        if read is None or node.domain not in STANDARD:
            continue
        for suffix, position, kind, layout in read(node, shapes):
            weight = node.input[position]
            bias = _bias_of(node, kind, shapes)
            name = f"{names[index]}{suffix}"
            found.append(GraphLayer(name, kind, index, weight, bias, layout, shapes[weight]))
    return found


def _node_names(graph: onnx.GraphProto) -> list[str]:
    """Return a name for every node that no other node has."""
    counts: dict[str, int] = {}
    for node in graph.node:
        counts[node.name] = counts.get(node.name, 0) + 1
    return [
        node.name if node.name and counts[node.name] == 1 else next(iter(node.output), "")
        for node in graph.node
    ]


def _bias_of(node: onnx.NodeProto, kind: str, shapes: Mapping[str, Any]) -> str:
    position = 3 if kind == "recurrent" else 2
    name = node.input[position] if len(node.input) > position else ""
    return name if kind != "embedding" and name in shapes else ""


_Shapes = Mapping[str, tuple[int, ...]]
_Found = list[tuple[str, int, str, Layout]]


def _conv(node: onnx.NodeProto, shapes: _Shapes) -> _Found:
    shape = shapes.get(node.input[1], ())
    return [("", 1, "conv", Layout(tuple(range(len(shape)))))] if len(shape) > 2 else []


def _conv_transpose(node: onnx.NodeProto, shapes: _Shapes) -> _Found:
    shape = shapes.get(node.input[1], ())
    if len(shape) < 3:
        return []
    return [("", 1, "conv_transpose", Layout((1, 0, *range(2, len(shape)))))]


def _gemm(node: onnx.NodeProto, shapes: _Shapes) -> _Found:
    if len(shapes.get(node.input[1], ())) != 2:
        return []
    layout = Layout((0, 1) if attribute_of(node, "transB", 0) else (1, 0))
    return [("", 1, "linear", layout)]


def _matmul(node: onnx.NodeProto, shapes: _Shapes) -> _Found:
    """Return the constant factor: ``x @ w`` has outputs last, ``w @ x`` last but one."""
    for position in (1, 0):
        rank = len(shapes.get(node.input[position], ()))
        if rank >= 2:
            ends = (rank - 1, rank - 2) if position else (rank - 2, rank - 1)
            return [("", position, "linear", Layout((*ends, *range(rank - 2))))]
    return []


def _gather(node: onnx.NodeProto, shapes: _Shapes) -> _Found:
    shape = shapes.get(node.input[0], ())
    if len(shape) != 2 or attribute_of(node, "axis", 0) != 0:
        return []
    return [("", 0, "embedding", Layout((0, 1)))]


def _recurrent(node: onnx.NodeProto, shapes: _Shapes) -> _Found:
    return [
        (suffix, position, "recurrent", Layout((0, 1, 2), joined=2))
        for suffix, position in ((".W", 1), (".R", 2))
        if len(shapes.get(node.input[position], ())) == 3
    ]


_READERS: dict[str, Callable[[onnx.NodeProto, _Shapes], _Found]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Gather": _gather,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}


# --- weights --------------------------------------------------------------------------------------


def read_weights(model: onnx.ModelProto) -> dict[str, Tensor]:
    """Return ``{layer: (O, I, ...) float32 weight}`` of the layers that store floating point."""
    tensors = {t.name: t for t in model.graph.initializer}
    return {
        layer.name: layer.layout.rows(torch.from_numpy(_values(tensors[layer.weight])))
        for layer in graph_layers(model)
        if layer.weight in tensors and tensors[layer.weight].data_type == TensorProto.FLOAT
    }


def kept_layers(model: onnx.ModelProto) -> dict[str, str]:
    """Return ``{layer: reason}`` of the layers whose weights are left as they are stored."""
    tensors = {t.name: t for t in model.graph.initializer}
    found = {}
    for layer in graph_layers(model):
        if layer.weight not in tensors:
            found[layer.name] = "the file stores its weights as integers already"
        elif (kind := tensors[layer.weight].data_type) != TensorProto.FLOAT:
            stored = TensorProto.DataType.Name(kind).lower()
            found[layer.name] = f"its weights are {stored}, and only float32 is changed"
    return found


def replace_layer_weights(model: onnx.ModelProto, weights: Mapping[str, Tensor]) -> onnx.ModelProto:
    """Return a copy of a graph with other weights ``(O, I, ...)`` in some layers.

    A masked weight becomes 0.0, never -0.0.
    """
    changed = {
        layer.weight: layer.layout.stored(weights[layer.name] + 0.0, layer.shape).numpy()
        for layer in graph_layers(model)
        if layer.name in weights
    }
    return replace_initializers(model, changed)


def replace_initializers(
    model: onnx.ModelProto, values: Mapping[str, np.ndarray]
) -> onnx.ModelProto:
    """Return a copy of a graph with other values in some initializers."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.name in values:
            array = np.asarray(values[tensor.name], order="C")
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return changed


def _values(tensor: onnx.TensorProto) -> np.ndarray:
    try:
        # A copy: what a protocol buffer lends can only be read.
        return np.array(numpy_helper.to_array(tensor))
    except Exception as error:
        # A tensor whose bytes and sizes contradict each other fails in many ways.
        raise UnsupportedModelError(f"The constant {tensor.name!r} is damaged.") from error


# --- weights that a file stores as integers -------------------------------------------------------


def stored_weights(model: onnx.ModelProto) -> dict[str, QuantizedWeight]:
    """Return the weights that a file stores as integers behind a DequantizeLinear, by layer.

    Blocks of scales and what is computed in other ways are left out.
    """
    tensors = {t.name: t for t in model.graph.initializer}
    readers = {
        node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"
    }
    found = {}
    for layer in graph_layers(model):
        node = readers.get(layer.weight)
        if node is None or not all(name in tensors for name in node.input if name):
            continue
        stored = _stored(node, tensors, layer)
        if stored is not None:
            found[layer.name] = stored
    return found


_STORED_BITS: dict[int, int] = {
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.INT16: 16,
    TensorProto.UINT16: 16,
}
_UNSIGNED = (TensorProto.UINT2, TensorProto.UINT4, TensorProto.UINT8, TensorProto.UINT16)


def _stored(
    node: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto], layer: GraphLayer
) -> QuantizedWeight | None:
    kind = tensors[node.input[0]].data_type
    scale = torch.from_numpy(_values(tensors[node.input[1]])).float().reshape(-1)
    channels = layer.sizes[0]
    along = attribute_of(node, "axis", 1) % len(layer.shape) == layer.layout.axis
    is_channel = scale.numel() == channels and along and layer.layout.joined == 1
    if kind not in _STORED_BITS or not (scale.numel() == 1 or is_channel):
        return None
    bits = _STORED_BITS[kind]
    middle = 2 ** (bits - 1) if kind in _UNSIGNED else 0
    zero: np.ndarray = np.zeros(scale.numel(), dtype=np.int64)
    if len(node.input) > 2 and node.input[2]:
        zero = _values(tensors[node.input[2]]).astype(np.int64).reshape(-1)
    integers = _values(tensors[node.input[0]]).astype(np.int64) - middle
    codes = layer.layout.rows(torch.from_numpy(integers.astype(np.int16)))
    zero_point = torch.from_numpy(zero - middle).to(torch.int32).expand(scale.numel()).clone()
    grid = Grid(
        -(2 ** (bits - 1)),
        2 ** (bits - 1) - 1,
        not bool(zero_point.any()),
        "per_channel" if is_channel else "per_tensor",
    )
    rows = codes.reshape(channels, -1) if is_channel else codes.reshape(1, -1)
    return QuantizedWeight(grid, scale, zero_point, rows.to(torch.int16))
