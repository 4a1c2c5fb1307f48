"""What ONNX Runtime makes of a file: its operators after fusion, with their sizes and their times.

The runtime itself is asked: it writes the graph it has rewritten, and says what it ran and for how
long.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from optim.devices.operators import Operator
from optim.measure.macs import einsum_macs
from optim.models.interface import Interface
from optim.runtime.tracing import trace_operators

__all__ = ["TimedOperator", "constant_bytes", "operators_of", "timed_operators"]


@dataclass(frozen=True)
class TimedOperator:
    """One operator as this machine runs it.

    Attributes:
        name: As the runtime calls it.
        op: Kind of operator, such as ``QLinearConv``.
        ms: Median milliseconds of one run.
    """

    name: str
    op: str
    ms: float


def operators_of(
    file: bytes,
    inputs: np.ndarray,
    owners: Mapping[str, str] | None = None,
    interface: Interface | None = None,
) -> tuple[Operator, ...]:
    """Return the operators of a file after the fusions that do not depend on the processor.

    They are told for one sample: of a file that takes several at once, each has its share.

    Args:
        file: An ONNX file.
        inputs: ``(1, ...)`` float32, one sample.
        owners: ``{kernel name: layer}``, see :func:`optim.runtime.emit.kernel_owners`.
        interface: How the file is run; it has one input if None.

    Raises:
        ExportError: If the runtime refuses the file.
    """
    file = _with_names(file)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model.onnx"
        traced = trace_operators(file, inputs, runs=1, interface=interface, rewritten=written)
        graph = onnx.load(written, load_external_data=False).graph
    outputs = {operator.name: operator.outputs for operator in traced}
    weights = {t.name: (list(t.dims), t.data_type) for t in graph.initializer}
    # Where no kernel takes the integers, they become floats anew for every inference.
    widened = {
        node.output[0]: weights[node.input[0]]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in weights
    }
    types: dict[str, tuple[str, list[int]]] = {}
    for value in graph.input:
        sizes = [max(1, d.dim_value) for d in value.type.tensor_type.shape.dim]
        kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
        types[value.name] = (kind, sizes)
    for node in graph.node:
        for name, (kind, told) in zip(node.output, outputs.get(node.name, ()), strict=False):
            if kind:
                types[name] = (kind, list(told))
    readers = Counter(name for node in graph.node for name in node.input)
    found: list[Operator] = []
    fusible: set[str] = set()
    seen: set[str] = set()
    for node in graph.node:
        operator = _operator(node, types, weights, widened, owners or {})
        if interface and interface.batch > 1:
            operator = _of_one(operator, interface.batch)
        again = seen.intersection(node.input)
        operator = replace(operator, shared_bytes=sum(_stored(*weights[n]) for n in again))
        seen.update(name for name in node.input if name in weights)
        if _continues(node, fusible, readers):
            operator = replace(operator, fused=True)
        is_float_conv = operator.kind in ("conv", "depthwise") and operator.dtype == "float32"
        if is_float_conv or (operator.fused and node.op_type == "Add"):
            fusible.update(node.output)
        found.append(operator)
    return tuple(found)


def constant_bytes(file: bytes) -> int:
    """Return the bytes of all constants as an ONNX file stores them, each once."""
    constants = onnx.load_from_string(file).graph.initializer
    return sum(_stored(list(one.dims), one.data_type) for one in constants)


def timed_operators(
    file: bytes, inputs: np.ndarray, interface: Interface | None = None
) -> tuple[TimedOperator, ...]:
    """Return the operators that this machine runs, each with its time, in order.

    The clock of the runtime counts whole microseconds, and reading it costs some: the times are for
    comparing operators; their sum is no latency.

    Args:
        file: An ONNX file.
        inputs: ``(batch, ...)`` float32.
        interface: How the file is run; it has one input if None.
    """
    times: dict[tuple[str, str], list[float]] = {}
    for operator in trace_operators(file, inputs, interface=interface):
        times.setdefault((operator.name, operator.op), []).append(operator.ms)
    return tuple(
        TimedOperator(name, op, float(np.mean(_middle(durations))))
        for (name, op), durations in times.items()
    )


def _middle(values: list[float]) -> np.ndarray:
    """Return the middle half: a mean of whole microseconds is finer than their median."""
    ordered = np.sort(values)
    return ordered[len(ordered) // 4 : max(1, len(ordered) - len(ordered) // 4)]


_OPS: dict[str, str] = {
    **dict.fromkeys(("Conv", "FusedConv", "QLinearConv", "ConvInteger", "ConvTranspose"), "conv"),
    **dict.fromkeys(
        ("Gemm", "FusedGemm", "QGemm", "MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger",
         "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulNBits", "Einsum"),
        "matmul",
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), "recurrent"),
    **dict.fromkeys(
        ("Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Where", "Equal", "Greater", "Less",
         "QLinearAdd", "QLinearMul", "PRelu"),
        "add",
    ),
    **dict.fromkeys(
        ("Relu", "Clip", "LeakyRelu", "HardSigmoid", "Neg", "Abs", "Sqrt", "Floor", "Round", "Not",
         "Cast", "Reciprocal", "QLinearLeakyRelu"),
        "relu",
    ),
    **dict.fromkeys(
        ("Erf", "Gelu", "BiasGelu", "FastGelu", "QuickGelu", "Sigmoid", "Tanh", "Exp", "Log", "Pow",
         "HardSwish", "Elu", "Selu", "Softplus", "Mish", "Celu", "QLinearSigmoid", "Sin", "Cos"),
        "gelu",
    ),
    **dict.fromkeys(("Softmax", "LogSoftmax", "QLinearSoftmax"), "softmax"),
    **dict.fromkeys(
        ("LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization",
         "BatchNormalization", "InstanceNormalization", "GroupNorm", "GroupNormalization", "LRN",
         "RMSNormalization"),
        "layer_norm",
    ),
    **dict.fromkeys(("MaxPool", "AveragePool", "QLinearAveragePool", "LpPool"), "max_pool"),
    **dict.fromkeys(
        ("GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool", "ReduceMean",
         "ReduceSum", "ReduceMax", "QLinearReduceMean", "ArgMax", "TopK"),
        "global_pool",
    ),
    **dict.fromkeys(("Concat", "QLinearConcat"), "concat"),
    **dict.fromkeys(
        ("Pad", "Slice", "Gather", "Resize", "Upsample", "Expand", "Tile", "Split", "DepthToSpace",
         "SpaceToDepth", "ScatterND", "GatherND", "GatherElements", "QGather"),
        "pad",
    ),
    "Transpose": "transpose",
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), "convert"),
    **dict.fromkeys(
        ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Constant", "Size",
         "ConstantOfShape", "Range", "Dropout"),
        "view",
    ),
}  # fmt: skip
"""Kinds of the operators that ONNX and ONNX Runtime name."""

_HALF_BYTES = (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
_BYTES = {"float": 4, "float16": 2, "double": 8, "int64": 8, "int32": 4, "uint8": 1, "int8": 1}


def _operator(
    node: onnx.NodeProto,
    types: Mapping[str, tuple[str, list[int]]],
    weights: Mapping[str, tuple[list[int], int]],
    widened: Mapping[str, tuple[list[int], int]],
    owners: Mapping[str, str],
) -> Operator:
    kind = _OPS.get(node.op_type, "other")
    given = [types[name] for name in node.input if name in types]
    read, out = sum(map(_size, given)), types.get(node.output[0], ("float", [1]))
    held = [weights[name] for name in node.input if name in weights]
    factors = [*held, *(widened[name] for name in node.input if name in widened)]
    matrix = max(factors, key=lambda w: prod(w[0]), default=([], 0))
    dtype = "float32"
    if any(name in ("uint8", "int8") for name, _ in (*given, out)) and kind != "convert":
        dtype = "int8"
    elif any(name == "float16" for name, _ in given):
        dtype = "float16"
    sizes = out[1] or [1]
    plain: dict[str, Any] = {
        "name": node.name,
        "dtype": dtype,
        "layer": owners.get(node.name, "")
        or next((owners[name] for name in node.output if name in owners), ""),
        "read_bytes": read,
        "written_bytes": _size(out),
        "weight_bytes": sum(_stored(dims, code) for dims, code in held),
        "op": node.op_type,
    }
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if kind == "conv" and len(matrix[0]) > 2:
        groups = attributes.get("group", 1)
        outputs, per_group, *window = matrix[0]
        inputs, rows = per_group * groups, prod(sizes[2:])
        macs = prod(sizes) * per_group * prod(window)
        if node.op_type == "ConvTranspose":
            inputs, outputs = outputs, per_group * groups
            macs = (prod(given[0][1]) if given else 0) * per_group * prod(window)
        if groups > 1 and groups == inputs:
            kind = "depthwise"
        return Operator(
            kind=kind, inputs=inputs, outputs=outputs, rows=rows, kernel=prod(window),
            groups=groups, macs=macs, **plain,
        )  # fmt: skip
    if kind == "matmul":
        columns = sizes[-1]
        rows = prod(sizes) // max(1, columns)
        left = _sizes_of(node.input[0], {}, weights, widened)
        if node.op_type == "Einsum":
            shapes = [_sizes_of(name, types, weights, widened) for name in node.input]
            told = [shape for shape in shapes if shape is not None]
            equation = attributes["equation"].decode()
            macs = einsum_macs(equation, told) if len(told) == len(shapes) else 0
            inner = macs // max(1, prod(sizes))
            kind = "matmul" if held else "attention"
        elif left and len(left) >= 2 and len(sizes) >= 2:
            # A weight on the left has its output channels in the rows of the product.
            inner = left[-2 if attributes.get("transA") else -1]
            columns = sizes[-2]
            rows = prod(sizes) // max(1, columns)
            kind = "gemm" if rows == 1 else "matmul"
        elif len(matrix[0]) >= 2:
            inner = prod(matrix[0][-2:]) // max(1, columns)
            inner = attributes.get("K", inner)  # packed to fewer bits, the weight has other sizes
            kind = "gemm" if rows == 1 else "matmul"
        else:
            factor = given[0][1] if given else [1]
            inner = factor[-2 if attributes.get("transA") else -1]
            kind = "attention"
        return Operator(
            kind=kind, inputs=inner, outputs=columns, rows=rows, macs=prod(sizes) * inner, **plain
        )
    if kind == "recurrent":
        rows = prod(given[0][1][:2]) if given else 1  # steps of all sequences of a batch
        macs = rows * sum(prod(dims) for dims, _ in factors if len(dims) > 2)
        return Operator(kind=kind, inputs=1, outputs=sizes[-1], rows=rows, macs=macs, **plain)
    channels = sizes[1] if len(sizes) > 2 else sizes[-1]
    window = prod(attributes.get("kernel_shape", [1]))
    return Operator(
        kind=kind, inputs=channels, outputs=channels, rows=prod(sizes) // max(1, channels),
        kernel=window, **plain,
    )  # fmt: skip


def _sizes_of(
    name: str,
    types: Mapping[str, tuple[str, list[int]]],
    weights: Mapping[str, tuple[list[int], int]],
    widened: Mapping[str, tuple[list[int], int]],
) -> list[int] | None:
    """Return the sizes of a value, whether it is computed or stored; None if nobody says."""
    if name in types:
        return types[name][1]
    held = weights.get(name) or widened.get(name)
    return held[0] if held else None


def _of_one(operator: Operator, batch: int) -> Operator:
    """Return what an operator that computes a batch does for one sample; weights are read whole."""
    is_of_one = operator.kind in ("conv", "depthwise")  # they count the positions of one image
    rows = operator.rows if is_of_one else -(-operator.rows // batch)
    return replace(
        operator,
        kind="gemm" if operator.kind == "matmul" and rows == 1 else operator.kind,
        rows=rows,
        macs=operator.macs // batch,
        read_bytes=-(-operator.read_bytes // batch),
        written_bytes=-(-operator.written_bytes // batch),
    )


def _with_names(file: bytes) -> bytes:
    """Return a file whose nodes all have names of their own, by which the trace tells them."""
    try:
        model = onnx.load_from_string(file)
    except Exception:
        # protobuf's errors come without types; the runtime says what is wrong with the file.
        return file
    seen: set[str] = set()
    for node in model.graph.node:
        name = node.name or next(filter(None, node.output), node.op_type)
        while name in seen:
            name += "_"
        seen.add(name)
        node.name = name
    return model.SerializeToString()


def _continues(node: onnx.NodeProto, fusible: set[str], readers: Counter[str]) -> bool:
    """Return whether a blocked convolution does this as well: a sum behind it, then a rectifier."""
    if node.op_type not in ("Add", "Relu"):
        return False
    return any(name in fusible and readers[name] == 1 for name in node.input)


def _size(value: tuple[str, list[int]]) -> int:
    return _BYTES.get(value[0], 4) * prod(value[1])


def _stored(dims: list[int], code: int) -> int:
    """Return the bytes of a constant; two integers of 4 bits share one."""
    if code in _HALF_BYTES:
        return -(-prod(dims) // 2)
    return prod(dims) * int(onnx.helper.tensor_dtype_to_np_dtype(code).itemsize)
