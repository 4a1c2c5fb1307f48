"""What an 8-bit model computes on x86 processors without VNNI, where sums of products saturate.

``vpmaddubsw`` multiplies unsigned bytes (activations) by signed ones (weights) and adds two
neighbouring products in 16 bits: what is beyond -32768 or 32767 is cut off. VNNI, AMX and Arm add
in 32 bits. With weights in -64..63 no pair comes so far: 2 x 255 x 64 = 32640. ONNX Runtime calls
that ``reduce_range``.

Which products are neighbours is up to the kernels. Taken is the order of ONNX Runtime's (MLAS, as
of 1.32): along the inputs of a dense layer, and along the channels of one position of a
convolution's window after the other. On a processor without VNNI it computes just that, to the last
bit of the sums; other runtimes may pair differently. As there, a convolution is computed on
integers if its result is quantized at once, and depthwise convolutions add in 32 bits. Of layers
that read signed activations it leaves some in floating point; there less is lost than here.

The graph stays a graph: behind each such layer comes what its pairs lose, for the pairs that may
lose anything at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper

from optim.errors import UnsupportedModelError
from optim.graph.dataflow import Kernel, StoredGrid, dataflow
from optim.graph.layers import (
    GraphLayer,
    attribute_of,
    graph_layers,
    node_layers,
    stored_weights,
)
from optim.graph.plan import runs_on_integers
from optim.graph.skeleton import opset_of, raise_opset
from optim.layers.table import QuantizedWeight
from optim.runtime.emission import array
from optim.runtime.onnx_graph import OnnxGraph

__all__ = ["Pairs", "Saturating", "pairs_at_risk", "saturating_graph"]

_LOW, _HIGH = -(2**15), 2**15 - 1
_UNSIGNED = 128
"""What kernels add to signed bytes to make them unsigned."""
_OPSET = 13
"""The first operator set with every operator that is added."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of products of one layer that some input makes saturate.

    Attributes:
        indices: ``(2, O, w)``; which two of the layer's ``K`` inputs are multiplied.
        weights: ``(2, O, w)`` integers by which they are; zeros where an output has fewer pairs.
        share: Share of all pairs of the layer, in 0..1.
    """

    indices: np.ndarray
    weights: np.ndarray
    share: float


@dataclass(frozen=True, eq=False)
class Saturating:
    """A deployed graph whose sums saturate.

    Attributes:
        model: The graph; to be run operator by operator.
        at_risk: ``{layer: share of its pairs that some input makes saturate}`` of every layer
            that integer kernels compute.
        numbers: Numbers of the largest value that was added, for one inference.
    """

    model: onnx.ModelProto
    at_risk: Mapping[str, float]
    numbers: int

    @property
    def may_saturate(self) -> bool:
        """Whether any input makes any sum saturate."""
        return any(self.at_risk.values())


def pairs_at_risk(rows: np.ndarray, low: int, high: int) -> Pairs:
    """Return the pairs of a layer that saturate for some input.

    Args:
        rows: ``(O, K)`` integer weights; neighbours along ``K`` are added in 16 bits.
        low: Smallest unsigned byte that an input may be.
        high: Largest one.

    Example:
        >>> found = pairs_at_risk(np.array([[127, 127, 64, 64, -128, 127]]), 0, 255)
        >>> found.indices[:, 0].tolist(), found.share
        ([[0], [1]], 0.3333333333333333)
    """
    outputs, inputs = rows.shape
    padded = np.pad(rows.astype(np.int64), ((0, 0), (0, inputs % 2)))
    pairs = padded.reshape(outputs, -1, 2)
    up, down = np.maximum(pairs, 0).sum(-1), np.minimum(pairs, 0).sum(-1)
    risky = (high * up + low * down > _HIGH) | (low * up + high * down < _LOW)
    width = int(risky.sum(1).max(initial=0))
    chosen = np.argsort(~risky, axis=1, kind="stable")[:, :width]
    weights = np.take_along_axis(pairs, chosen[..., None], 1)
    weights = weights * np.take_along_axis(risky, chosen, 1)[..., None]
    indices = np.minimum(2 * chosen[..., None] + np.arange(2), inputs - 1)
    share = float(risky.mean()) if risky.size else 0.0
    return Pairs(np.moveaxis(indices, -1, 0), np.moveaxis(weights, -1, 0), share)


def saturating_graph(model: onnx.ModelProto, sizes: Mapping[str, Sequence[int]]) -> Saturating:
    """Return a deployed graph that computes as x86 processors without VNNI do.

    Args:
        model: As :func:`optim.runtime.deployed.deployed_graph` returns it; it is unchanged.
        sizes: ``{input: shape}`` of one inference.

    Raises:
        UnsupportedModelError: If the size of a value is not known before it is computed, or the
            operator set is too old and cannot be raised.
    """
    written = onnx.ModelProto()
    written.CopyFrom(model)
    if not raise_opset(written, _OPSET):
        raise UnsupportedModelError(
            f"The file is written in opset {opset_of(model)}, and onnx cannot rewrite it in opset "
            f"{_OPSET}.",
            hint="Export it again in a newer opset.",
        )
    writer = _Writer(written, sizes)
    writer.write()
    return Saturating(written, writer.at_risk, writer.numbers)


@dataclass(frozen=True, eq=False)
class _Integers:
    """A layer that integer kernels compute.

    Attributes:
        layer: The layer.
        kernel: What computes it.
        grid: Of its input.
        weight: Its integers and scales.
        shape: Sizes of its result for one inference.
    """

    layer: GraphLayer
    kernel: Kernel
    grid: StoredGrid
    weight: QuantizedWeight
    shape: tuple[int, ...]

    @property
    def window(self) -> tuple[int, ...]:
        """Sizes of a convolution's window; none of a dense layer."""
        return self.layer.sizes[2:]

    @property
    def groups(self) -> int:
        """Groups of channels that do not see each other."""
        return int(attribute_of(self.kernel.node, "group", 1))

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has one output of its own: that kernel adds in 32 bits."""
        return self.groups > 1 and self.groups == self.layer.sizes[0] and self.layer.sizes[1] == 1

    def pairs(self) -> Pairs:
        """Return the pairs that may saturate."""
        assert self.weight.codes is not None
        rows = array(self.weight.codes).reshape(self.layer.sizes)
        rows = np.moveaxis(rows, 1, -1).reshape(len(rows), -1)
        lift = _UNSIGNED * self.grid.signed
        return pairs_at_risk(rows, self.grid.qmin + lift, self.grid.qmax + lift)

    def taps(self, indices: np.ndarray) -> np.ndarray:
        """Return where inputs of a window stand: all positions of the first channel, and so on."""
        outputs, inputs = self.layer.sizes[:2]
        position, channel = np.divmod(indices, inputs)
        first = np.arange(outputs) // (outputs // self.groups) * inputs
        return (channel + first[:, None]) * prod(self.window) + position


class _Writer:
    """Adds to one graph, in place, what its layers lose."""

    def __init__(self, model: onnx.ModelProto, sizes: Mapping[str, Sequence[int]]) -> None:
        self.graph = model.graph
        self.layers = {layer.kernel.node.output[0]: layer for layer in _on_integers(model, sizes)}
        self.to = OnnxGraph(opset=opset_of(model))
        self.at_risk: dict[str, float] = {}
        self.numbers = 0

    def write(self) -> None:
        """Write nodes in their order, each followed by what it loses."""
        for node in self.graph.node:
            self.to.nodes.append(node)
            layer = self.layers.get(node.output[0]) if node.output else None
            if layer is not None:
                found = layer.pairs()
                self.at_risk[layer.layer.name] = found.share
                if found.share:
                    self._lose(node, layer, found)
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self.to.nodes]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(self.to.initializers.values())

    def _lose(self, node: onnx.NodeProto, layer: _Integers, found: Pairs) -> None:
        """Subtract from a layer's result what its pairs lose."""
        name = node.output[0]
        stem = f"{name}/saturated"
        steps = self._steps(node.input[0], layer.grid, stem)
        axes = len(layer.window)
        if axes:
            steps = self._windows(node, steps, layer, stem)
        lost = self._lost(steps, layer, found, stem)
        # One sum for each output; a step of the accumulator stands for so much.
        scale = np.broadcast_to(array(layer.weight.scale), layer.layer.sizes[:1])
        worth = -(scale * np.float32(layer.grid.scale)).astype(np.float32)
        outputs, width = found.weights.shape[1:]
        if axes:
            ones = np.broadcast_to(worth.reshape(-1, 1, *[1] * axes), (outputs, width, *[1] * axes))
            sums = self.to.constant(f"{stem}_worth", ones)
            change = self.to.add("Conv", [lost, sums], f"{stem}_change", group=outputs)
        else:
            kept = [0] * (len(layer.shape) - 1)
            each = self.to.reshape(lost, [*kept, outputs, width], f"{stem}_by_output")
            axis = self.to.constant(f"{stem}_axis", np.array([-1]))
            sums = self.to.add("ReduceSum", [each, axis], f"{stem}_sums", keepdims=0)
            factor = self.to.constant(f"{stem}_worth", worth)
            change = self.to.add("Mul", [sums, factor], f"{stem}_change")
        node.output[0] = f"{stem}_exact"
        self.to.add("Add", [node.output[0], change], name, name=stem)
        places = prod(layer.shape) // outputs
        self.numbers = max(self.numbers, places * outputs * width)

    def _steps(self, value: str, grid: StoredGrid, stem: str) -> str:
        """Return the integers a value is stored as, less its zero point, as floats."""
        scale = self.to.constant(f"{stem}_scale", np.array(grid.scale, np.float32))
        steps = self.to.add("Div", [value, scale], f"{stem}_ratio")
        return self.to.add("Round", [steps], f"{stem}_steps")

    def _windows(self, node: onnx.NodeProto, steps: str, layer: _Integers, stem: str) -> str:
        """Return the inputs of every window along the channels, in the order of ``taps``."""
        positions = prod(layer.window)
        channels = layer.layer.sizes[1] * layer.groups
        each = np.tile(np.eye(positions, dtype=np.float32), (channels, 1))
        taps = self.to.constant(f"{stem}_taps", each.reshape(-1, 1, *layer.window))
        slides = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        slides["group"] = channels
        return self.to.add("Conv", [steps, taps], f"{stem}_windows", **slides)

    def _lost(self, steps: str, layer: _Integers, found: Pairs, stem: str) -> str:
        """Return what each pair has beyond 16 bits, output by output along the channels."""
        axes = len(layer.window)
        flat = (-1, *[1] * axes)
        indices = layer.taps(found.indices) if axes else found.indices
        products = []
        for side in (0, 1):
            which = self.to.constant(f"{stem}_index{side}", indices[side].reshape(-1))
            factors = found.weights[side].reshape(flat).astype(np.float32)
            factor = self.to.constant(f"{stem}_weight{side}", factors)
            axis = 1 if axes else -1
            value = self.to.add("Gather", [steps, which], f"{stem}_input{side}", axis=axis)
            products.append(self.to.add("Mul", [value, factor], f"{stem}_product{side}"))
        # Kernels multiply the bytes as they are; the zero point is taken off the sums later.
        zero = layer.grid.zero_point + _UNSIGNED * layer.grid.signed
        lift = (zero * found.weights.sum(0)).reshape(flat).astype(np.float32)
        pairs = self.to.add(
            "Sum", [*products, self.to.constant(f"{stem}_lift", lift)], f"{stem}_pairs"
        )
        low = self.to.constant(f"{stem}_low", np.array(_LOW, np.float32))
        high = self.to.constant(f"{stem}_high", np.array(_HIGH, np.float32))
        cut = self.to.add("Clip", [pairs, low, high], f"{stem}_cut")
        return self.to.add("Sub", [pairs, cut], f"{stem}_lost")


def _on_integers(model: onnx.ModelProto, sizes: Mapping[str, Sequence[int]]) -> list[_Integers]:
    """Return the layers that ONNX Runtime multiplies in pairs of bytes."""
    flow = dataflow(model, sizes)
    kernels = {kernel.node.output[0]: kernel for kernel in flow.kernels}
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    # What stands behind whole numbers, and of which type those are where they are constants.
    read = {
        node.output[0]: kinds.get(node.input[0])
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
    }
    stored = stored_weights(model)
    weights = {layer.weight: stored.get(layer.name) for layer in graph_layers(model)}
    found = []
    for layer in node_layers(model):
        node = model.graph.node[layer.node]
        kernel, weight = kernels.get(node.output[0]), weights[layer.weight]
        # Unsigned weights have kernels of their own, which add in 32 bits.
        if kernel is None or weight is None or read.get(layer.weight) != TensorProto.INT8:
            continue
        source, result = (flow.values[name] for name in (kernel.inputs[0], kernel.outputs[0]))
        # ONNX Runtime fuses an activation function into a kernel of floats; integer kernels of
        # convolutions, and those alone, have to write integers.
        is_alone = node.op_type == "MatMul" or not kernel.after
        biases = [name for name in node.input[2:] if name]
        if (
            runs_on_integers(node, layer)
            and source.grid is not None
            and source.width == 1
            and all(name in read for name in biases)
            and is_alone
            and (result.grid is not None or node.op_type != "Conv")
        ):
            found.append(_Integers(layer, kernel, source.grid, weight, result.shape))
    return [layer for layer in found if not layer.is_depthwise]
