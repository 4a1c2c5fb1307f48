"""Write a traced graph as a plain ONNX file.

Fake-quantizers become QuantizeLinear/DequantizeLinear pairs and quantized weights are stored as
integers with a DequantizeLinear behind them, so that the file computes what the simulation
computed and integer runtimes find the pattern they look for. Where no runtime executes a width,
the grid is kept and only the container widens: 3-bit weights are stored in int4, 3-bit activations
in uint8 behind a clip.

Emission takes milliseconds, which is why the size on the page can be that of a real file.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from torch import fx

from optim.layers.graph import COMPUTE, kind_of, propagate_shapes
from optim.layers.quantized_graph import integer_inputs
from optim.layers.table import CompressionTable
from optim.runtime.emission import Emission
from optim.runtime.onnx_graph import OnnxGraph
from optim.runtime.operators import emit_node

__all__ = ["INPUT", "OUTPUT", "emit_onnx", "kernel_owners"]

INPUT, OUTPUT = "input", "logits"
"""Names of the file's input ``(N, ...)`` and output ``(N, n_outputs)``."""


def emit_onnx(
    traced: fx.GraphModule,
    table: CompressionTable,
    input_shape: tuple[int, ...],
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """Return the ONNX model of a traced graph, fake-quantizers included.

    Args:
        traced: Result of :func:`optim.layers.graph.trace`, with the float weights and with
            fake-quantizers on its edges where activations are quantized.
        table: Its quantized and shared weights; the others are stored as float32.
        input_shape: Shape of one sample; the file's batch dimension is dynamic.
        metadata: Written into the file's properties.

    Raises:
        UnsupportedLayerError: If an operation has no ONNX form here.
    """
    propagate_shapes(traced, input_shape)
    to = Emission(OnnxGraph(), table.weights, integer_inputs(traced, table), table.codebooks)
    shape: list[int | str] = []
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            to.values[node] = INPUT
        elif node.op == "output":
            result = node.all_input_nodes[0]
            to.graph.add("Identity", [to.values[result]], OUTPUT)
            shape = ["N", *result.meta["shape"][1:]]
        else:
            emit_node(to, node)
    return to.graph.model([(INPUT, ["N", *input_shape])], [(OUTPUT, shape)], dict(metadata))


_FUSED_KINDS = frozenset({"relu", "relu6", "gelu", "silu", "hardswish", "mish"})


def kernel_owners(traced: fx.GraphModule) -> dict[str, str]:
    """Return ``{name a runtime may give to a kernel: layer}`` for the layers with weights.

    Runtimes name a kernel after the node or, once an activation function is fused into it, after
    the value it writes.
    """
    owners: dict[str, str] = {}
    for node in traced.graph.nodes:
        if kind_of(node) in COMPUTE:
            owners[node.name] = owners[str(node.target)] = str(node.target)
        elif kind_of(node) in _FUSED_KINDS and node.all_input_nodes[0].name in owners:
            owners[node.name] = owners[node.all_input_nodes[0].name]
    return owners
