"""Which values of an ONNX graph are quantized: those that integer kernels read.

As in the trainable lane (:mod:`optim.layers.quantized_graph`): the inputs of convolutions, products
with a constant, additions of two activations, concatenations and average pooling. What only moves
values (max pooling, reshape, transpose, ...) or puts zeros beside them, which lie on every grid,
passes the grid of its input on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto
from onnx.numpy_helper import to_array

from optim.graph.layers import GraphLayer, attribute_of, graph_layers
from optim.graph.skeleton import STANDARD, ValueType, value_types

__all__ = ["GraphPlan", "runs_on_integers"]

_COMBINES = frozenset({"Add", "Concat", "AveragePool", "GlobalAveragePool"})
_MOVES = frozenset(
    {
        *("DepthToSpace", "Flatten", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth"),
        *("Squeeze", "Transpose", "Unsqueeze"),
    }
)


@dataclass(frozen=True)
class GraphPlan:
    """Which values get a quantizer.

    Attributes:
        edges: Names of the values that are quantized by a grid of their own, in the order in which
            they are made.
        inherits: ``{value: edge}`` for values that keep the grid of an earlier one.
        inputs: ``{layer: edge}`` whose grid the input of a layer lies on.
    """

    edges: tuple[str, ...]
    inherits: Mapping[str, str]
    inputs: Mapping[str, str]

    @classmethod
    def of(cls, model: onnx.ModelProto, excluded: Iterable[str] = ()) -> GraphPlan:
        """Plan the quantizers of a folded graph.

        Args:
            model: Result of :func:`optim.graph.fold.fold`.
            excluded: Names of layers that stay in floating point.
        """
        graph, types = model.graph, value_types(model)
        constants = {t.name: t for t in graph.initializer}
        left = set(excluded)
        layers = {layer.node: layer for layer in graph_layers(model) if layer.name not in left}
        makers = {name: node for node in graph.node for name in node.output if name}
        wanted: set[str] = set()
        inherits: dict[str, str] = {}
        inputs: dict[str, str] = {}
        for index, node in enumerate(graph.node):
            for name in _inputs_on_integers(node, layers.get(index), constants, types):
                moved = []
                while name in makers and _moves(makers[name], constants):
                    moved.append(name)
                    name = makers[name].input[0]
                is_free = name not in constants and _is_float(name, types)
                if not is_free or _comes_from_integers(name, makers):
                    continue
                wanted.add(name)
                inherits.update(dict.fromkeys(moved, name))
                if index in layers:
                    inputs[layers[index].name] = name
        given = [value.name for value in graph.input]
        order = [*given, *(name for node in graph.node for name in node.output)]
        return cls(tuple(name for name in order if name in wanted), inherits, inputs)


def runs_on_integers(node: onnx.NodeProto, layer: GraphLayer) -> bool:
    """Whether runtimes have integer kernels for the node of a layer."""
    if node.op_type == "MatMul":
        return len(layer.shape) == 2 and layer.weight == node.input[1]
    if node.op_type == "Gemm":
        plain = attribute_of(node, "alpha", 1.0) == 1.0 and attribute_of(node, "beta", 1.0) == 1.0
        return plain and not attribute_of(node, "transA", 0)
    return node.op_type == "Conv"


def _inputs_on_integers(
    node: onnx.NodeProto,
    layer: GraphLayer | None,
    constants: Collection[str],
    types: Mapping[str, ValueType],
) -> list[str]:
    """Return the inputs of a node that an integer kernel would read."""
    if layer is not None:
        return [node.input[0]] if runs_on_integers(node, layer) else []
    if node.op_type not in _COMBINES or node.domain not in STANDARD:
        return []
    names = list(node.input)
    if node.op_type in ("Add", "Concat") and (
        any(name in constants for name in names) or not all(_is_float(n, types) for n in names)
    ):
        return []
    return names


def _moves(node: onnx.NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    if node.domain not in STANDARD or len([name for name in node.output if name]) != 1:
        return False
    return node.op_type in _MOVES or (node.op_type == "Pad" and _adds_zeros(node, constants))


def _adds_zeros(node: onnx.NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    if attribute_of(node, "mode", b"constant") != b"constant" or attribute_of(node, "value", 0.0):
        return False
    filler = node.input[2] if len(node.input) > 2 else ""
    return not filler or (filler in constants and not to_array(constants[filler]).any())


def _is_float(name: str, types: Mapping[str, ValueType]) -> bool:
    return name in types and types[name].kind == TensorProto.FLOAT


def _comes_from_integers(name: str, makers: Mapping[str, onnx.NodeProto]) -> bool:
    return name in makers and makers[name].op_type == "DequantizeLinear"
