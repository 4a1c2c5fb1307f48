"""Parameters, multiply-accumulates and zeros of an ONNX file, without converting it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from optim.graph.layers import GraphLayer, attribute_of, graph_layers
from optim.graph.skeleton import ValueType, value_types
from optim.measure.macs import LayerCost, einsum_macs
from optim.models.convert.kinds import RECURRENT
from optim.models.interface import Interface
from optim.quantity import How, Quantity

__all__ = ["graph_costs", "graph_layer_costs"]

_Sizes = Mapping[str, list[int]]


def graph_costs(
    file: bytes, interface: Interface | None = None, shape: tuple[int, ...] = ()
) -> tuple[Quantity, Quantity, Quantity]:
    """Return parameters, MACs for one sample, and the share of zeros in the weights.

    Counted are convolutions, matrix products and recurrent layers whose sizes shape inference can
    tell; sizes that nobody says count as one.

    Args:
        file: An ONNX file.
        interface: How it is run, if that is known: settles sizes that the file leaves free.
        shape: Of one sample.
    """
    model = onnx.load_from_string(file)
    sizes = _sizes(value_types(model, interface.sizes(shape) if interface else None))
    batch = max(1, interface.batch) if interface else 1
    numbers = total = zeros = 0
    for tensor in _tensors(model.graph):
        numbers += prod(tensor.dims)
        if len(tensor.dims) > 1:
            array = numpy_helper.to_array(tensor)
            total += array.size
            zeros += array.size - int(np.count_nonzero(array))
    macs = sum(_macs(node, sizes) for node in model.graph.node) // batch
    how = How.MEASURED if all(_is_known(n, sizes) for n in model.graph.node) else How.ESTIMATED
    return (
        Quantity.exact(numbers, "params"),
        Quantity.exact(macs, "macs", how),
        Quantity.exact(zeros / total if total else 0.0, "fraction"),
    )


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the constants of a graph, in nodes and in the bodies of branches and loops as well."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.t.data_type in _FLOATS:
                yield attribute.t
            for body in (attribute.g, *attribute.graphs):
                yield from _tensors(body)


_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def graph_layer_costs(
    model: onnx.ModelProto, interface: Interface | None = None, shape: tuple[int, ...] = ()
) -> list[LayerCost]:
    """Return the cost of every layer of a graph, and of the products of two activations.

    See :func:`graph_costs` for the arguments.
    """
    sizes = _sizes(value_types(model, interface.sizes(shape) if interface else None))
    batch = max(1, interface.batch) if interface else 1
    layers: dict[int, list[GraphLayer]] = {}
    for layer in graph_layers(model):
        layers.setdefault(layer.node, []).append(layer)
    costs = []
    for index, node in enumerate(model.graph.node):
        outputs = prod(sizes.get(node.output[0], [0])) // batch if node.output else 0
        for layer in layers.get(index, []):
            params = prod(layer.shape) + prod(sizes.get(layer.bias, [0]) if layer.bias else [0])
            macs = _layer_macs(node, layer, sizes) // batch
            costs.append(LayerCost(layer.name, layer.kind, layer.sizes, params, macs, outputs))
        if index not in layers and (macs := _macs(node, sizes) // batch):
            name = node.name or node.output[0]
            kind = "einsum" if node.op_type == "Einsum" else "matmul"
            costs.append(LayerCost(name, kind, (), 0, macs, outputs))
    return costs


def _sizes(types: Mapping[str, ValueType]) -> dict[str, list[int]]:
    """Return the sizes that are known; free ones are one."""
    return {
        name: [max(1, size) for size in value.shape]
        for name, value in types.items()
        if value.shape is not None
    }


def _layer_macs(node: onnx.NodeProto, layer: GraphLayer, sizes: _Sizes) -> int:
    """Return the MACs of one weight of a node."""
    if layer.kind == "recurrent":
        return _read_rows(node, sizes) * prod(layer.shape)
    return 0 if layer.kind == "embedding" else _macs(node, sizes)


def _is_known(node: onnx.NodeProto, sizes: _Sizes) -> bool:
    """Whether the work of a node can be told: it is none, or its sizes are known."""
    return node.op_type not in _WORKING or (bool(node.output) and node.output[0] in sizes)


_CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")
_PRODUCTS = ("MatMul", "Gemm", "MatMulInteger")
_WORKING = frozenset({*_CONVOLUTIONS, "ConvTranspose", *_PRODUCTS, *RECURRENT, "Einsum"})


def _macs(node: onnx.NodeProto, sizes: _Sizes) -> int:
    output = sizes.get(node.output[0]) if node.output else None
    if output is None:
        return 0
    if node.op_type in _CONVOLUTIONS:
        weight = sizes.get(node.input[3 if node.op_type == "QLinearConv" else 1])
        return prod(output) * prod(weight[1:]) if weight else 0
    if node.op_type == "ConvTranspose":
        # Every input meets every weight of its channel.
        given, weight = sizes.get(node.input[0]), sizes.get(node.input[1])
        return prod(given) * prod(weight[1:]) if given and weight else 0
    if node.op_type in _PRODUCTS:
        left = sizes.get(node.input[0])
        transposed = attribute_of(node, "transA", 0)
        return prod(output) * (left[-2 if transposed else -1]) if left else 0
    if node.op_type in RECURRENT:
        weights = sum(prod(sizes.get(name, [0])) for name in node.input[1:3])
        return _read_rows(node, sizes) * weights
    if node.op_type == "Einsum":
        shapes = [sizes[name] for name in node.input if name in sizes]
        if len(shapes) == len(node.input):
            return einsum_macs(attribute_of(node, "equation", b"").decode(), shapes)
    return 0


def _read_rows(node: onnx.NodeProto, sizes: _Sizes) -> int:
    """Return the rows that a recurrent layer reads: steps of all sequences of a batch."""
    return prod(sizes.get(node.input[0], [1])[:2])
