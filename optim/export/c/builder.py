"""What all operations of an integer program are made with: grids, offsets, weights, biases."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from optim.errors import ExportError
from optim.export.c.program import BYTE, Scaling, moved
from optim.graph.dataflow import Dataflow, Kernel, StoredGrid, StoredValue
from optim.graph.layers import attribute_of
from optim.measure.memory import schedule_memory

__all__ = ["QUANTIZE", "Builder", "Weight", "is_set"]

QUANTIZE = (
    "Quantize weights and activations of every layer to 8 bits or fewer, with scales for a layer "
    "or for each channel."
)
_FINER_BITS = 8
_CURVES = {"HardSigmoid": 1, "HardSwish": 2}
"""Curved functions by the number the runner knows them by; RUNNER_... in runner.h."""
_CURVE_BITS = 26
"""Of an argument of a curve, without its sign; RUNNER_CURVE_LIMIT in runner.h."""
_SIGMOID = (("alpha", 0.2), ("beta", 0.5))


@dataclass(frozen=True, eq=False)
class Weight:
    """Integers ``(O, ...)`` of a weight, with a scale and zero point each or for all."""

    integers: np.ndarray
    scale: np.ndarray
    zero: np.ndarray


class Builder:
    """What is known of a graph while its kernels become operations one by one."""

    def __init__(self, model: onnx.ModelProto, flow: Dataflow) -> None:
        self.flow = flow
        self.constants = {t.name: t for t in model.graph.initializer}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.memory = schedule_memory(flow)
        self.output_scale = 0.0

    def grid(self, name: str) -> StoredGrid:
        """Return the grid of a value that was found to have one."""
        grid = self.flow.values[name].grid
        assert grid is not None
        return grid

    def zero(self, name: str) -> int:
        """Return the zero point of a value, as a signed byte."""
        grid = self.grid(name)
        return grid.zero_point - moved(grid)

    def offset(self, name: str) -> int:
        """Return where a value stands in the arena."""
        return self.memory.offsets[name]

    def read(self, source: StoredValue) -> dict[str, int]:
        """Return the fields that say where a value is read, and what its zero is."""
        return {"input": self.offset(source.name), "input_zero": self.zero(source.name)}

    def result(
        self, kernel: Kernel, step: float | np.ndarray, reach: int = 2 * BYTE
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
                hint=QUANTIZE,
            )
        low, high = self._limits(kernel, grid)
        shift = moved(grid)
        numbers = {
            "output": self.offset(name),
            "output_zero": grid.zero_point - shift,
            "low": low - shift,
            "high": high - shift,
            "wide": 0,
        }
        curve = self._curve(kernel, grid)
        if curve is None:
            return numbers, steps / grid.scale
        return numbers | curve, steps * 2.0 ** curve["curve_bits"]

    def _curve(self, kernel: Kernel, grid: StoredGrid) -> dict[str, int] | None:
        """Return the fields of the curved function behind a kernel; None if there is none."""
        curved = [node for node in kernel.after if node.op_type in _CURVES]
        if not curved:
            return None
        if len(curved) > 1 or curved[0] is not kernel.after[0]:
            names = " and ".join(node.op_type for node in kernel.after)
            raise ExportError(f"The C runner computes one curve; {kernel.name!r} has {names}.")
        (node,) = curved
        slope, shift = 1 / 6, 0.5
        if node.op_type == "HardSigmoid":
            slope, shift = (float(attribute_of(node, n, d)) for n, d in _SIGMOID)
        if slope <= 0:
            raise ExportError(
                f"The C runner needs a rising HardSigmoid; that of {kernel.name!r} falls."
            )
        # Beyond its highest value a result is limited, so that an argument need not go further.
        highest = grid.scale * (grid.qmax - grid.zero_point)
        reach = max(4.0, highest, 1 / slope, abs(shift) / slope)
        bits = _CURVE_BITS - math.ceil(math.log2(reach))
        scaling = Scaling.of(np.array([slope / (2.0**bits * grid.scale)]))
        return {
            "curve": _CURVES[node.op_type],
            "curve_bits": bits,
            "curve_offset": round(shift / slope * 2**bits),
            "curve_top": round(1 / slope * 2**bits),
            "curve_multiplier": int(scaling.multipliers[0]),
            "curve_shift": int(scaling.shifts[0]),
        }

    def _last(
        self, kernel: Kernel, steps: np.ndarray, reach: int
    ) -> tuple[dict[str, int], np.ndarray]:
        (name,) = kernel.outputs
        if name not in self.flow.outputs or kernel.after:
            what = kernel.after[0].op_type if kernel.after else "floating point"
            raise ExportError(
                f"The C runner computes on integers, and {kernel.name!r} is followed by {what}.",
                hint=QUANTIZE,
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
            if node.op_type in _CURVES:
                continue
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
                "activation functions it has Relu, Clip, HardSigmoid and HardSwish.",
                hint="Choose an ONNX file, or a model with ReLU, ReLU6 or hard swish.",
            )
        given = [*node.input[1:], "", ""][:2]
        ends = [self.array(name).item() if name else None for name in given]
        return ends[0], ends[1]

    def array(self, name: str) -> np.ndarray:
        """Return a constant."""
        return numpy_helper.to_array(self.constants[name])

    def weight(self, kernel: Kernel) -> Weight:
        """Return the integers of a layer's weight, output channels first."""
        node = kernel.node
        maker = self.makers.get(node.input[1])
        axis = 0
        if node.op_type == "MatMul" or (node.op_type == "Gemm" and not is_set(node, "transB")):
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
        shift = 128 if stored.dtype == np.uint8 else 0
        integers = np.moveaxis(stored.astype(np.int64), axis, 0) - shift
        return Weight(integers, scale, zero - shift)

    def lacks_weights(self, kernel: Kernel) -> None:
        """Refuse a layer whose weights are no integers of at most 8 bits.

        Raises:
            ExportError: Always.
        """
        raise ExportError(
            f"The C runner needs weights of at most 8 bits with scales for a layer or a channel: "
            f"those of {kernel.name!r} are stored otherwise.",
            hint=QUANTIZE,
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
        self, kernel: Kernel, weight: Weight
    ) -> tuple[dict[str, int], Scaling, dict[str, np.ndarray]]:
        """Return the fields, scaling and arrays of a layer with weights."""
        (source,) = kernel.inputs
        steps = weight.scale * self.grid(source).scale
        channels = len(weight.integers)
        bias = self.bias(kernel, steps, channels)
        rows = weight.integers.reshape(channels, -1)
        zero = np.broadcast_to(weight.zero, channels) if len(weight.zero) > 1 else weight.zero
        reach = int((np.abs(rows - zero[:, None]).sum(1) * BYTE + np.abs(bias)).max())
        if reach >= 2**31:
            raise ExportError(
                f"The sums of {kernel.name!r} may not fit into 32 bits.",
                hint="Choose fewer bits for weights or activations.",
            )
        numbers, factors = self.result(kernel, steps, reach)
        numbers |= self.read(self.flow.values[source])
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
                hint=QUANTIZE,
            )
        scale = self.array(maker.input[1]).astype(np.float64).reshape(-1)
        if not np.allclose(scale, steps, rtol=1e-5, atol=0):
            raise ExportError(
                f"The bias of {kernel.name!r} has another scale than its accumulator."
            )
        return stored.astype(np.int64).reshape(-1)


def is_set(node: onnx.NodeProto, name: str) -> bool:
    """Return whether an attribute of a node is there and not 0."""
    return bool(attribute_of(node, name, 0))
