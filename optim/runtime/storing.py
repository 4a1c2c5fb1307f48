"""How what lies on a grid is stored in an ONNX file, whichever lane it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from onnx import TensorProto
from torch import Tensor, fx

from optim.graph.layers import Layout
from optim.layers.grid import from_rows
from optim.layers.quantized_graph import grid_of
from optim.layers.table import QuantizedEdge, QuantizedWeight, SharedWeight
from optim.runtime.emission import Emission, array
from optim.runtime.onnx_graph import OnnxGraph, container_for

__all__ = [
    "Place",
    "layer_input",
    "quantize_edge",
    "rank_bits",
    "set_apart",
    "store_bias",
    "store_for_floats",
    "store_for_integers",
    "store_shared",
]


_PAD_BYTES = 200
"""What a Pad and the Reshape behind it take in a file."""


@dataclass(frozen=True)
class Place:
    """Where a weight stands in a graph.

    Attributes:
        stem: What the names of constants and nodes begin with.
        output: Name of the weight as it is read.
        layout: How it is arranged there.
        shape: Its sizes there.
    """

    stem: str
    output: str
    layout: Layout
    shape: tuple[int, ...]

    @property
    def rows(self) -> tuple[int, ...]:
        """Sizes of the weight as ``(O, I, ...)``."""
        return self.layout.sizes(self.shape)


def store_for_integers(
    graph: OnnxGraph, place: Place, quantized: QuantizedWeight, integers: Tensor
) -> str:
    """Store a weight as packed integers; runtimes widen them to int8 when they load the file.

    Args:
        graph: What is added to.
        place: Where the weight stands.
        quantized: Its grid, with scales for the tensor or for each channel.
        integers: ``(R, n)``, as :meth:`QuantizedWeight.integers` returns them.
    """
    grid, stem = quantized.grid, place.stem
    codes = place.layout.stored(from_rows(integers, place.rows, grid), place.shape)
    stored = graph.integers(f"{stem}_quantized", array(codes), grid.bits)
    if container_for(grid.bits) < 8:
        stored = graph.add("Cast", [stored], f"{stem}_int8", to=TensorProto.INT8)
    scale, zero = array(quantized.scale), array(quantized.zero_point)
    if grid.granularity == "per_tensor":
        scale, zero = scale.reshape(()), zero.reshape(())
    names = [
        graph.constant(f"{stem}_scale", scale),
        graph.integers(f"{stem}_zero_point", zero, 8),
    ]
    axis = place.layout.axis
    return graph.add("DequantizeLinear", [stored, *names], place.output, axis=axis)


def store_for_floats(
    graph: OnnxGraph, place: Place, quantized: QuantizedWeight, integers: Tensor
) -> str:
    """Store a weight as packed integers; runtimes turn them into float32 when they load the file.

    A DequantizeLinear would be left for every inference to compute; a Cast of a constant is
    folded away. So is the Pad that makes the last group of a channel as long as the others: its
    zeros stay out of the file, unless they take less than the Pad. See :func:`store_for_integers`
    for the arguments.
    """
    stem, rows = place.stem, place.rows
    columns = prod(rows[1:])
    short = integers.numel() // rows[0] - columns
    group = integers.shape[1]
    width = container_for(quantized.grid.bits)
    is_cut = rows[0] * short * width > 8 * _PAD_BYTES
    if is_cut:
        integers = integers.reshape(rows[0], -1)[:, :columns]
    value = graph.integers(f"{stem}_quantized", array(integers), quantized.grid.bits)
    value = graph.add("Cast", [value], f"{stem}_float", to=TensorProto.FLOAT)
    if is_cut:
        pads = graph.shared(f"{stem}.pads", np.array([0, 0, 0, short]))
        value = graph.add("Pad", [value, pads], f"{stem}_padded")
        value = graph.reshape(value, [-1, group], f"{stem}_groups")
    if quantized.zero_point.any():
        zeros = graph.constant(f"{stem}_zero_point", array(quantized.zero_point.float())[:, None])
        value = graph.add("Sub", [value, zeros], f"{stem}_centred")
    scales = graph.constant(f"{stem}_scale", array(quantized.scale)[:, None])
    value = graph.add("Mul", [value, scales], f"{stem}_rows")
    if short:
        value = graph.reshape(value, [rows[0], -1], f"{stem}_whole")
        ends = [
            graph.shared(f"{stem}.{k}", np.array([v]))
            for k, v in (("first", 0), ("columns", columns), ("axis", 1))
        ]
        value = graph.add("Slice", [value, *ends], f"{stem}_columns")
    back = list(place.layout.back)
    moved = [place.shape[i] for i in place.layout.order]
    if back == sorted(back):
        return graph.reshape(value, moved, place.output)
    value = graph.reshape(value, moved, f"{stem}_moved")
    return graph.add("Transpose", [value], place.output, perm=back)


def store_shared(
    graph: OnnxGraph, place: Place, shared: SharedWeight, *, in_bytes: bool = False
) -> str:
    """Store a weight as the few values it has and which of them each weight takes.

    Both are constants, so that runtimes look the values up once, when they load the file, and
    compute as with any float32 weight. A rank below zero counts from the end of the list.

    Args:
        graph: What is added to.
        place: Where the weight stands.
        shared: Its values and ranks.
        in_bytes: Whether ranks take whole bytes, for operator sets that have no smaller integers.
    """
    ranks = array(place.layout.stored(shared.ranks, place.shape))
    width = max(rank_bits(shared), 8 if in_bytes else 2)
    stored = graph.integers(f"{place.stem}_ranks", ranks, width)
    indices = graph.add("Cast", [stored], f"{place.stem}_indices", to=TensorProto.INT32)
    book = graph.constant(f"{place.stem}_values", array(shared.book))
    return graph.add("Gather", [book, indices], place.output, axis=0)


def rank_bits(shared: SharedWeight) -> int:
    """Return the bits that hold every rank of a shared weight with its sign."""
    low, high = int(shared.ranks.min()), int(shared.ranks.max())
    return max((~low).bit_length(), high.bit_length()) + 1


def set_apart(graph: OnnxGraph, value: str, name: str) -> str:
    """Return the same value, behind which no runtime sees the quantizer that made it.

    ONNX Runtime rounds the weights of a convolution or a dense layer to 8 bits by itself where it
    finds quantizers before and behind it. A layer that is computed in floating point, whatever its
    grid, must keep its weights; a sum of one term costs a copy and stands in the way.
    """
    return graph.add("Sum", [value], f"{name}_apart")


def layer_input(to: Emission, node: fx.Node) -> str:
    """Return the input of a layer, set apart from its quantizer where floats are computed."""
    (x,) = to.inputs(node)
    if str(node.target) in to.integer_inputs or grid_of(node.all_input_nodes[0]) is None:
        return x
    return set_apart(to.graph, x, node.name)


def store_bias(graph: OnnxGraph, stem: str, output: str, codes: Tensor, scale: Tensor) -> str:
    """Store a bias as int32 at the scale of the accumulator, or as floats where it is too large.

    Args:
        graph: What is added to.
        stem: What the names of constants begin with.
        output: Name of the bias as it is read.
        codes: ``(O,)`` int32 numbers as float64.
        scale: ``(O,)`` or ``(1,)``; see :func:`optim.layers.quantized_graph.bias_scale`.
    """
    if float(codes.abs().max()) >= 2**31:
        return graph.constant(output, array(codes.float() * scale))
    stored = graph.constant(f"{stem}_quantized", array(codes).astype(np.int32))
    steps = array(scale if len(scale) > 1 else scale.reshape(()))
    scales = graph.constant(f"{stem}_scale", steps)
    return graph.add("DequantizeLinear", [stored, scales], output, axis=0)


def quantize_edge(graph: OnnxGraph, value: str, name: str, edge: QuantizedEdge) -> str:
    """Add the QuantizeLinear/DequantizeLinear pair of an edge, clipped to narrower grids."""
    grid = edge.grid
    wide = grid.bits > 8
    signed = grid.qmin < 0
    types: dict[tuple[bool, bool], type[np.integer[Any]]] = {
        (False, False): np.uint8,
        (False, True): np.int8,
        (True, False): np.uint16,
        (True, True): np.int16,
    }
    dtype = types[wide, signed]
    scale = graph.constant(f"{name}_scale", np.array(edge.scale, dtype=np.float32))
    zero = graph.shared(f"{name}_zero_point", np.array(edge.zero_point, dtype=dtype))
    stored = graph.add("QuantizeLinear", [value, scale, zero], f"{name}_integers")
    limits = np.iinfo(dtype)
    if (grid.qmin, grid.qmax) != (limits.min, limits.max):
        low = graph.shared(f"{name}_qmin", np.array(grid.qmin, dtype=dtype))
        high = graph.shared(f"{name}_qmax", np.array(grid.qmax, dtype=dtype))
        stored = graph.add("Clip", [stored, low, high], f"{name}_clipped")
    return graph.add("DequantizeLinear", [stored, scale, zero], f"{name}_on_grid")
