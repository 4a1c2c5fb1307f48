"""Parameters, multiply-accumulates and zeros of an ONNX file, without converting it."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from optim.quantity import Quantity

__all__ = ["graph_costs"]


def graph_costs(file: bytes) -> tuple[Quantity, Quantity, Quantity]:
    """Return parameters, MACs for one sample, and the share of zeros in the weights.

    Counted are convolutions and matrix products whose sizes shape inference can tell; dynamic
    dimensions count as one.
    """
    model = shape_inference.infer_shapes(onnx.load_from_string(file))
    graph = model.graph
    weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    shapes = {
        value.name: [max(1, d.dim_value) for d in value.type.tensor_type.shape.dim]
        for value in [*graph.value_info, *graph.output, *graph.input]
    }
    shapes |= {name: list(array.shape) for name, array in weights.items()}
    matrices = [array for array in weights.values() if array.ndim > 1]
    total = sum(array.size for array in matrices)
    zeros = sum(int(np.count_nonzero(array == 0)) for array in matrices)
    return (
        Quantity.exact(sum(array.size for array in weights.values()), "params"),
        Quantity.exact(sum(_macs(node, shapes) for node in graph.node), "macs"),
        Quantity.exact(zeros / total if total else 0.0, "fraction"),
    )


def _macs(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    output = shapes.get(node.output[0]) if node.output else None
    if output is None:
        return 0
    if node.op_type in ("Conv", "ConvInteger", "QLinearConv"):
        weight = shapes.get(node.input[3 if node.op_type == "QLinearConv" else 1])
        return prod(output) * prod(weight[1:]) if weight else 0
    if node.op_type in ("MatMul", "Gemm", "MatMulInteger"):
        left = shapes.get(node.input[0])
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return prod(output) * (left[-2 if transposed else -1]) if left else 0
    return 0
