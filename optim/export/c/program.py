"""A deployed graph as a list of integer operations, or a refusal that names what is lacking.

Integers are kept as signed bytes: 0..255 becomes -128..127, zero points move along. A result on a
grid is ``zero + round(accumulator * multiplier / 2^shift)``, limited to the grid; activation
functions that only clip are part of that limit. What is computed last may stay in floating point in
the file: here it is an int32 with a step of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from optim.errors import ExportError
from optim.graph.dataflow import Dataflow, Kernel, StoredGrid, StoredValue
from optim.graph.layers import attribute_of
from optim.measure.memory import schedule_memory

__all__ = ["Operation", "Program", "Scaling", "integer_program"]

_QUANTIZE = (
    "Quantize weights and activations of every layer to 8 bits or fewer, with scales for a layer "
    "or for each channel."
)
_MULTIPLIER_BITS = 31
_MOST_SHIFT = 62
_BYTE = 255
"""Largest distance of a signed byte from a zero point."""
_FINER_BITS = 8


@dataclass(frozen=True, eq=False)
class Scaling:
    """What turns accumulators into results: ``round(accumulator * multiplier / 2^shift)``.

    Attributes:
        multipliers: ``(n,)`` int32 of 31 bits; one for all channels or one for each.
        shifts: ``(n,)`` uint8 in 0..62.
    """

    multipliers: np.ndarray
    shifts: np.ndarray

    @classmethod
    def of(cls, factors: np.ndarray) -> Scaling:
        """Return the closest scaling to real factors above zero, to within 2^-31 of each."""
        pairs = [_fixed_point(float(factor)) for factor in np.atleast_1d(factors)]
        return cls(
            np.array([m for m, _ in pairs], np.int32), np.array([s for _, s in pairs], np.uint8)
        )

    @classmethod
    def joint(cls, factors: np.ndarray) -> Scaling:
        """Return one whose shifts are equal, so that products can be added before rounding."""
        _, shift = _fixed_point(float(max(factors)))
        multipliers = np.round(factors * 2.0**shift).astype(np.int64)
        return cls(multipliers.astype(np.int32), np.full(len(factors), shift, np.uint8))


def _fixed_point(factor: float) -> tuple[int, int]:
    mantissa, exponent = math.frexp(factor)
    multiplier, shift = round(mantissa * 2**_MULTIPLIER_BITS), _MULTIPLIER_BITS - exponent
    if multiplier == 2**_MULTIPLIER_BITS:
        multiplier, shift = multiplier // 2, shift - 1
    if shift > _MOST_SHIFT:
        multiplier, shift = multiplier >> min(31, shift - _MOST_SHIFT), _MOST_SHIFT
    if shift < 0:
        raise ExportError(f"A scale of the model is out of range: a result would grow {factor:g}x.")
    return multiplier, shift


@dataclass(frozen=True, eq=False)
class Operation:
    """One call of a function of the runner.

    Attributes:
        kind: ``"conv"``, ``"linear"``, ``"add"``, ``"max_pool"``, ``"average_pool"``,
            ``"rescale"`` or ``"select"``.
        name: Of the kernel it comes from.
        numbers: Sizes, offsets, zero points and limits, by the field's name in C.
        scaling: Of its results.
        arrays: Weights and biases by the field's name in C.
    """

    kind: str
    name: str
    numbers: Mapping[str, int]
    scaling: Scaling
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Program:
    """Operations in order, and how they are fed and read.

    Attributes:
        operations: What is computed.
        arena: Bytes of memory for activations.
        input: The value that is given.
        input_offset: Where its integers are put, in bytes.
        output_shape: Sizes of the result.
        output_offset: Where the result stands, in bytes; int32 numbers.
        output_scale: Real number for which one step of the result stands.
    """

    operations: tuple[Operation, ...]
    arena: int
    input: StoredValue
    input_offset: int
    output_shape: tuple[int, ...]
    output_offset: int
    output_scale: float

    @property
    def output_count(self) -> int:
        """Numbers of the result."""
        return prod(self.output_shape)

    @property
    def input_zero_point(self) -> int:
        """Signed byte that stands for 0.0."""
        assert self.input.grid is not None
        return self.input.grid.zero_point - _moved(self.input.grid)

    @property
    def input_limits(self) -> tuple[int, int]:
        """Least and largest signed byte of the input."""
        assert self.input.grid is not None
        moved = _moved(self.input.grid)
        return self.input.grid.qmin - moved, self.input.grid.qmax - moved

    @property
    def constants(self) -> int:
        """Bytes of all constant arrays."""
        arrays = [
            array
            for op in self.operations
            for array in (*op.arrays.values(), op.scaling.multipliers, op.scaling.shifts)
        ]
        return sum(array.nbytes for array in arrays)

    def quantized(self, inputs: np.ndarray) -> np.ndarray:
        """Return normalised samples as the signed bytes that the program is given."""
        assert self.input.grid is not None
        steps = np.rint(inputs.astype(np.float32) / np.float32(self.input.grid.scale))
        return np.clip(steps + self.input_zero_point, *self.input_limits).astype(np.int8)


def integer_program(model: onnx.ModelProto, flow: Dataflow) -> Program:
    """Return the integer program of a deployed graph.

    Args:
        model: The graph, quantized.
        flow: Its kernels, for one sample.

    Raises:
        ExportError: If something in it has no integer form here; says which layer and what to do.
    """
    return _Builder(model, flow).build()


def _moved(grid: StoredGrid) -> int:
    """Return what is subtracted from the integers of a grid to make them signed bytes."""
    return 0 if grid.signed else 128


@dataclass(frozen=True, eq=False)
class _Weight:
    """Integers ``(O, ...)`` of a weight, with a scale and zero point each or for all."""

    integers: np.ndarray
    scale: np.ndarray
    zero: np.ndarray


class _Builder:
    """Turns kernels into operations one by one."""

    def __init__(self, model: onnx.ModelProto, flow: Dataflow) -> None:
        self.flow = flow
        self.constants = {t.name: t for t in model.graph.initializer}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.memory = schedule_memory(flow)
        self.output_scale = 0.0

    def build(self) -> Program:
        """Return the whole; to be called once."""
        flow, offsets = self.flow, self.memory.offsets
        if len(flow.inputs) != 1 or len(flow.outputs) != 1 or not flow.kernels:
            raise ExportError("The C runner takes models with one input and one output.")
        given = flow.values[flow.inputs[0]]
        if given.grid is None or given.width != 1:
            how = "quantized to 16 bits" if given.grid else "not quantized"
            raise ExportError(
                f"The C runner computes on integers of 8 bits, and this model's input is {how}.",
                hint=_QUANTIZE,
            )
        operations = [op for kernel in flow.kernels for op in self._operations(kernel)]
        (output,) = flow.outputs
        if not self.output_scale:
            raise ExportError(
                f"The C runner needs a layer with weights or a mean at the end: the last result is "
                f"of {flow.kernels[-1].name!r} ({flow.kernels[-1].node.op_type})."
            )
        return Program(
            operations=tuple(operations),
            arena=int(self.memory.arena.value),
            input=given,
            input_offset=offsets[given.name],
            output_shape=flow.values[output].shape,
            output_offset=offsets[output],
            output_scale=self.output_scale,
        )

    def _operations(self, kernel: Kernel) -> list[Operation]:
        if kernel.node.op_type == "Sum" and len(kernel.inputs) == 1:
            # What sets a layer apart whose kernel computes floats.
            layers = (k.name for k in self.flow.kernels if kernel.outputs[0] in k.inputs)
            raise ExportError(
                f"The C runner computes on integers of 8 bits, and {next(layers, kernel.name)!r} "
                "has more bits or scales for groups.",
                hint=_QUANTIZE,
            )
        build = _BUILDERS.get(kernel.node.op_type) if not kernel.node.domain else None
        if build is None:
            known = ", ".join(sorted(_BUILDERS))
            raise ExportError(
                f"The C runner has no {kernel.node.op_type} ({kernel.name!r}); it has {known}.",
                hint="Choose an ONNX file, or a model of these operations.",
            )
        for name in kernel.inputs:
            value = self.flow.values[name]
            if value.grid is None or value.width != 1:
                raise ExportError(
                    f"The C runner computes on integers, and {kernel.name!r} reads "
                    f"{'floating point' if value.grid is None else '16-bit activations'}.",
                    hint=_QUANTIZE,
                )
        return build(self, kernel)

    # --- what all operations share ----------------------------------------------------------------

    def grid(self, name: str) -> StoredGrid:
        """Return the grid of a value that was found to have one."""
        grid = self.flow.values[name].grid
        assert grid is not None
        return grid

    def zero(self, name: str) -> int:
        """Return the zero point of a value, as a signed byte."""
        grid = self.grid(name)
        return grid.zero_point - _moved(grid)

    def offset(self, name: str) -> int:
        """Return where a value stands in the arena."""
        return self.memory.offsets[name]

    def result(
        self, kernel: Kernel, step: float | np.ndarray, reach: int = 2 * _BYTE
    ) -> tuple[dict[str, int], np.ndarray]:
        """Return the fields that describe a result, and the factors from accumulators to it.

        Args:
            kernel: Whose result.
            step: Real numbers for which one step of the accumulator stands, one or one a channel.
            reach: Largest size of an accumulator.
        """
        (name,) = kernel.outputs
        grid = self.flow.values[name].grid
        steps = np.atleast_1d(np.asarray(step, np.float64))
        if grid is None:
            return self._last(kernel, steps, reach)
        if self.flow.values[name].width != 1:
            raise ExportError(
                f"The C runner has no 16-bit activations, and {kernel.name!r} writes some.",
                hint=_QUANTIZE,
            )
        low, high = self._limits(kernel, grid)
        moved = _moved(grid)
        numbers = {
            "output": self.offset(name),
            "output_zero": grid.zero_point - moved,
            "low": low - moved,
            "high": high - moved,
            "wide": 0,
        }
        return numbers, steps / grid.scale

    def _last(
        self, kernel: Kernel, steps: np.ndarray, reach: int
    ) -> tuple[dict[str, int], np.ndarray]:
        (name,) = kernel.outputs
        if name not in self.flow.outputs or kernel.after:
            what = kernel.after[0].op_type if kernel.after else "floating point"
            raise ExportError(
                f"The C runner computes on integers, and {kernel.name!r} is followed by {what}.",
                hint=_QUANTIZE,
            )
        # As much finer than the accumulator as 32 bits have room for.
        room = max(0, min(_FINER_BITS, 31 - (reach + 1).bit_length()))
        self.output_scale = float(steps.max()) / 2**room
        limits = {"low": -(2**31) + 1, "high": 2**31 - 1}
        numbers = {"output": self.offset(name), "output_zero": 0, **limits, "wide": 1}
        return numbers, steps / self.output_scale

    def _limits(self, kernel: Kernel, grid: StoredGrid) -> tuple[int, int]:
        """Return the least and largest integer of a result, clipping functions included."""
        low, high = grid.qmin, grid.qmax
        for node in kernel.after:
            ends = self._ends(kernel, node)
            step = [None if e is None else round(e / grid.scale) + grid.zero_point for e in ends]
            low = low if step[0] is None else min(max(low, step[0]), high)
            high = high if step[1] is None else max(min(high, step[1]), low)
        return low, high

    def _ends(self, kernel: Kernel, node: onnx.NodeProto) -> tuple[float | None, float | None]:
        """Return where a function clips."""
        if node.op_type == "Relu":
            return 0.0, None
        if node.op_type != "Clip":
            raise ExportError(
                f"The C runner has no {node.op_type} ({kernel.name!r} is followed by one); of "
                "activation functions it has Relu and Clip.",
                hint="Choose an ONNX file, or a model with ReLU or ReLU6.",
            )
        given = [*node.input[1:], "", ""][:2]
        ends = [self.array(name).item() if name else None for name in given]
        return ends[0], ends[1]

    def array(self, name: str) -> np.ndarray:
        """Return a constant."""
        return numpy_helper.to_array(self.constants[name])

    def weight(self, kernel: Kernel) -> _Weight:
        """Return the integers of a layer's weight, output channels first."""
        node = kernel.node
        maker = self.makers.get(node.input[1])
        axis = 0
        if node.op_type == "MatMul" or (node.op_type == "Gemm" and not _is_set(node, "transB")):
            axis = 1
        if maker is None or maker.op_type != "DequantizeLinear":
            self.lacks_weights(kernel)
        assert maker is not None
        stored = self._stored(maker.input[0])
        if stored is None or stored.dtype not in (np.int8, np.uint8):
            self.lacks_weights(kernel)
        assert stored is not None
        scale = self.array(maker.input[1]).astype(np.float64).reshape(-1)
        zero = np.zeros(len(scale), np.int64)
        if len(maker.input) > 2 and maker.input[2]:
            zero = self.array(maker.input[2]).astype(np.int64).reshape(-1)
        along = attribute_of(maker, "axis", 1) % max(1, stored.ndim)
        if attribute_of(maker, "block_size", 0) or (len(scale) > 1 and along != axis):
            self.lacks_weights(kernel)
        moved = 128 if stored.dtype == np.uint8 else 0
        integers = np.moveaxis(stored.astype(np.int64), axis, 0) - moved
        return _Weight(integers, scale, zero - moved)

    def lacks_weights(self, kernel: Kernel) -> None:
        """Refuse a layer whose weights are no integers of at most 8 bits.

        Raises:
            ExportError: Always.
        """
        raise ExportError(
            f"The C runner needs weights of at most 8 bits with scales for a layer or a channel: "
            f"those of {kernel.name!r} are stored otherwise.",
            hint=_QUANTIZE,
        )

    def _stored(self, name: str) -> np.ndarray | None:
        """Return constant integers, looking through the cast that widens packed ones."""
        if name in self.constants:
            return self.array(name)
        maker = self.makers.get(name)
        if maker is None or maker.op_type != "Cast" or maker.input[0] not in self.constants:
            return None
        return self.array(maker.input[0]).astype(np.int8)

    def layer(
        self, kernel: Kernel, weight: _Weight
    ) -> tuple[dict[str, int], Scaling, dict[str, np.ndarray]]:
        """Return the fields, scaling and arrays of a layer with weights."""
        (source,) = kernel.inputs
        steps = weight.scale * self.grid(source).scale
        channels = len(weight.integers)
        bias = self.bias(kernel, steps, channels)
        rows = weight.integers.reshape(channels, -1)
        zero = np.broadcast_to(weight.zero, channels) if len(weight.zero) > 1 else weight.zero
        reach = int((np.abs(rows - zero[:, None]).sum(1) * _BYTE + np.abs(bias)).max())
        if reach >= 2**31:
            raise ExportError(
                f"The sums of {kernel.name!r} may not fit into 32 bits.",
                hint="Choose fewer bits for weights or activations.",
            )
        numbers, factors = self.result(kernel, steps, reach)
        numbers |= _read(self, self.flow.values[source])
        arrays: dict[str, np.ndarray] = {
            "weights": rows.astype(np.int8),
            "bias": bias.astype(np.int32),
        }
        if weight.zero.any():
            arrays["weight_zeros"] = np.broadcast_to(weight.zero, channels).astype(np.int8)
        return numbers, Scaling.of(factors), arrays

    def bias(self, kernel: Kernel, steps: np.ndarray, channels: int) -> np.ndarray:
        """Return the bias ``(O,)`` of a layer as the integers that its accumulator adds."""
        node = kernel.node
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(channels, np.int64)
        maker = self.makers.get(node.input[2])
        stored = self._stored(maker.input[0]) if maker is not None else None
        if maker is None or maker.op_type != "DequantizeLinear" or stored is None:
            raise ExportError(
                f"The C runner needs the bias of {kernel.name!r} as integers, and it is stored in "
                "floating point.",
                hint=_QUANTIZE,
            )
        scale = self.array(maker.input[1]).astype(np.float64).reshape(-1)
        if not np.allclose(scale, steps, rtol=1e-5, atol=0):
            raise ExportError(
                f"The bias of {kernel.name!r} has another scale than its accumulator."
            )
        return stored.astype(np.int64).reshape(-1)


def _is_set(node: onnx.NodeProto, name: str) -> bool:
    return bool(attribute_of(node, name, 0))


# --- operations -----------------------------------------------------------------------------------


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


def _conv(to: _Builder, kernel: Kernel) -> list[Operation]:
    source, result = _one_to_one(to, kernel)
    weight = to.weight(kernel)
    select = _selected(to, kernel, weight)
    window = _window(kernel, source, result)
    if select is not None:
        numbers, factors = to.result(kernel, to.grid(source.name).scale)
        numbers |= _read(to, source)
        arrays = {"source": select}
        return [Operation("select", kernel.name, window | numbers, Scaling.of(factors), arrays)]
    groups = {"groups": int(attribute_of(kernel.node, "group", 1))}
    numbers, scaling, arrays = to.layer(kernel, weight)
    return [Operation("conv", kernel.name, window | groups | numbers, scaling, arrays)]


def _selected(to: _Builder, kernel: Kernel, weight: _Weight) -> np.ndarray | None:
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


def _linear(to: _Builder, kernel: Kernel) -> list[Operation]:
    node = kernel.node
    source, result = _one_to_one(to, kernel)
    scaled = (attribute_of(node, "alpha", 1.0), attribute_of(node, "beta", 1.0)) != (1.0, 1.0)
    if scaled or _is_set(node, "transA"):
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


def _add(to: _Builder, kernel: Kernel) -> list[Operation]:
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


def _max_pool(to: _Builder, kernel: Kernel) -> list[Operation]:
    source, result = _one_to_one(to, kernel)
    numbers, factors = to.result(kernel, to.grid(source.name).scale)
    numbers |= _window(kernel, source, result) | _read(to, source)
    return [Operation("max_pool", kernel.name, numbers, Scaling.of(factors))]


def _average_pool(to: _Builder, kernel: Kernel) -> list[Operation]:
    source, result = _one_to_one(to, kernel)
    window = _window(kernel, source, result)
    if kernel.node.op_type == "GlobalAveragePool":
        window |= {f"kernel_{side}": window[f"in_{side}"] for side in ("height", "width")}
    node = kernel.node
    uneven = any(attribute_of(node, "pads") or ()) and not _is_set(node, "count_include_pad")
    if uneven or _is_set(node, "ceil_mode"):
        raise ExportError(
            f"The C runner takes means over windows of one size; at the border, those of "
            f"{kernel.name!r} are smaller.",
            hint="Choose an ONNX file, or pooling without padding.",
        )
    count = window["kernel_height"] * window["kernel_width"]
    numbers, factors = to.result(kernel, to.grid(source.name).scale / count, _BYTE * count)
    numbers |= window | _read(to, source)
    return [Operation("average_pool", kernel.name, numbers, Scaling.of(factors))]


def _rescale(to: _Builder, kernel: Kernel) -> list[Operation]:
    """Put a value on another grid; a clipping function may be all there is to it."""
    source, _ = _one_to_one(to, kernel)
    if kernel.node.op_type != "QuantizeLinear":
        kernel = replace(kernel, after=(kernel.node, *kernel.after))
    numbers, factors = to.result(kernel, to.grid(source.name).scale)
    numbers |= {"count": prod(source.shape)} | _read(to, source)
    return [Operation("rescale", kernel.name, numbers, Scaling.of(factors))]


def _concat(to: _Builder, kernel: Kernel) -> list[Operation]:
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
        numbers |= _read(to, source)
        operations.append(Operation("rescale", kernel.name, numbers, Scaling.of(factors)))
    return operations


def _read(to: _Builder, source: StoredValue) -> dict[str, int]:
    return {"input": to.offset(source.name), "input_zero": to.zero(source.name)}


def _one_to_one(to: _Builder, kernel: Kernel) -> tuple[StoredValue, StoredValue]:
    """Return the one value a kernel reads and the one it writes."""
    if len(kernel.inputs) != 1 or len(kernel.outputs) != 1:
        raise ExportError(
            f"The C runner reads one activation in {kernel.name!r}, which reads more."
        )
    return to.flow.values[kernel.inputs[0]], to.flow.values[kernel.outputs[0]]


_BUILDERS: dict[str, Callable[[_Builder, Kernel], list[Operation]]] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "Clip": _rescale,
    "Concat": _concat,
    "Conv": _conv,
    "Gemm": _linear,
    "GlobalAveragePool": _average_pool,
    "MatMul": _linear,
    "MaxPool": _max_pool,
    "QuantizeLinear": _rescale,
    "Relu": _rescale,
}
