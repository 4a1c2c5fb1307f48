"""Four sizes of the same weights, each really encoded to bytes.

===============  ===================================================================
dense            every weight as float32: what a framework saves
bit_width        every weight packed at its bits, with scales and zero points
sparse           only the weights that are not zero, and where they are
entropy          frequent values in fewer bits than rare ones
===============  ===================================================================

Zeroed weights make only the last two smaller. Biases count as float32, and scales and shared
values as they are stored, in all of them. The size of an exported *file* is a fifth figure,
measured on the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import torch
from onnx import TensorProto
from torch import Tensor

from optim.codecs import CODECS, Codes, best_sparse
from optim.graph.fold import fold
from optim.graph.layers import graph_layers, read_weights, stored_weights
from optim.layers.graph import COMPUTE, kind_of, layer_of, trace
from optim.layers.grid import from_rows
from optim.layers.table import QuantizedWeight, SharedWeight
from optim.models.bundle import GraphModel, ModelBundle
from optim.quantity import Quantity

__all__ = ["SIZES", "LayerSize", "encoded_sizes", "layer_sizes"]

SIZES = ("dense", "bit_width", "sparse", "entropy")


@dataclass(frozen=True)
class LayerSize:
    """Bytes of one layer's weight and bias in the four encodings, and its zeros.

    Attributes:
        name: Dotted path; ``""`` for everything that belongs to no layer with weights.
        bytes: ``{encoding: bytes}`` with the keys ``SIZES``.
        sparsity: Share of zero weights, in 0..1.
        bits: Bits of a weight; 32 in floating point.
    """

    name: str
    bytes: Mapping[str, int]
    sparsity: float
    bits: int


def encoded_sizes(
    bundle: ModelBundle, check: Callable[[], None] = lambda: None
) -> dict[str, Quantity]:
    """Return ``{encoding: bytes}`` of a whole model, every weight really encoded."""
    layers = layer_sizes(bundle, check)
    return {
        size: Quantity.exact(sum(layer.bytes[size] for layer in layers), "bytes") for size in SIZES
    }


def layer_sizes(bundle: ModelBundle, check: Callable[[], None] = lambda: None) -> list[LayerSize]:
    """Return the sizes of every layer of the deployed graph, batch norms folded in."""
    if isinstance(bundle.content, GraphModel):
        return _graph_sizes(bundle, check)
    traced = trace(bundle.module)
    found = []
    counted: set[int] = set()
    for node in traced.graph.nodes:
        if kind_of(node) not in COMPUTE:
            continue
        check()
        layer, name = layer_of(node), str(node.target)
        weight = layer.get_parameter("weight").detach()
        counted |= {id(p) for p in layer.parameters()}
        bias = 0 if layer.bias is None else 4 * layer.get_parameter("bias").numel()
        shared = bundle.table.codebooks.get(name)
        found.append(_layer_size(name, weight, bias, bundle.table.weights.get(name), shared))
    rest = 4 * sum(p.numel() for p in traced.parameters() if id(p) not in counted)
    if rest:
        found.append(LayerSize("", dict.fromkeys(SIZES, rest), 0.0, 32))
    return found


def _graph_sizes(bundle: ModelBundle, check: Callable[[], None]) -> list[LayerSize]:
    """Return the sizes of the layers of an ONNX graph, by its own integers where it stores some."""
    model = fold(bundle.graph())
    weights, stored = read_weights(model), stored_weights(model)
    tensors = {t.name: t for t in model.graph.initializer}
    found, counted = [], set()
    for layer in graph_layers(model):
        quantized = stored.get(layer.name, bundle.table.weights.get(layer.name))
        weight = weights.get(layer.name)
        if weight is None and layer.name in stored:
            weight = stored[layer.name].apply(torch.zeros(layer.sizes))
        if weight is None:
            continue
        check()
        counted |= {layer.weight, layer.bias}
        bias = 4 * prod(tensors[layer.bias].dims) if layer.bias in tensors else 0
        shared = bundle.table.codebooks.get(layer.name)
        found.append(_layer_size(layer.name, weight, bias, quantized, shared))
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    rest = 4 * sum(
        prod(tensor.dims)
        for name, tensor in tensors.items()
        if name not in counted and tensor.data_type in floats
    )
    return [*found, LayerSize("", dict.fromkeys(SIZES, rest), 0.0, 32)] if rest else found


def _layer_size(
    name: str,
    weight: Tensor,
    bias: int,
    quantized: QuantizedWeight | None,
    shared: SharedWeight | None,
) -> LayerSize:
    dense = len(CODECS["dense"].encode(Codes.from_float(weight.flatten(1).numpy())))
    if shared is not None:
        parts, overhead = [_rank_codes(shared)], _bias_bytes(shared, bias) + 4 * len(shared.book)
        bits = parts[0].bits
    elif quantized is None:
        parts, overhead, bits = [Codes.from_float(weight.flatten(1).numpy())], bias, 32
    else:
        parts, overhead = _integer_codes(quantized, weight), bias + 4 * len(quantized.scale)
        bits = quantized.grid.bits
    sizes = {
        "dense": dense + bias,
        "bit_width": sum(len(CODECS["dense"].encode(part)) for part in parts) + overhead,
        "sparse": sum(len(best_sparse(part)[1]) for part in parts) + overhead,
        "entropy": sum(len(CODECS["entropy"].encode(part)) for part in parts) + overhead,
    }
    zeros = sum(int((~part.nonzero).sum()) for part in parts)
    return LayerSize(name, sizes, zeros / max(weight.numel(), 1), bits)


def _rank_codes(shared: SharedWeight) -> Codes:
    """Return the ranks of a shared weight in the fewest bits that hold them with their sign."""
    ranks = shared.ranks.flatten(1).numpy()
    bits = shared.bits
    while not -(2 ** (bits - 1)) <= ranks.min() <= ranks.max() < 2 ** (bits - 1):
        bits += 1
    return Codes.from_integers(ranks, max(2, bits))


def _bias_bytes(shared: SharedWeight, bias: int) -> int:
    """Return the bytes of a layer's bias, as indices and values where it is shared."""
    if shared.bias is None:
        return bias
    return (shared.bias.bits * shared.bias.ranks.numel() + 7) // 8 + 4 * len(shared.bias.book)


def _integer_codes(quantized: QuantizedWeight, weight: Tensor) -> list[Codes]:
    """Return the integers of a weight, one row a channel unless groups have zero points.

    Where the last group of each channel is shorter, those are codes of their own.
    """
    grid, integers = quantized.grid, quantized.integers(weight)
    zero_points = quantized.zero_point
    if grid.symmetric:
        rows = from_rows(integers, weight.shape, grid).flatten(1)
        return [Codes.from_integers(rows.numpy(), grid.bits)]
    last = weight[0].numel() % grid.group_size if grid.granularity == "per_group" else 0
    parts = [(integers, zero_points)]
    if last:
        groups = integers.reshape(len(weight), -1, grid.group_size)
        zeros = zero_points.reshape(len(weight), -1)
        parts = [
            (groups[:, :-1].flatten(0, 1), zeros[:, :-1].flatten()),
            (groups[:, -1, :last], zeros[:, -1]),
        ]
    return [
        Codes.from_integers(rows.numpy(), grid.bits, zeros.numpy())
        for rows, zeros in parts
        if rows.numel()
    ]
