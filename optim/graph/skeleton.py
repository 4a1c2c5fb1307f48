"""A graph without its weights: small, whatever the model's size, and enough for many questions.

Large constants become inputs of the same shape and type. What only looks at structure (shape
inference, the conversion to a newer operator set) then takes milliseconds and no memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import onnx
from onnx import helper, shape_inference, version_converter

__all__ = ["STANDARD", "ValueType", "opset_of", "raise_opset", "skeleton", "value_types"]

STANDARD = ("", "ai.onnx")
"""Names of the standard operator set."""
_KEPT_NUMBERS = 1024
"""Constants of at most so many numbers stay: they may be sizes, which shape inference reads."""


@dataclass(frozen=True)
class ValueType:
    """What is known of a value before the graph runs.

    Attributes:
        kind: Type of its numbers, as in ``onnx.TensorProto``; 0 if unknown.
        shape: Its sizes, 0 where they are free; None if unknown.
    """

    kind: int
    shape: tuple[int, ...] | None


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the standard operators a model is written in; 0 if it names none."""
    return max((o.version for o in model.opset_import if o.domain in STANDARD), default=0)


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model in which large constants are inputs."""
    small = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            continue
        if field.is_repeated:
            getattr(small, field.name).extend(value)
        elif field.message_type is not None:
            getattr(small, field.name).CopyFrom(value)
        else:
            setattr(small, field.name, value)
    graph = model.graph
    small.graph.name = graph.name
    small.graph.node.extend(graph.node)
    small.graph.output.extend(graph.output)
    small.graph.input.extend(graph.input)
    given = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if prod(tensor.dims) <= _KEPT_NUMBERS:
            small.graph.initializer.append(tensor)
        elif tensor.name not in given:
            small.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return small


_AS_LARGE = frozenset({"GroupNormalization", "MeanVarianceNormalization"})
"""Operators whose output is as large as their first input."""


def value_types(
    model: onnx.ModelProto, sizes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, ValueType]:
    """Return what shape inference tells of every value; what it cannot tell is left out.

    Args:
        model: The graph.
        sizes: ``{input: shape}`` it is run with, in place of what it declares.
    """
    small = skeleton(model)
    for value in small.graph.input:
        if sizes and value.name in sizes:
            shape = helper.make_tensor_type_proto(0, sizes[value.name]).tensor_type.shape
            value.type.tensor_type.shape.CopyFrom(shape)
    for node in small.graph.node:
        if node.op_type in _AS_LARGE and node.domain in STANDARD:
            # onnx knows these as functions, through which it follows no shapes.
            node.op_type = "Identity"
            del node.input[1:], node.output[1:], node.attribute[:]
    try:
        graph = shape_inference.infer_shapes(small, data_prop=True).graph
    except Exception:
        # onnx raises classes of its own for graphs it cannot follow; declared types remain.
        graph = small.graph
    found = {
        value.name: _value_type(value.type.tensor_type)
        for value in (*graph.value_info, *graph.output, *graph.input)
    }
    for tensor in model.graph.initializer:
        found[tensor.name] = ValueType(tensor.data_type, tuple(tensor.dims))
    return found


def _value_type(kind: onnx.TypeProto.Tensor) -> ValueType:
    if not kind.HasField("shape"):
        return ValueType(kind.elem_type, None)
    return ValueType(kind.elem_type, tuple(d.dim_value for d in kind.shape.dim))


def raise_opset(model: onnx.ModelProto, version: int) -> bool:
    """Rewrite a model in place in a newer version of the standard operators.

    Returns:
        Whether it is written in ``version`` or a newer one now; False if onnx cannot convert it.
    """
    if opset_of(model) >= version:
        return True
    small = skeleton(model)
    weights = {t.name: t for t in model.graph.initializer}
    given = [value.name for value in model.graph.input]
    try:
        newer = version_converter.convert_version(small, version)
    except Exception:
        # onnx raises classes of its own that share no base but Exception.
        return False
    inputs = {value.name: value for value in newer.graph.input}
    if any(name not in inputs for name in given):
        return False
    _restore(newer, weights, given, inputs)
    model.graph.CopyFrom(newer.graph)
    imports = [o for o in model.opset_import if o.domain not in STANDARD]
    imports = [helper.make_opsetid("", version), *imports]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    model.ir_version = max(model.ir_version, helper.find_min_ir_version_for(imports, True))
    return True


def _restore(
    newer: onnx.ModelProto,
    weights: Mapping[str, onnx.TensorProto],
    given: list[str],
    inputs: Mapping[str, onnx.ValueInfoProto],
) -> None:
    """Put the weights back that a skeleton had as inputs."""
    del newer.graph.input[:]
    newer.graph.input.extend(inputs[name] for name in given)
    kept = {t.name for t in newer.graph.initializer}
    newer.graph.initializer.extend(t for name, t in weights.items() if name not in kept)
