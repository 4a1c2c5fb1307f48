"""What is known while a graph is written, and what an emitter is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, fx

from optim.layers.table import QuantizedEdge, QuantizedWeight, SharedWeight
from optim.runtime.onnx_graph import OnnxGraph, unknown

__all__ = ["Emission", "Emitter", "argument", "array", "number_like", "simple"]


@dataclass
class Emission:
    """What is known while a graph is written.

    Attributes:
        graph: The ONNX graph so far.
        weights: Quantized weights by layer name.
        integer_inputs: Grid of the input of the layers that integer kernels compute.
        codebooks: Shared weights by layer name.
        values: ONNX name of each node's result.
    """

    graph: OnnxGraph
    weights: Mapping[str, QuantizedWeight]
    integer_inputs: Mapping[str, QuantizedEdge]
    codebooks: Mapping[str, SharedWeight] = field(default_factory=dict)
    values: dict[fx.Node, str] = field(default_factory=dict)

    def inputs(self, node: fx.Node) -> list[str]:
        """Return the ONNX names of a node's tensor inputs, one that is read twice twice."""
        names: list[str] = []

        def note(source: fx.Node) -> fx.Node:
            names.append(self.values[source])
            return source

        fx.map_arg((node.args, node.kwargs), note)
        return names


Emitter = Callable[[Emission, fx.Node], str]


def array(tensor: Tensor) -> np.ndarray:
    """Return a tensor's values; of a sketch's weight, what is known of them."""
    if tensor.is_meta:
        return unknown(tuple(tensor.shape))
    return tensor.detach().cpu().numpy()


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    """Return an argument of a call, however it was given."""
    if index < len(node.args):
        return node.args[index]
    return node.kwargs.get(name, default)


def number_like(node: fx.Node, number: Any) -> np.ndarray:
    """Return a number in the type of the tensors it meets in a node."""
    whole = any(source.meta.get("is_whole", False) for source in node.all_input_nodes)
    return np.array(number, dtype=np.int64 if whole else np.float32)


def simple(op_type: str, **attributes: Any) -> Emitter:
    """Return an emitter for an operation that ONNX has under one name."""

    def emit(to: Emission, node: fx.Node) -> str:
        return to.graph.add(op_type, to.inputs(node), node.name, **attributes)

    return emit
