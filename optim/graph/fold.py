"""The graph that is quantized: constants computed, batch norms folded into what precedes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, inliner, numpy_helper

from optim.errors import UnsupportedModelError
from optim.graph.layers import GraphLayer, attribute_of, node_layers
from optim.graph.skeleton import STANDARD, opset_of

__all__ = ["drop_unread", "evaluate_node", "fold", "names_read"]

_MOVES = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators after which a constant weight is still that weight."""
_FREE_CONSTANTS = 4
"""Oldest file format in which constants are no inputs."""
_HOLDERS = frozenset({"conv", "conv_transpose", "linear"})
"""Kinds of the layers that a batch norm folds into."""


def fold(model: onnx.ModelProto, kept: Collection[str] = ()) -> onnx.ModelProto:
    """Return a graph that computes the same with fewer nodes; the given one is unchanged.

    Functions are unfolded, constants that stand in nodes or are only moved become initializers,
    batch norms are folded into the convolution or product before them, and what nobody reads is
    left out. Folding twice changes nothing.

    Args:
        model: The graph.
        kept: Values inside the graph that somebody reads; they are computed as before.

    Raises:
        UnsupportedModelError: If functions cannot be unfolded or a constant is damaged.
    """
    folded = onnx.ModelProto()
    try:
        folded.CopyFrom(inliner.inline_local_functions(model) if model.functions else model)
    except Exception as error:
        # onnx raises classes of its own that share no base but Exception.
        raise UnsupportedModelError("The functions of the graph cannot be unfolded.") from error
    _free_constants(folded)
    _fold_constants(folded, kept)
    _fold_norms(folded, kept)
    drop_unread(folded.graph, kept)
    return folded


def _free_constants(model: onnx.ModelProto) -> None:
    """Take constants out of the inputs, where old files repeat them: nobody replaces weights."""
    constants = {t.name for t in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) < len(model.graph.input):
        kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in inputs]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        model.ir_version = max(model.ir_version, _FREE_CONSTANTS)


def evaluate_node(
    node: onnx.NodeProto, opset: int, arrays: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """Return what a node gives for constant inputs, by onnx's reference implementation.

    Raises:
        Exception: Of any kind; NumPy and the reference operators raise whatever they raise.
    """
    from onnx.reference import ReferenceEvaluator

    # As a function: of a lone node, the evaluator takes the newest version.
    function = helper.make_function(
        "fold", "Fold", list(arrays), list(node.output), [node], [helper.make_opsetid("", opset)]
    )
    return [np.asarray(result) for result in ReferenceEvaluator(function).run(None, arrays, {})]


def names_read(graph: onnx.GraphProto) -> Counter[str]:
    """Return how often each value is read, by nodes of inner graphs and as a result as well."""
    read = Counter(value.name for value in graph.output)
    for node in graph.node:
        read.update(name for name in node.input if name)
        for inner in _inner_graphs(node):
            read.update(names_read(inner))
    return read


def _inner_graphs(node: onnx.NodeProto) -> Iterable[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


# --- constants ------------------------------------------------------------------------------------


def _fold_constants(model: onnx.ModelProto, kept: Collection[str]) -> None:
    graph, opset = model.graph, opset_of(model)
    known = {t.name: t for t in graph.initializer}
    results = {*kept, *(value.name for value in graph.output)}
    nodes, made = [], []
    for node in graph.node:
        tensor = _constant_of(node, known, opset)
        if tensor is None or node.output[0] in results:
            nodes.append(node)
        else:
            known[tensor.name] = tensor
            made.append(tensor)
    if made:
        _replace_nodes(graph, nodes)
        graph.initializer.extend(made)


def _constant_of(
    node: onnx.NodeProto, known: Mapping[str, onnx.TensorProto], opset: int
) -> onnx.TensorProto | None:
    """Return the constant that a node amounts to, or None."""
    if node.domain not in STANDARD or len(node.output) != 1:
        return None
    if node.op_type == "Constant":
        if (value := attribute_of(node, "value")) is not None:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
            return tensor
        inputs: dict[str, np.ndarray] = {}
    elif node.op_type in _MOVES and all(name in known for name in node.input if name):
        inputs = {name: numpy_helper.to_array(known[name]) for name in node.input if name}
    else:
        return None
    try:
        (array,) = evaluate_node(node, opset, inputs)
        return numpy_helper.from_array(np.asarray(array, order="C"), node.output[0])
    except Exception as error:
        # The reference evaluator raises whatever NumPy and its own operators raise.
        raise UnsupportedModelError(
            f"{node.op_type} {node.name or node.output[0]!r} cannot be computed from its "
            f"constants: {error}."
        ) from error


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


# --- batch norm -----------------------------------------------------------------------------------


def _fold_norms(model: onnx.ModelProto, kept: Collection[str]) -> None:
    graph = model.graph
    tensors = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    read = names_read(graph) + Counter(kept)
    makers = {
        graph.node[layer.node].output[0]: layer
        for layer in node_layers(model)
        if layer.kind in _HOLDERS and _takes_norm(graph.node[layer.node], layer, tensors)
    }
    nodes = []
    for norm in graph.node:
        layer = makers.get(norm.input[0]) if norm.input else None
        if layer is None or read[norm.input[0]] != 1 or not _is_plain_norm(norm, tensors):
            nodes.append(norm)
            continue
        node = graph.node[layer.node]
        for position, name, array in _with_norm(layer, norm, tensors, read):
            tensor = numpy_helper.from_array(np.asarray(array, np.float32, order="C"), name)
            if name in tensors:
                tensors[name].CopyFrom(tensor)
            else:
                graph.initializer.append(tensor)
            while len(node.input) <= position:
                node.input.append("")
            node.input[position] = name
        node.output[0] = norm.output[0]
    if len(nodes) < len(graph.node):
        _replace_nodes(graph, nodes)


def _is_plain_norm(norm: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a node is a batch norm with constant statistics and one result."""
    return (
        norm.op_type == "BatchNormalization"
        and norm.domain in STANDARD
        and len([name for name in norm.output if name]) == 1
        and not attribute_of(norm, "training_mode", 0)
        and attribute_of(norm, "spatial", 1) == 1
        and all(name in tensors for name in norm.input[1:])
    )


def _takes_norm(
    node: onnx.NodeProto, layer: GraphLayer, tensors: Mapping[str, onnx.TensorProto]
) -> bool:
    """Whether scaling the outputs of a node is scaling its weight and its bias."""
    has_bias = len(node.input) > 2 and bool(node.input[2])
    if layer.weight not in tensors or (has_bias and layer.bias not in tensors):
        return False
    if node.op_type == "Gemm":
        return attribute_of(node, "alpha", 1.0) == 1.0 and attribute_of(node, "beta", 1.0) == 1.0
    return node.op_type == "Conv" or (
        node.op_type == "ConvTranspose" and attribute_of(node, "group", 1) == 1
    )


def _with_norm(
    layer: GraphLayer,
    norm: onnx.NodeProto,
    tensors: Mapping[str, onnx.TensorProto],
    read: Mapping[str, int],
) -> list[tuple[int, str, np.ndarray]]:
    """Return ``(position among the inputs, name, values)`` of a layer's weight and bias."""
    gamma, beta, mean, variance = (
        numpy_helper.to_array(tensors[name]).astype(np.float64) for name in norm.input[1:5]
    )
    scale = gamma / np.sqrt(variance + attribute_of(norm, "epsilon", 1e-5))
    shift = beta - mean * scale
    if layer.bias:
        shift = shift + scale * numpy_helper.to_array(tensors[layer.bias])
    weight = numpy_helper.to_array(tensors[layer.weight])
    axes = [-1 if i == layer.layout.axis else 1 for i in range(weight.ndim)]
    along = scale.astype(np.float32).reshape(axes)
    # A weight keeps its name where nobody else reads it.
    name = layer.weight if read[layer.weight] == 1 else f"{norm.output[0]}.folded_weight"
    return [(1, name, weight * along), (2, f"{norm.output[0]}.folded_bias", shift)]


# --- what nobody reads ----------------------------------------------------------------------------


def drop_unread(graph: onnx.GraphProto, kept: Collection[str] = ()) -> None:
    """Leave out nodes and constants that neither a result nor a kept value depends on."""
    read, nodes = names_read(graph) + Counter(kept), []
    for node in reversed(graph.node):
        if any(read[name] for name in node.output):
            nodes.append(node)
            continue
        read.subtract(name for name in node.input if name)
        for inner in _inner_graphs(node):
            read.subtract(names_read(inner))
    if len(nodes) < len(graph.node):
        _replace_nodes(graph, nodes[::-1])
    for index in reversed(range(len(graph.initializer))):
        if not read[graph.initializer[index].name]:
            del graph.initializer[index]
