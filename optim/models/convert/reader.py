"""Read an ONNX graph into plain operations, and refuse what cannot become a module.

Everything that depends on the file format is settled here: where constants hide (initializers,
inputs that repeat them, Constant nodes, sparse tensors), number types, opset versions, function
bodies. What follows only meets operations with NumPy constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from optim.errors import UnsupportedModelError
from optim.models.convert.kinds import CONTROL_FLOW, INTEGER_KERNELS, QUANTIZERS, RECURRENT

__all__ = ["MAX_NODES", "OLDEST_OPSET", "GraphFile", "GraphInput", "Operation", "read_graph"]

MAX_NODES = 50_000
"""Nodes of the largest graph that is read."""

_DOMAINS = ("", "ai.onnx")
OLDEST_OPSET = 7


@dataclass(frozen=True, eq=False)
class Operation:
    """One node of a graph.

    Attributes:
        op_type: ONNX operator.
        name: Name of the node; may be empty.
        inputs: Names of its inputs; empty where an optional one is left out.
        outputs: Names of its outputs.
        attributes: Its attributes; tensors are arrays, strings are text.
        opset: Version of the operator set it is written in.
    """

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int

    def __str__(self) -> str:
        return f"{self.op_type} {self.name or self.outputs[0]!r}"

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or ``default`` where the node leaves it out."""
        return self.attributes.get(name, default)

    def refuse(self, why: str) -> UnsupportedModelError:
        """Return the error that says why this node cannot become part of a module."""
        where = repr(self.name or (self.outputs[0] if self.outputs else ""))
        return UnsupportedModelError(f"{self.op_type} {where} {why}.", hint=_HINT)


_HINT = "The file can still be measured, verified and timed as it is."


@dataclass(frozen=True)
class GraphInput:
    """An input of a graph that is not a constant.

    Attributes:
        name: Its name.
        dtype: NumPy type.
        shape: Its sizes; None where they are free.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class GraphFile:
    """A graph as operations in the order they are computed.

    Attributes:
        inputs: What the graph is given.
        outputs: Names of what it returns.
        constants: Initializers by name.
        operations: Everything else.
        is_half: Whether weights are stored with 16 bits.
    """

    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, np.ndarray]
    operations: tuple[Operation, ...]
    is_half: bool


def read_graph(model: onnx.ModelProto) -> GraphFile:
    """Return the graph of a checked model.

    Raises:
        UnsupportedModelError: If the graph is too large, uses operators nobody here knows, decides
            at run time what it computes, or computes with integers.
    """
    _check_size(model.graph)
    if model.functions:
        model = _inlined(model)
        _check_size(model.graph)
    graph = model.graph
    opset = max((o.version for o in model.opset_import if o.domain in _DOMAINS), default=0)
    if opset < OLDEST_OPSET:
        raise UnsupportedModelError(
            f"The graph is written in opset {opset}; the oldest that is read is {OLDEST_OPSET}.",
            hint="Convert it with onnx.version_converter.",
        )
    halves = [t for t in graph.initializer if t.data_type in _HALF]
    constants = {t.name: _array(t) for t in graph.initializer}
    constants |= {t.values.name: _dense(t) for t in graph.sparse_initializer}
    operations = tuple(_operation(node, opset) for node in graph.node)
    _check_order(graph, constants, operations)
    return GraphFile(
        inputs=tuple(_input(value) for value in graph.input if value.name not in constants),
        outputs=tuple(value.name for value in graph.output),
        constants=constants,
        operations=operations,
        is_half=bool(halves),
    )


_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def _check_size(graph: onnx.GraphProto) -> None:
    if len(graph.node) > MAX_NODES:
        raise UnsupportedModelError(
            f"The graph has {len(graph.node):,} nodes; at most {MAX_NODES:,} are read."
        )


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except Exception as error:
        # onnx raises classes of its own that share no base but Exception.
        raise UnsupportedModelError("The functions of the graph cannot be unfolded.") from error


def _operation(node: onnx.NodeProto, opset: int) -> Operation:
    attributes = {}
    for attribute in node.attribute:
        if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            continue
        if attribute.type == onnx.AttributeProto.TENSOR:
            attributes[attribute.name] = _array(attribute.t)
        elif attribute.type == onnx.AttributeProto.SPARSE_TENSOR:
            attributes[attribute.name] = _dense(attribute.sparse_tensor)
        else:
            attributes[attribute.name] = _plain(helper.get_attribute_value(attribute))
    operation = Operation(
        op_type=node.op_type,
        name=node.name,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes=attributes,
        opset=opset,
    )
    # ONNX Runtime's own quantizers are those of ONNX, for 16 bits before opset 21.
    is_quantizer = node.domain == "com.microsoft" and node.op_type in QUANTIZERS
    if node.domain not in _DOMAINS and not is_quantizer:
        raise operation.refuse(f"belongs to the operator set {node.domain!r}, which is not read")
    if node.op_type in (*CONTROL_FLOW, "SequenceMap"):
        raise operation.refuse("decides at run time what is computed; a module cannot hold it")
    if node.op_type in RECURRENT:
        raise operation.refuse("is recurrent; recurrent layers cannot be trained here yet")
    if node.op_type in INTEGER_KERNELS:
        raise operation.refuse("stores integers; the grid would be lost in a module of floats")
    return operation


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_plain(part) for part in value)
    return value


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    if tensor.data_type == TensorProto.STRING:
        raise UnsupportedModelError(f"The constant {tensor.name!r} holds text.", hint=_HINT)
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:
        # A tensor whose bytes and sizes contradict each other fails in many ways.
        raise UnsupportedModelError(f"The constant {tensor.name!r} is damaged.") from error
    if tensor.data_type in _HALF or array.dtype in (np.float16, np.float64):
        return array.astype(np.float32)
    return array


def _dense(tensor: onnx.SparseTensorProto) -> np.ndarray:
    raise UnsupportedModelError(
        f"The constant {tensor.values.name!r} is stored as a sparse tensor.", hint=_HINT
    )


def _input(value: onnx.ValueInfoProto) -> GraphInput:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type == TensorProto.STRING:
        raise UnsupportedModelError(f"The input {value.name!r} is not a tensor of numbers.")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    sizes = tuple(d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim)
    return GraphInput(value.name, dtype, sizes)


def _check_order(
    graph: onnx.GraphProto, constants: Mapping[str, Any], operations: Sequence[Operation]
) -> None:
    """Refuse values that are used before they are made, which is what a cycle comes down to."""
    known = {value.name for value in graph.input} | set(constants)
    for operation in operations:
        for name in operation.inputs:
            if name and name not in known:
                raise operation.refuse(f"reads {name!r} before anything has made it")
        known.update(operation.outputs)
    for value in graph.output:
        if value.name not in known:
            raise UnsupportedModelError(f"Nothing makes the output {value.name!r}.")
