"""Write an ONNX graph with its weights and values on their grids.

The counterpart of :mod:`optim.runtime.emit` for graphs that stay as they are: the nodes of the file
keep their names and their order, quantized weights are stored as integers behind what turns them
into floats, shared ones as their few values and which of them each weight takes, and
QuantizeLinear/DequantizeLinear pairs stand where values are quantized.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from optim.errors import UnsupportedModelError
from optim.graph.fold import drop_unread, names_read
from optim.graph.layers import GraphLayer, attribute_of, graph_layers, node_layers
from optim.graph.plan import GraphPlan, runs_on_integers
from optim.graph.skeleton import opset_of, raise_opset
from optim.layers.quantized_graph import bias_codes, bias_scale
from optim.layers.table import CompressionTable, QuantizedEdge, QuantizedWeight
from optim.models.interface import Interface
from optim.runtime.onnx_graph import OnnxGraph, opset_for
from optim.runtime.storing import (
    Place,
    quantize_edge,
    rank_bits,
    set_apart,
    store_bias,
    store_for_floats,
    store_for_integers,
    store_shared,
)

__all__ = ["emit_graph", "graph_bytes", "graph_kernel_owners"]


def graph_bytes(file: bytes, table: CompressionTable, interface: Interface | None = None) -> bytes:
    """Return an ONNX file as it is deployed: with its weights and values on their grids.

    Args:
        file: The float graph; returned as it is where nothing is quantized or shared.
        table: See :func:`emit_graph`.
        interface: How the graph is run; what is read inside it stays.
    """
    if not table.is_quantized:
        return file
    kept = interface.inside if interface else ()
    return emit_graph(onnx.load_from_string(file), table, kept).SerializeToString()


def emit_graph(
    model: onnx.ModelProto, table: CompressionTable, kept: Collection[str] = ()
) -> onnx.ModelProto:
    """Return a graph that computes with what the table says; the given one is unchanged.

    Args:
        model: A folded graph with float weights.
        table: Quantized and shared weights by layer name, quantized values by their names.
        kept: Values inside the graph that somebody reads.

    Raises:
        UnsupportedModelError: If the graph cannot be rewritten in an operator set that has the
            integers wanted.
    """
    written = onnx.ModelProto()
    written.CopyFrom(model)
    widths = [w.grid.bits for w in table.weights.values()]
    widths += [max(2, rank_bits(shared)) for shared in table.codebooks.values()]
    opset = max((opset_for(width) for width in widths), default=0)
    opset = max(opset, OnnxGraph().opset)
    # Bytes are in every operator set, and are all that a graph of shared weights needs.
    if not raise_opset(written, opset) and (table.weights or table.edges):
        raise UnsupportedModelError(
            f"The file is written in opset {opset_of(model)}, and onnx cannot rewrite it in opset "
            f"{opset}, which the integers need.",
            hint="Export it again in a newer opset.",
        )
    _Writer(written, table).write()
    drop_unread(written.graph, kept)
    return written


_FUSED = frozenset({"Relu", "Clip", "Gelu", "HardSwish", "LeakyRelu", "Mish", "Sigmoid", "Tanh"})


def graph_kernel_owners(model: onnx.ModelProto) -> dict[str, str]:
    """Return ``{name a runtime may give to a kernel: layer}``, as for a module's file.

    Of a recurrent node, which is two layers, the one that reads the inputs stands for both.
    """
    owners: dict[str, str] = {}
    layers: dict[int, str] = {}
    for layer in node_layers(model):
        layers.setdefault(layer.node, layer.name)
    for index, node in enumerate(model.graph.node):
        owner = layers.get(index)
        if node.op_type in _FUSED and node.input[0] in owners:
            owner = owners[node.input[0]]
        if owner:
            names = (node.name, *node.output[:1])
            owners.update(dict.fromkeys(filter(None, names), owner))
    return owners


_ROUNDED = frozenset({"Conv", "ConvTranspose", "Gemm"})
"""Operators whose weights a runtime may round by itself, see :func:`set_apart`."""


class _Writer:
    """Rewrites one graph in place."""

    def __init__(self, model: onnx.ModelProto, table: CompressionTable) -> None:
        self.graph = model.graph
        self.table = table
        self.layers = {x.node: x for x in graph_layers(model) if x.name in table.weights}
        self.weights = [x for x in graph_layers(model) if x.name in table.weights]
        self.tensors = {t.name: t for t in self.graph.initializer}
        self.shared = [x for x in graph_layers(model) if self._is_shared(x)]
        self.grids = _grids(model, table)
        self.mark = _mark(self.graph)
        self.opset = opset_of(model)
        self.to = OnnxGraph(opset=self.opset)
        self.on_grid: dict[str, str] = {}
        # Products of inputs on signed grids: ONNX Runtime 1.32 makes one layer of such a product
        # and the constant added to it, on an unsigned grid, and then refuses its own graph.
        self.signed: set[str] = set()

    def write(self) -> None:
        """Put weights first, then nodes in their order, each value followed by its quantizer."""
        for layer in self.weights:
            self._weight(layer)
        for layer in self.shared:
            self._book(layer)
        for value in self.graph.input:
            self._edge(value.name, value.name)
        for index, node in enumerate(self.graph.node):
            self._node(index, node)
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self.to.nodes]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        replaced = {layer.weight for layer in (*self.weights, *self.shared)}
        for position in reversed(range(len(self.graph.initializer))):
            if self.graph.initializer[position].name in replaced:
                del self.graph.initializer[position]
        self.graph.initializer.extend(self.to.initializers.values())

    def _weight(self, layer: GraphLayer) -> None:
        quantized = self.table.weights[layer.name]
        store = store_for_floats if self._edge_of(layer) is None else store_for_integers
        store(self.to, self._place(layer), quantized, quantized.integers(self._rows(layer)))

    def _is_shared(self, layer: GraphLayer) -> bool:
        """Whether a weight has the values of its codebook, and nothing has changed them since."""
        book = self.table.codebooks.get(layer.name)
        if book is None or layer.name in self.table.weights or layer.weight not in self.tensors:
            return False
        return torch.equal(self._rows(layer), book.values())

    def _book(self, layer: GraphLayer) -> None:
        place, book = self._place(layer), self.table.codebooks[layer.name]
        in_bytes = self.opset < opset_for(max(2, rank_bits(book)))
        store_shared(self.to, place, book, in_bytes=in_bytes)

    def _place(self, layer: GraphLayer) -> Place:
        return Place(f"{layer.weight}{self.mark}", layer.weight, layer.layout, layer.shape)

    def _rows(self, layer: GraphLayer) -> torch.Tensor:
        tensor = numpy_helper.to_array(self.tensors[layer.weight])
        return layer.layout.rows(torch.from_numpy(np.array(tensor)))

    def _edge_of(self, layer: GraphLayer) -> QuantizedEdge | None:
        """Return the grid of a layer's input if an integer kernel can compute the layer."""
        node, grid = self.graph.node[layer.node], self.table.weights[layer.name].grid
        edge = self.grids.get(node.input[0])
        if edge is None or not runs_on_integers(node, layer) or grid.granularity == "per_group":
            return None
        return edge if max(edge.grid.bits, grid.bits) <= 8 else None

    def _node(self, index: int, node: onnx.NodeProto) -> None:
        sources = list(node.input)
        layer = self.layers.get(index)
        edge = self._edge_of(layer) if layer else None
        if layer and edge and layer.bias:
            node.input[2] = self._bias(layer, self.table.weights[layer.name], edge)
        for position, name in enumerate(node.input):
            node.input[position] = self.on_grid.get(name, name)
        if edge is None and node.op_type in _ROUNDED and sources[0] in self.on_grid:
            stem = f"{node.output[0]}{self.mark}"
            node.input[0] = set_apart(self.to, node.input[0], stem)
        if node.op_type == "Add" and any(name in self.tensors for name in sources):
            for position, name in enumerate(sources):
                if name in self.signed:
                    stem = f"{name}{self.mark}"
                    node.input[position] = set_apart(self.to, node.input[position], stem)
        if layer and edge and node.op_type == "MatMul" and edge.grid.qmin < 0:
            self.signed.add(node.output[0])
        self.to.nodes.append(node)
        for name in node.output:
            if name in self.grids:
                clipped = _is_clip(node, self.grids[name], self.tensors)
                self._edge(name, node.input[0] if clipped else name)

    def _edge(self, name: str, source: str) -> None:
        if name in self.grids:
            stem = f"{name}{self.mark}"
            self.on_grid[name] = quantize_edge(self.to, source, stem, self.grids[name])

    def _bias(self, layer: GraphLayer, quantized: QuantizedWeight, edge: QuantizedEdge) -> str:
        """Store the bias of a layer that an integer kernel computes; returns its name."""
        bias = torch.from_numpy(np.array(numpy_helper.to_array(self.tensors[layer.bias])))
        if bias.shape != layer.sizes[:1]:
            return layer.bias
        codes, scale = bias_codes(bias, quantized, edge), bias_scale(quantized, edge)
        stem = f"{layer.weight}{self.mark}_bias"
        return store_bias(self.to, stem, stem, codes, scale)


def _grids(model: onnx.ModelProto, table: CompressionTable) -> dict[str, QuantizedEdge]:
    """Return the grid of every value that has one, its own or that of what it was made from."""
    if not table.edges:
        return {}
    inherited = {
        value: table.edges[edge]
        for value, edge in GraphPlan.of(model).inherits.items()
        if edge in table.edges
    }
    return {**inherited, **table.edges}


def _mark(graph: onnx.GraphProto) -> str:
    """Return what to append to a name so that no name of the graph begins like the result."""
    names = {*names_read(graph), *(name for node in graph.node for name in node.output)}
    mark = ".grid"
    while any(mark in name for name in names):
        mark += "_"
    return mark


def _is_clip(
    node: onnx.NodeProto, edge: QuantizedEdge, tensors: Mapping[str, onnx.TensorProto]
) -> bool:
    """Whether a node only clips, and the quantizer behind it saturates at the same ends.

    The clip is then left out: integer kernels saturate for free, and runtimes do not recognise a
    quantized addition with a ReLU behind it.
    """
    low, high = edge.bounds()
    half = edge.scale / 2
    if node.op_type == "Relu":
        return abs(low) < half
    if node.op_type != "Clip":
        return False
    ends = [attribute_of(node, "min"), attribute_of(node, "max")]
    for position in (1, 2):
        if len(node.input) > position and node.input[position]:
            if node.input[position] not in tensors:
                return False
            ends[position - 1] = float(numpy_helper.to_array(tensors[node.input[position]]))
    bottom, top = ends
    return (bottom is None or abs(low - bottom) < half) and (top is None or high < top + half)
