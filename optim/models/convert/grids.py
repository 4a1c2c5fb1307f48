"""Take the grids of a quantized file out of its graph and into a compression table.

While the graph is built, a quantizer stands wherever an activation was on a grid. Afterwards
modules are plain layers again and the table says what lies on which grid, so that the model is
simulated, trained and exported as one that was quantized here. What a table cannot say is refused:
the file then stays a graph, and keeps its grids that way.

Exporters leave out a ReLU in front of a grid that begins at zero, because the grid cuts off what is
below. It is put back: the values are the same, and it is still there once the grid is gone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, fx, nn

from optim.errors import UnsupportedModelError
from optim.layers.graph import COMPUTE, kind_of, nodes_of, trace
from optim.layers.grid import Grid
from optim.layers.quantized_graph import FakeQuantize
from optim.layers.table import CompressionTable, QuantizedEdge, QuantizedWeight
from optim.models.convert.builder import Builder, StoredGrid
from optim.models.convert.rewriting import is_call, layer_at, value_of

__all__ = ["table_of", "take_quantizers"]

_HINT = "The file can still be measured, verified and timed as it is."
_MOVING = (nn.MaxPool1d, nn.MaxPool2d, nn.Flatten)
_SIGNED = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)
"""Layers behind which exporters leave out a ReLU; so they do behind additions."""


def take_quantizers(to: Builder) -> dict[fx.Node, QuantizedEdge]:
    """Remove the quantizers of activations from the graph, in place.

    Returns:
        ``{node: the grid its result lies on}``.

    Raises:
        UnsupportedModelError: If a value is read on a grid and off it, or on two grids.
    """
    edges: dict[fx.Node, QuantizedEdge] = {}
    for node in list(to.graph.nodes):
        quantizer = layer_at(to, node, FakeQuantize)
        if quantizer is None:
            continue
        assert isinstance(quantizer, FakeQuantize)
        source, edge = node.all_input_nodes[0], quantizer.edge
        if _grid_behind(to, source, edges) != edge:
            readers = [node] if source in edges else list(source.users)
            if source not in edges:
                _check_readers(to, source, edge)
            if _has_lost_relu(to, source, edge):
                source = _with_relu(to, source, readers)
            elif source in edges:
                raise _refused(source, "is put on two grids")
            edges[source] = edge
        node.replace_all_uses_with(source)
        to.drop(node)
    return edges


def _grid_behind(
    to: Builder, node: fx.Node, edges: dict[fx.Node, QuantizedEdge]
) -> QuantizedEdge | None:
    """Return the grid a value is on already, looking through what only moves values."""
    while node not in edges and (
        layer_at(to, node, *_MOVING) is not None or is_call(node, "flatten")
    ):
        node = node.all_input_nodes[0]
    if node in edges:
        return edges[node]
    return None


def _check_readers(to: Builder, source: fx.Node, edge: QuantizedEdge) -> None:
    for user in source.users:
        quantizer = layer_at(to, user, FakeQuantize)
        if quantizer is None:
            raise _refused(source, "is read on its grid and off it")
        assert isinstance(quantizer, FakeQuantize)
        if quantizer.edge != edge:
            raise _refused(source, "is read on two grids")


def _refused(source: fx.Node, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"The result of {str(source.target)!r} {why}.", hint=_HINT)


def _has_lost_relu(to: Builder, source: fx.Node, edge: QuantizedEdge) -> bool:
    may_be_below = layer_at(to, source, *_SIGNED) is not None or is_call(source, "add")
    return may_be_below and edge.zero_point == edge.grid.qmin


def _with_relu(to: Builder, source: fx.Node, readers: list[fx.Node]) -> fx.Node:
    """Put a ReLU between a value and some who read it."""
    with to.graph.inserting_after(source), torch.no_grad():
        relu = to.call_layer(to.new_layer("", "relu", nn.ReLU()), value_of(source)).node
    for reader in readers:
        reader.replace_input_with(source, relu)
    return relu


def table_of(
    to: Builder, module: fx.GraphModule, edges: dict[fx.Node, QuantizedEdge]
) -> CompressionTable:
    """Return the grids of a module, of its weights as they are deployed.

    Raises:
        UnsupportedModelError: If a weight does not lie on the grid of its file, or a grid stands
            where there is none once batch norms are folded.
    """
    if not (to.quantized or edges):
        return CompressionTable()
    traced = trace(module)
    called = {str(n.target) for n in traced.graph.nodes if kind_of(n) in COMPUTE}
    weights = {}
    for path, stored in to.quantized.items():
        if path not in called:
            raise UnsupportedModelError(
                f"The weights of {path!r} are on a grid, and only those of convolutions and dense "
                "layers can be in a module.",
                hint=_HINT,
            )
        weight = traced.get_parameter(f"{path}.weight").detach()
        weights[path] = _quantized(path, weight, stored)
    names = {node.name for node in traced.graph.nodes}
    placed = {_place(node, names): edge for node, edge in _renamed(module, edges).items()}
    return CompressionTable(weights=weights, edges=placed)


def _renamed(
    module: fx.GraphModule, edges: dict[fx.Node, QuantizedEdge]
) -> dict[fx.Node, QuantizedEdge]:
    """Return the grids by the nodes of the graph that is traced, which have the same names."""
    by_name = {node.name: edge for node, edge in edges.items()}
    return {node: by_name[node.name] for node in nodes_of(module) if node.name in by_name}


def _place(node: fx.Node, names: set[str]) -> str:
    """Return the node that makes a value once batch norms are folded."""
    if any(kind_of(user) == "batch_norm" and user.name not in names for user in node.users):
        raise _refused(node, "is on a grid in front of its batch norm, which is folded away")
    while node.name not in names:
        node = node.all_input_nodes[0]
    return node.name


def _quantized(path: str, weight: Tensor, stored: StoredGrid) -> QuantizedWeight:
    """Return the grid of a weight ``(O, ...)``.

    Unsigned integers are counted from their middle, which moves the zero point as well: grids of
    weights are signed here, and the values are the same.
    """
    middle = 0 if stored.qmin < 0 else (stored.qmax + 1) // 2
    zero_point = torch.from_numpy((stored.zero_point - middle).astype(np.int32))
    grid = Grid(
        stored.qmin - middle,
        stored.qmax - middle,
        symmetric=not zero_point.any(),
        granularity="per_tensor" if len(zero_point) == 1 else "per_channel",
    )
    quantized = QuantizedWeight(grid, torch.from_numpy(stored.scale.copy()), zero_point)
    rows = 1 if grid.granularity == "per_tensor" else len(weight)
    if len(zero_point) != rows or not torch.equal(quantized.apply(weight), weight):
        raise UnsupportedModelError(
            f"The weights of {path!r} leave their grid once the layer takes over the batch norm or "
            "the scale that follows it.",
            hint=_HINT,
        )
    return quantized
