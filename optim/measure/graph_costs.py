"""Parameters, multiply-accumulates and zeros of an ONNX file, without converting it.

Sizes come from shape inference. Where it loses them, as behind a ``Reshape`` whose sizes are
computed, the file is run once and they are read there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from optim.errors import ExportError, MeasurementError
from optim.graph.layers import GraphLayer, attribute_of, graph_layers
from optim.graph.skeleton import skeleton, value_types
from optim.hashing import digest, digest_bytes
from optim.measure.macs import LayerCost, einsum_macs
from optim.models.convert.kinds import RECURRENT
from optim.models.interface import Interface
from optim.quantity import How, Quantity
from optim.runtime.session import InferenceSession

__all__ = ["graph_costs", "graph_layer_costs"]

_Shape = tuple[int, ...]
_Sizes = Mapping[str, _Shape]


def graph_costs(
    file: bytes, interface: Interface | None = None, shape: tuple[int, ...] = ()
) -> tuple[Quantity, Quantity, Quantity]:
    """Return parameters, MACs for one sample, and the share of zeros in the weights.

    Counted are convolutions, matrix products and recurrent layers. Sizes that neither the file nor
    a run of it tells count as one, and the figure is an estimate.

    Args:
        file: An ONNX file.
        interface: How it is run, if that is known: settles sizes that the file leaves free.
        shape: Of one sample.
    """
    model = onnx.load_from_string(file)
    sizes, are_known = _sizes(model, interface, shape)
    batch = max(1, interface.batch) if interface else 1
    numbers = total = zeros = 0
    for tensor in _tensors(model.graph):
        numbers += prod(tensor.dims)
        if len(tensor.dims) > 1:
            array = numpy_helper.to_array(tensor)
            total += array.size
            zeros += array.size - int(np.count_nonzero(array))
    macs = sum(_macs(node, sizes) for node in model.graph.node) // batch
    how = How.MEASURED if are_known else How.ESTIMATED
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
    sizes, _ = _sizes(model, interface, shape)
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


def _sizes(
    model: onnx.ModelProto, interface: Interface | None, shape: _Shape
) -> tuple[_Sizes, bool]:
    """Return the sizes of values, free ones as one, and whether all that work needs are known."""
    interface, shape = _run_with(model, interface, shape)
    types = value_types(model, interface.sizes(shape) if interface else None)
    told = {name: value.shape for name, value in types.items() if value.shape is not None}
    known = {name: sizes for name, sizes in told.items() if 0 not in sizes}
    if interface and (unknown := _unknown(model.graph, known)):
        known |= _sizes_in_a_run(model, interface, shape, unknown)
    free = {name: tuple(max(1, size) for size in sizes) for name, sizes in told.items()}
    return free | known, not _unknown(model.graph, known)


def _run_with(
    model: onnx.ModelProto, interface: Interface | None, shape: _Shape
) -> tuple[Interface | None, _Shape]:
    """Return how a file is run, by what it declares where nobody says; None if that is open."""
    if interface:
        return interface, shape
    constants = {tensor.name for tensor in model.graph.initializer}
    given = [value for value in model.graph.input if value.name not in constants]
    declared = [d.dim_value for d in given[0].type.tensor_type.shape.dim] if given else []
    shape = shape or tuple(declared[1:])
    if not shape or 0 in shape:
        return None, ()
    return Interface(given[0].name, batch=declared[0] if declared else 0), shape


def _unknown(graph: onnx.GraphProto, known: _Sizes) -> list[str]:
    """Return the values that nodes which multiply read or write and whose sizes are not known."""
    needed = {
        name
        for node in graph.node
        if node.op_type in _WORKING
        for name in (*node.input, *node.output[:1])
        if name
    }
    return sorted(needed - known.keys())


def _sizes_in_a_run(
    model: onnx.ModelProto, interface: Interface, shape: _Shape, names: Sequence[str]
) -> _Sizes:
    """Return the sizes that values have when the file is run once on drawn inputs.

    Nothing if it cannot be run: an operator is missing here, or an input nobody feeds.
    """
    small = skeleton(model).SerializeToString(deterministic=True)
    fed = {name: list(sizes) for name, sizes in interface.sizes(shape).items()}
    key = digest(digest_bytes(small), fed)
    if key in _SIZES:
        return _SIZES[key]
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(map(helper.make_empty_tensor_value_info, names))
    try:
        session = InferenceSession.open(shown, 1, interface.unread(), level="off")
        values = session.values(interface.draw(shape, interface.batch or 1))
        found = {name: np.shape(value) for name, value in zip(names, values, strict=True)}
    except (ExportError, MeasurementError):
        found = {}
    if len(_SIZES) >= _KEPT_SIZES:
        _SIZES.clear()
    _SIZES[key] = found
    return found


_KEPT_SIZES = 64
_SIZES: dict[str, _Sizes] = {}
"""What was found by running files, by their structure and the sizes they are run with."""


def _layer_macs(node: onnx.NodeProto, layer: GraphLayer, sizes: _Sizes) -> int:
    """Return the MACs of one weight of a node."""
    if layer.kind == "recurrent":
        return _read_rows(node, sizes) * prod(layer.shape)
    return 0 if layer.kind == "embedding" else _macs(node, sizes)


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
