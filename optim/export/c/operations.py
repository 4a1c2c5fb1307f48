"""What every kernel of a deployed graph becomes, or a refusal that names what is lacking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import NoReturn

import numpy as np
import onnx

from optim.errors import ExportError
from optim.export.c.builder import QUANTIZE, Builder, Weight, is_set
from optim.export.c.program import BYTE, Operation, Program, Scaling
from optim.graph.dataflow import Dataflow, Kernel, StoredValue
from optim.graph.layers import attribute_of

__all__ = ["integer_program"]


def integer_program(model: onnx.ModelProto, flow: Dataflow) -> Program:
    """Return the integer program of a deployed graph.

    Args:
        model: The graph, quantized.
        flow: Its kernels, for one sample.

    Raises:
        ExportError: If something in it has no integer form here; says which layer and what to do.
    """
    to = Builder(model, flow)
    offsets = to.memory.offsets
    if len(flow.inputs) != 1 or len(flow.outputs) != 1 or not flow.kernels:
        raise ExportError("The C runner takes models with one input and one output.")
    given = flow.values[flow.inputs[0]]
    if given.grid is None or given.width != 1:
        how = "quantized to 16 bits" if given.grid else "not quantized"
        raise ExportError(
            f"The C runner computes on integers of 8 bits, and this model's input is {how}.",
            hint=QUANTIZE,
        )
    for kernel in flow.kernels:
        # First of all, what no quantization mends: else that is what the reader is told to try.
        if kernel.node.op_type in _NEVER:
            _refuse_operator(kernel)
    operations = [op for kernel in flow.kernels for op in _operations(to, kernel)]
    (output,) = flow.outputs
    if not to.output_scale:
        raise ExportError(
            f"The C runner needs a layer with weights or a mean at the end: the last result is "
            f"of {flow.kernels[-1].name!r} ({flow.kernels[-1].node.op_type})."
        )
    return Program(
        operations=tuple(operations),
        arena=int(to.memory.arena.value),
        input=given,
        input_offset=offsets[given.name],
        output_shape=flow.values[output].shape,
        output_offset=offsets[output],
        output_scale=to.output_scale,
    )


_NEVER = frozenset({"ConvTranspose", "Gather", "LSTM", "GRU", "RNN"})
"""Layers with weights that have no integer form anywhere."""


def _refuse_operator(kernel: Kernel) -> NoReturn:
    known = ", ".join(sorted(_OPERATIONS))
    raise ExportError(
        f"The C runner has no {kernel.node.op_type} ({kernel.name!r}); it has {known}.",
        hint="Choose an ONNX file, or a model of these operations.",
    )


def _operations(to: Builder, kernel: Kernel) -> list[Operation]:
    if kernel.node.op_type == "Sum" and len(kernel.inputs) == 1:
        # What sets a layer apart whose kernel computes floats.
        layers = (k.name for k in to.flow.kernels if kernel.outputs[0] in k.inputs)
        raise ExportError(
            f"The C runner computes on integers of 8 bits, and {next(layers, kernel.name)!r} "
            "has more bits or scales for groups.",
            hint=QUANTIZE,
        )
    build = _OPERATIONS.get(kernel.node.op_type) if not kernel.node.domain else None
    if build is None:
        _refuse_operator(kernel)
    for name in kernel.inputs:
        value = to.flow.values[name]
        if value.grid is None or value.width != 1:
            raise ExportError(
                f"The C runner computes on integers, and {kernel.name!r} reads "
                f"{'floating point' if value.grid is None else '16-bit activations'}.",
                hint=QUANTIZE,
            )
    return build(to, kernel)


def _window(kernel: Kernel, source: StoredValue, result: StoredValue) -> dict[str, int]:
    """Return the sizes of what slides over an image, a sequence being one row."""
    node = kernel.node
    dims = len(source.shape) - 2
    if dims not in (1, 2):
        raise ExportError(
            f"The C runner slides over sequences and images; {kernel.name!r} has {dims} axes."
        )
    if attribute_of(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise ExportError(f"The C runner needs the padding of {kernel.name!r} in numbers.")

    def pair(name: str, default: list[int], each: int = 1) -> list[int]:
        values = list(attribute_of(node, name) or default)
        return [each] * (2 - len(values)) + values

    pads = list(attribute_of(node, "pads") or [0] * (2 * dims))[:dims]
    heights = [1] * (2 - dims)
    fields = {
        "in_height in_width": [*heights, *source.shape[2:]],
        "out_height out_width": [*heights, *result.shape[2:]],
        "kernel_height kernel_width": pair("kernel_shape", [1] * dims),
        "stride_height stride_width": pair("strides", [1] * dims),
        "pad_top pad_left": [0] * (2 - dims) + pads,
        "dilation_height dilation_width": pair("dilations", [1] * dims),
    }
    sizes = {
        n: int(v) for names, vs in fields.items() for n, v in zip(names.split(), vs, strict=True)
    }
    return {"in_channels": source.shape[1], "out_channels": result.shape[1], **sizes}


def _conv(to: Builder, kernel: Kernel) -> list[Operation]:
    source, result = _one_to_one(to, kernel)
    weight = to.weight(kernel)
    select = _selected(to, kernel, weight)
    window = _window(kernel, source, result)
    if select is not None:
        numbers, factors = to.result(kernel, to.grid(source.name).scale)
        numbers |= to.read(source)
        arrays = {"source": select}
        return [Operation("select", kernel.name, window | numbers, Scaling.of(factors), arrays)]
    groups = {"groups": int(attribute_of(kernel.node, "group", 1))}
    numbers, scaling, arrays = to.layer(kernel, weight)
    return [Operation("conv", kernel.name, window | groups | numbers, scaling, arrays)]


def _selected(to: Builder, kernel: Kernel, weight: Weight) -> np.ndarray | None:
    """Return which channel each result copies, -1 for zeros, if a convolution only copies some."""
    integers = weight.integers
    is_pointwise = integers.ndim == 4 and integers.shape[2:] == (1, 1)
    plain = is_pointwise and len(kernel.node.input) == 2 and not weight.zero.any()
    plain = plain and not any(attribute_of(kernel.node, "pads") or ())
    if not plain or not np.all(weight.scale == 1) or attribute_of(kernel.node, "group", 1) != 1:
        return None
    rows = integers.reshape(integers.shape[:2])
    if not np.isin(rows, (0, 1)).all() or (rows.sum(1) > 1).any():
        return None
    return np.where(rows.any(1), rows.argmax(1), -1).astype(np.int16)


def _linear(to: Builder, kernel: Kernel) -> list[Operation]:
    node = kernel.node
    source, result = _one_to_one(to, kernel)
    scaled = (attribute_of(node, "alpha", 1.0), attribute_of(node, "beta", 1.0)) != (1.0, 1.0)
    if scaled or is_set(node, "transA"):
        raise ExportError(f"The C runner computes plain products; {kernel.name!r} is scaled.")
    weight = to.weight(kernel)
    if weight.integers.ndim != 2 or prod(source.shape) != weight.integers.shape[1]:
        raise ExportError(
            f"The C runner multiplies one row by a matrix; {kernel.name!r} reads "
            f"{' x '.join(map(str, source.shape))}.",
            hint="Models of tokens and sequences of rows need an ONNX file.",
        )
    sizes = {"in_channels": prod(source.shape), "out_channels": prod(result.shape)}
    numbers, scaling, arrays = to.layer(kernel, weight)
    return [Operation("linear", kernel.name, sizes | numbers, scaling, arrays)]


def _add(to: Builder, kernel: Kernel) -> list[Operation]:
    values = [to.flow.values[name] for name in kernel.inputs]
    result = to.flow.values[kernel.outputs[0]]
    if len(values) != 2 or any(prod(v.shape) != prod(result.shape) for v in values):
        raise ExportError(
            f"The C runner adds two activations of one size; {kernel.name!r} adds others."
        )
    numbers, factors = to.result(kernel, np.array([to.grid(v.name).scale for v in values]))
    numbers |= {
        "count": prod(result.shape),
        "input": to.offset(values[0].name),
        "input_zero": to.zero(values[0].name),
        "other": to.offset(values[1].name),
        "other_zero": to.zero(values[1].name),
    }
    return [Operation("add", kernel.name, numbers, Scaling.joint(factors))]


def _mul(to: Builder, kernel: Kernel) -> list[Operation]:
    """Multiply two activations: of one size, or a number for each channel (squeeze, excitation)."""
    result = to.flow.values[kernel.outputs[0]]
    values = sorted((to.flow.values[n] for n in kernel.inputs), key=lambda v: -prod(v.shape))
    factors = {1: (), 2: tuple(values)}.get(len(values), ())
    whole, other = factors or (result, result)
    repeat = prod(result.shape) // max(1, prod(other.shape))
    by_channel = other.shape[:2] == result.shape[:2] and prod(other.shape[2:]) == 1
    if not factors or whole.shape != result.shape or not (repeat == 1 or by_channel):
        raise ExportError(
            f"The C runner multiplies two activations of one size, or by a number for each "
            f"channel; {kernel.name!r} multiplies others."
        )
    step = to.grid(whole.name).scale * to.grid(other.name).scale
    numbers, scales = to.result(kernel, step, BYTE * BYTE)
    numbers |= to.read(whole)
    numbers |= {"count": prod(result.shape), "repeat": repeat}
    numbers |= {"other": to.offset(other.name), "other_zero": to.zero(other.name)}
    return [Operation("mul", kernel.name, numbers, Scaling.of(scales))]


def _max_pool(to: Builder, kernel: Kernel) -> list[Operation]:
    source, result = _one_to_one(to, kernel)
    numbers, factors = to.result(kernel, to.grid(source.name).scale)
    numbers |= _window(kernel, source, result) | to.read(source)
    return [Operation("max_pool", kernel.name, numbers, Scaling.of(factors))]


def _average_pool(to: Builder, kernel: Kernel) -> list[Operation]:
    source, result = _one_to_one(to, kernel)
    window = _window(kernel, source, result)
    if kernel.node.op_type == "GlobalAveragePool":
        window |= {f"kernel_{side}": window[f"in_{side}"] for side in ("height", "width")}
    node = kernel.node
    uneven = any(attribute_of(node, "pads") or ()) and not is_set(node, "count_include_pad")
    if uneven or is_set(node, "ceil_mode"):
        raise ExportError(
            f"The C runner takes means over windows of one size; at the border, those of "
            f"{kernel.name!r} are smaller.",
            hint="Choose an ONNX file, or pooling without padding.",
        )
    count = window["kernel_height"] * window["kernel_width"]
    numbers, factors = to.result(kernel, to.grid(source.name).scale / count, BYTE * count)
    numbers |= window | to.read(source)
    return [Operation("average_pool", kernel.name, numbers, Scaling.of(factors))]


def _rescale(to: Builder, kernel: Kernel) -> list[Operation]:
    """Put a value on another grid; an activation function may be all there is to it."""
    source, _ = _one_to_one(to, kernel)
    if kernel.node.op_type != "QuantizeLinear":
        kernel = replace(kernel, after=(kernel.node, *kernel.after))
    numbers, factors = to.result(kernel, to.grid(source.name).scale)
    numbers |= {"count": prod(source.shape)} | to.read(source)
    return [Operation("rescale", kernel.name, numbers, Scaling.of(factors))]


def _concat(to: Builder, kernel: Kernel) -> list[Operation]:
    (name,) = kernel.outputs
    result = to.flow.values[name]
    if attribute_of(kernel.node, "axis", 0) % len(result.shape) != 1:
        raise ExportError(
            f"The C runner joins values along their channels; {kernel.name!r} joins another axis."
        )
    operations, before = [], 0
    for source in (to.flow.values[each] for each in kernel.inputs):
        numbers, factors = to.result(kernel, to.grid(source.name).scale)
        if numbers["wide"]:
            raise ExportError(f"The C runner ends in no concatenation, as {kernel.name!r} is.")
        numbers |= {"count": prod(source.shape), "output": numbers["output"] + before}
        before += prod(source.shape)
        numbers |= to.read(source)
        operations.append(Operation("rescale", kernel.name, numbers, Scaling.of(factors)))
    return operations


def _one_to_one(to: Builder, kernel: Kernel) -> tuple[StoredValue, StoredValue]:
    """Return the one value a kernel reads and the one it writes."""
    if len(kernel.inputs) != 1 or len(kernel.outputs) != 1:
        raise ExportError(
            f"The C runner reads one activation in {kernel.name!r}, which reads more."
        )
    return to.flow.values[kernel.inputs[0]], to.flow.values[kernel.outputs[0]]


_OPERATIONS: dict[str, Callable[[Builder, Kernel], list[Operation]]] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "Clip": _rescale,
    "Concat": _concat,
    "Conv": _conv,
    "Gemm": _linear,
    "GlobalAveragePool": _average_pool,
    "HardSigmoid": _rescale,
    "HardSwish": _rescale,
    "MatMul": _linear,
    "MaxPool": _max_pool,
    "Mul": _mul,
    "QuantizeLinear": _rescale,
    "Relu": _rescale,
}
