"""Dense layers on 4-bit kernels: MatMulNBits of ONNX Runtime, for models that are mostly dense.

A file with int4 weights is as small, but its runtime widens them when it loads the file. This
operator keeps them packed in memory and unpacks a block while it multiplies, which pays where
reading weights takes longer than multiplying: few rows and large matrices. It belongs to ONNX
Runtime alone, and there is none for convolutions.

References:
    ONNX Runtime, Contrib Operators, com.microsoft.MatMulNBits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from optim.errors import ExportError
from optim.export.four_bits import deployed_weights
from optim.graph.layers import attribute_of
from optim.graph.skeleton import ValueType, value_types
from optim.models.bundle import ModelBundle

__all__ = ["check_dense", "packed_products"]

_LEAST_SHARE = 0.5
_BLOCKS = (256, 128, 64, 32, 16)
"""Weights of one scale that the kernel takes, the largest first."""
_USUAL_BLOCK = 32
_MIDDLE = 8
"""What is added to signed integers of 4 bits: the kernel holds them without sign."""


def check_dense(bundle: ModelBundle) -> None:
    """Refuse a model most of whose weights are no matrices.

    Raises:
        ExportError: With the layers for which there is no such kernel.
    """
    sizes = {name: (w.numel(), w.ndim) for name, w in deployed_weights(bundle).items()}
    total = sum(size for size, _ in sizes.values())
    others = [name for name, (_, dims) in sizes.items() if dims != 2]
    elsewhere = sum(sizes[name][0] for name in others)
    if total and elsewhere <= (1 - _LEAST_SHARE) * total:
        return
    first = f"{others[0]!r}" + (f" and {len(others) - 1} more" if others[1:] else "")
    held = f"{100 * elsewhere / total:.0f} % of its weights are in {first}" if total else "has none"
    raise ExportError(
        "ONNX Runtime multiplies 4-bit weights of dense layers, and has no such kernel for "
        f"convolutions: of {bundle.name}, {held}.",
        hint="Choose ONNX, int4 weights: as small, and computed in float32.",
    )


@dataclass(frozen=True, eq=False)
class _Matrix:
    """A weight as the file stores it, with a scale and a zero point a group.

    Attributes:
        integers: All of it, output after output.
        group: Weights that share a scale; the last group of an output may be shorter.
        scale: ``(R,)``.
        zero: ``(R,)``.
        outputs: Numbers that the layer writes.
        columns: Numbers that it reads.
    """

    integers: np.ndarray
    group: int
    scale: np.ndarray
    zero: np.ndarray
    outputs: int
    columns: int


def packed_products(file: bytes) -> bytes:
    """Return an ONNX file whose dense layers with int4 weights are MatMulNBits.

    Everything else stays as it is: other layers with 4-bit weights are computed in float32.

    Raises:
        ExportError: If a group of weights has a size that the kernel does not take.
    """
    model = onnx.load_from_string(file)
    graph = model.graph
    constants = {t.name: t for t in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    types = value_types(model)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        matrix = _matrix_of(node, makers, constants, types)
        nodes.append(node if matrix is None else _product(graph, node, matrix))
    del graph.node[:]
    graph.node.extend(_read(nodes, {value.name for value in graph.output}))
    used = {name for node in graph.node for name in node.input}
    kept = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model.SerializeToString()


def _matrix_of(
    node: onnx.NodeProto,
    makers: Mapping[str, onnx.NodeProto],
    constants: Mapping[str, onnx.TensorProto],
    types: Mapping[str, ValueType],
) -> _Matrix | None:
    """Return the integers a dense layer multiplies with; None for any other node."""
    if node.op_type not in ("Gemm", "MatMul") or node.domain or not _is_plain(node):
        return None
    name, scale, zero, group = node.input[1], None, None, 0
    while name in makers:
        maker = makers[name]
        if maker.op_type in ("Mul", "Sub"):
            if maker.input[1] not in constants:
                return None
            values = numpy_helper.to_array(constants[maker.input[1]]).reshape(-1)
            scale, zero = (values, zero) if maker.op_type == "Mul" else (scale, values)
            rows = types.get(maker.input[0])
            group = rows.shape[1] if rows and rows.shape and len(rows.shape) == 2 else 0
        elif maker.op_type not in ("Cast", "Pad", "Reshape", "Slice", "Transpose"):
            return None
        name = maker.input[0]
    stored = constants.get(name)
    if stored is None or scale is None or not group or stored.data_type not in _PACKED:
        return None
    kind = types.get(node.input[1])
    if kind is None or kind.shape is None or len(kind.shape) != 2:
        return None
    is_turned = node.op_type == "Gemm" and attribute_of(node, "transB", 0)
    outputs, columns = kind.shape if is_turned else kind.shape[::-1]
    integers = numpy_helper.to_array(stored).astype(np.int64)
    zero = np.zeros(len(scale)) if zero is None else zero
    return _Matrix(integers, group, scale, zero, outputs, columns)


_PACKED = (onnx.TensorProto.INT4, onnx.TensorProto.INT2)


def _is_plain(node: onnx.NodeProto) -> bool:
    """Whether a node multiplies rows by a matrix that stands as layers hold it."""
    if node.op_type == "MatMul":
        return True
    scaled = (attribute_of(node, "alpha", 1.0), attribute_of(node, "beta", 1.0)) != (1.0, 1.0)
    return bool(not scaled and not attribute_of(node, "transA", 0))


def _product(graph: onnx.GraphProto, node: onnx.NodeProto, matrix: _Matrix) -> onnx.NodeProto:
    """Return the product of packed weights in place of a dense layer, with its constants added."""
    group, outputs = matrix.group, matrix.outputs
    block = _USUAL_BLOCK
    if len(matrix.scale) > outputs:
        block = next((b for b in _BLOCKS if group % b == 0), 0)
    if not block:
        raise ExportError(
            f"The 4-bit kernel takes groups of 16 weights or multiples of them; those of "
            f"{node.name!r} have {group}.",
            hint="Choose a group_size of 16, 32, 64 or 128.",
        )
    blocks = -(-matrix.columns // block)

    def of_rows(values: np.ndarray) -> np.ndarray:
        """Return one number a block of what there is one of a scale."""
        each = np.repeat(values, group).reshape(outputs, -1)
        return np.asarray(each[:, : matrix.columns : block])

    codes = matrix.integers.reshape(outputs, -1)[:, : blocks * block] + _MIDDLE
    short = blocks * block - codes.shape[1]
    codes = np.pad(codes, ((0, 0), (0, short)), constant_values=_MIDDLE)
    zeros = of_rows(matrix.zero).astype(np.int64) + _MIDDLE
    zeros = np.pad(zeros, ((0, 0), (0, blocks % 2)), constant_values=_MIDDLE)
    constants = {
        "packed": _pairs(codes).reshape(outputs, blocks, block // 2),
        "scales": of_rows(matrix.scale).astype(np.float32).reshape(-1),
        "zeros": _pairs(zeros).reshape(-1),
    }
    names = {part: f"{node.name or node.output[0]}.{part}" for part in constants}
    for part, values in constants.items():
        graph.initializer.append(numpy_helper.from_array(values, names[part]))
    bias = [node.input[2]] if len(node.input) > 2 and node.input[2] else []
    return helper.make_node(
        "MatMulNBits",
        [node.input[0], *names.values(), *(["", *bias] if bias else [])],
        list(node.output),
        node.name,
        domain="com.microsoft",
        K=matrix.columns,
        N=outputs,
        bits=4,
        block_size=block,
    )


def _pairs(codes: np.ndarray) -> np.ndarray:
    """Return two integers of 4 bits a byte, the first in the low half."""
    low, high = codes[..., ::2], codes[..., 1::2]
    return (low | high << 4).astype(np.uint8)


def _read(nodes: Sequence[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Return the nodes somebody reads, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]
