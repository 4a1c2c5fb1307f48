"""Where activations are quantized, and the traced graph with quantizers in place.

The plan is made once on the batch-norm-folded graph and serves three readers: calibration (an
observer on each edge), simulation (a fake-quantizer on each edge) and file emission (a
QuantizeLinear/DequantizeLinear pair on each edge). An *edge* is the result of one node, named
after it.

Quantized are the inputs of every operation that integer kernels compute: convolutions, dense
layers, residual additions, concatenations and average pooling. Operations that only move values
(max pooling, flatten, the parameter-free shortcut) pass the grid of their input on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from optim.layers.graph import COMPUTE, kind_of, layer_of, trace, with_parameters
from optim.layers.table import CompressionTable, QuantizedEdge, QuantizedWeight

__all__ = [
    "FakeQuantize",
    "QuantizationPlan",
    "bias_codes",
    "bias_scale",
    "deployable_graph",
    "grid_of",
    "integer_inputs",
    "simulated_graph",
    "source_of",
]

_INTEGER_KINDS = frozenset({*COMPUTE, "add", "concat", "global_avg_pool", "avg_pool"})
_PASS_THROUGH = frozenset({"max_pool", "flatten", "channel_pad"})


@dataclass(frozen=True)
class QuantizationPlan:
    """Which edges get a quantizer.

    Attributes:
        edges: Names of the nodes whose result is quantized by a grid of its own.
        inherits: ``{node: edge}`` for results that keep the grid of an earlier edge.
        inputs: ``{layer: edge}`` whose grid the input of a layer lies on.
    """

    edges: tuple[str, ...]
    inherits: Mapping[str, str]
    inputs: Mapping[str, str]

    @classmethod
    def of(cls, traced: fx.GraphModule, excluded: Iterable[str] = ()) -> QuantizationPlan:
        """Plan the quantizers of a traced graph.

        Args:
            traced: Result of :func:`optim.layers.graph.trace`.
            excluded: Names of layers that stay in floating point.
        """
        excluded = set(excluded)
        integer = [n for n in traced.graph.nodes if _runs_on_integers(n, excluded)]
        wanted: dict[str, None] = {}
        inherits: dict[str, str] = {}
        inputs: dict[str, str] = {}
        for node in integer:
            for source in node.all_input_nodes:
                moved = []
                while kind_of(source) in _PASS_THROUGH:
                    moved.append(source.name)
                    source = source.all_input_nodes[0]
                if source.op == "get_attr":
                    continue
                wanted[source.name] = None
                inherits.update(dict.fromkeys(moved, source.name))
                if kind_of(node) in COMPUTE:
                    inputs[str(node.target)] = source.name
        order = {node.name: i for i, node in enumerate(traced.graph.nodes)}
        return cls(tuple(sorted(wanted, key=order.__getitem__)), inherits, inputs)


def _runs_on_integers(node: fx.Node, excluded: set[str]) -> bool:
    kind = kind_of(node)
    if kind in COMPUTE:
        return str(node.target) not in excluded
    if kind == "add":
        return all(kind_of(source) != "get_attr" for source in node.all_input_nodes) and (
            len(node.all_input_nodes) == 2
        )
    return kind in _INTEGER_KINDS


class FakeQuantize(nn.Module):
    """Round an activation to its grid and read it back, in floating point."""

    keeps_shape = True
    """Said to :func:`optim.layers.graph.propagate_shapes`."""

    def __init__(self, edge: QuantizedEdge) -> None:
        super().__init__()
        self.edge = edge

    def extra_repr(self) -> str:
        """Return the grid: two quantizers of one are the same."""
        return str(self.edge)

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor of any shape to the nearest values on the grid."""
        if x.is_meta:  # only its shape is asked for
            return torch.empty_like(x)
        edge, grid = self.edge, self.edge.grid
        if x.requires_grad:  # gradients pass as if nothing was rounded
            return torch.fake_quantize_per_tensor_affine(
                x, edge.scale, edge.zero_point, grid.qmin, grid.qmax
            )
        scale = torch.tensor(edge.scale)
        # The same, bit by bit, in a fifth of the time.
        levels = (x * (1 / scale).item()).round_()
        levels.clamp_(grid.qmin - edge.zero_point, grid.qmax - edge.zero_point)
        return levels.mul_(scale.item())


def simulated_graph(module: nn.Module, table: CompressionTable) -> fx.GraphModule:
    """Return the traced graph that computes, in floating point, what will be deployed.

    Weights lie on their grids, and so do the biases that integer kernels add to an accumulator.
    """
    traced = deployable_graph(module, table)
    edges = integer_inputs(traced, table)
    for name, quantized in table.weights.items():
        layer = traced.get_submodule(name)
        tensors = {"weight": quantized.apply(layer.get_parameter("weight").detach())}
        bias = layer.bias
        if name in edges and isinstance(bias, Tensor):
            codes = bias_codes(bias.detach(), quantized, edges[name])
            tensors["bias"] = codes.float() * bias_scale(quantized, edges[name])
        traced.set_submodule(name, with_parameters(layer, **tensors))
    return traced


def deployable_graph(module: nn.Module, table: CompressionTable) -> fx.GraphModule:
    """Return the traced graph with its float weights and fake-quantizers on its edges.

    Shared weights have their values.
    """
    edges = {name: FakeQuantize(edge) for name, edge in table.edges.items()}
    traced = trace(module, behind=edges)
    for name, shared in table.codebooks.items():
        tensors = {"weight": shared.values()}
        if shared.bias is not None:
            tensors["bias"] = shared.bias.values()
        traced.set_submodule(name, with_parameters(traced.get_submodule(name), **tensors))
    return traced


def integer_inputs(traced: fx.GraphModule, table: CompressionTable) -> dict[str, QuantizedEdge]:
    """Return the grid of each layer's input, for the layers that integer kernels can compute.

    They need at most 8 bits on both sides, and scales that do not change within a channel.
    """
    found = {}
    for node in traced.graph.nodes:
        name = str(node.target)
        if kind_of(node) not in COMPUTE or name not in table.weights:
            continue
        edge = grid_of(node.all_input_nodes[0])
        grid = table.weights[name].grid
        if edge is None or max(edge.grid.bits, grid.bits) > 8 or grid.granularity == "per_group":
            continue
        found[name] = edge
    return found


def grid_of(node: fx.Node) -> QuantizedEdge | None:
    """Return the grid a node's result lies on, looking through what only moves values."""
    source = source_of(node)
    if source.op != "call_module":
        return None
    layer = layer_of(source)
    return layer.edge if isinstance(layer, FakeQuantize) else None


def source_of(node: fx.Node) -> fx.Node:
    """Return the node that computed what a node passes on; a quantizer counts as computing."""
    while kind_of(node) in _PASS_THROUGH:
        node = node.all_input_nodes[0]
    return node


def bias_scale(quantized: QuantizedWeight, edge: QuantizedEdge) -> Tensor:
    """Return the step ``(R,)`` of the accumulator, and so of the bias added to it."""
    return quantized.scale * edge.scale


def bias_codes(bias: Tensor, quantized: QuantizedWeight, edge: QuantizedEdge) -> Tensor:
    """Return the int32 numbers, as float64, that stand for a bias in the accumulator."""
    return (bias.double() / bias_scale(quantized, edge).double()).round()
