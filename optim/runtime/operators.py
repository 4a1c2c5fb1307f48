"""How each kind of operation is written in ONNX: one function a kind, one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor, fx, nn

from optim.errors import UnsupportedLayerError
from optim.graph.layers import Layout
from optim.layers.graph import kind_of, layer_of
from optim.layers.quantized_graph import FakeQuantize, bias_codes, bias_scale, grid_of
from optim.layers.shortcut import ChannelPadShortcut
from optim.layers.table import QuantizedEdge, QuantizedWeight
from optim.runtime.emission import Emission, Emitter, array, simple
from optim.runtime.functions import FUNCTION_EMITTERS
from optim.runtime.storing import (
    Place,
    layer_input,
    quantize_edge,
    store_bias,
    store_for_floats,
    store_for_integers,
    store_shared,
)

__all__ = ["EMITTERS", "emit_node"]


# --- layers with weights ------------------------------------------------------------------------


def _conv(to: Emission, node: fx.Node) -> str:
    layer = layer_of(node)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UnsupportedLayerError(
            f"Convolution {node.target!r} pads with {layer.padding_mode!r} ({layer.padding!r}); "
            "only zero padding given in pixels can be exported."
        )
    inputs = [layer_input(to, node), *_weight_and_bias(to, node)]
    return to.graph.add(
        "Conv",
        inputs,
        node.name,
        name=str(node.target),
        kernel_shape=list(layer.kernel_size),
        **_unless(1, strides=layer.stride, dilations=layer.dilation),
        **_unless(0, pads=[*layer.padding, *layer.padding]),
        **({"group": layer.groups} if layer.groups > 1 else {}),
    )


def _unless(default: int, **attributes: Sequence[int]) -> dict[str, list[int]]:
    """Return the attributes that are not what a runtime takes without them."""
    return {k: list(v) for k, v in attributes.items() if any(n != default for n in v)}


def _linear(to: Emission, node: fx.Node) -> str:
    (x,) = to.inputs(node)
    if len(node.meta["shape"]) == 2:
        inputs = [layer_input(to, node), *_weight_and_bias(to, node)]
        return to.graph.add("Gemm", inputs, node.name, name=str(node.target), transB=1)
    weight, *bias = _weight_and_bias(to, node, transposed=True)
    if not bias:
        return to.graph.add("MatMul", [x, weight], node.name, name=str(node.target))
    product = to.graph.add("MatMul", [x, weight], f"{node.name}_product", name=str(node.target))
    return to.graph.add("Add", [product, *bias], node.name, name=f"{node.target}.bias")


def _weight_and_bias(to: Emission, node: fx.Node, transposed: bool = False) -> list[str]:
    """Add the weight and bias of a layer, as integers where they are quantized."""
    layer, name = layer_of(node), str(node.target)
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    quantized = to.weights.get(name)
    layout = Layout((1, 0) if transposed else tuple(range(weight.ndim)))
    shape = tuple(weight.T.shape if transposed else weight.shape)
    place = Place(f"{name}.weight", f"{name}.weight", layout, shape)
    if name in to.codebooks:
        names = [store_shared(to.graph, place, to.codebooks[name])]
    elif quantized is None:
        values = weight.T if transposed else weight
        names = [to.graph.constant(f"{name}.weight", array(values))]
    else:
        store = store_for_integers if name in to.integer_inputs else store_for_floats
        names = [store(to.graph, place, quantized, quantized.integers(weight))]
    if isinstance(bias, Tensor):
        names.append(_bias(to, node, bias, quantized, transposed))
    return names


def _bias(
    to: Emission, node: fx.Node, bias: Tensor, quantized: QuantizedWeight | None, separate: bool
) -> str:
    """Store a bias; as int32 at the scale of the accumulator where an integer kernel adds it."""
    name = f"{node.target}.bias"
    edge = to.integer_inputs.get(str(node.target))
    if quantized is None or edge is None:
        return to.graph.constant(name, array(bias))
    codes, scale = bias_codes(bias.detach(), quantized, edge), bias_scale(quantized, edge)
    if separate:
        return to.graph.constant(name, array(codes.float() * scale))
    return store_bias(to.graph, name, name, codes, scale)


# --- activations on a grid ----------------------------------------------------------------------


def _fake_quantize(to: Emission, node: fx.Node) -> str:
    layer = layer_of(node)
    assert isinstance(layer, FakeQuantize)
    return quantize_edge(to.graph, to.inputs(node)[0], node.name, layer.edge)


def _moves_values(emit: Emitter) -> Emitter:
    """Wrap an operation that only moves values: its result lies on the grid of its input."""

    def emit_on_grid(to: Emission, node: fx.Node) -> str:
        value = emit(to, node)
        edge = grid_of(node)
        return value if edge is None else quantize_edge(to.graph, value, node.name, edge)

    return emit_on_grid


# --- normalisation and activation functions -----------------------------------------------------


def _batch_norm(to: Emission, node: fx.Node) -> str:
    layer = layer_of(node)
    assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    size = layer.num_features
    tensors = {
        "weight": layer.weight if layer.affine else torch.ones(size),
        "bias": layer.bias if layer.affine else torch.zeros(size),
        "mean": layer.running_mean,
        "variance": layer.running_var,
    }
    names = [to.graph.constant(f"{node.target}.{k}", array(t)) for k, t in tensors.items()]
    return to.graph.add(
        "BatchNormalization", [*to.inputs(node), *names], node.name, epsilon=layer.eps
    )


def _layer_norm(to: Emission, node: fx.Node) -> str:
    layer = layer_of(node)
    assert isinstance(layer, nn.LayerNorm)
    shape = layer.normalized_shape
    weight = torch.ones(shape) if layer.weight is None else layer.weight
    names = [to.graph.constant(f"{node.target}.weight", array(weight))]
    if layer.bias is not None:
        names.append(to.graph.constant(f"{node.target}.bias", array(layer.bias)))
    return to.graph.add(
        "LayerNormalization",
        [*to.inputs(node), *names],
        node.name,
        axis=-len(layer.normalized_shape),
        epsilon=layer.eps,
    )


def _group_norm(to: Emission, node: fx.Node) -> str:
    layer = layer_of(node)
    assert isinstance(layer, nn.GroupNorm)
    names = [
        to.graph.constant(f"{node.target}.weight", array(layer.weight)),
        to.graph.constant(f"{node.target}.bias", array(layer.bias)),
    ]
    return to.graph.add(
        "GroupNormalization",
        [*to.inputs(node), *names],
        node.name,
        num_groups=layer.num_groups,
        epsilon=layer.eps,
    )


def _relu(to: Emission, node: fx.Node) -> str:
    if _clipped_by_quantizer(node, 0.0, float("inf")):
        return to.inputs(node)[0]
    return to.graph.add("Relu", to.inputs(node), node.name)


def _relu6(to: Emission, node: fx.Node) -> str:
    if _clipped_by_quantizer(node, 0.0, 6.0):
        return to.inputs(node)[0]
    bounds = [
        to.graph.constant("zero", np.array(0, dtype=np.float32)),
        to.graph.constant("six", np.array(6, dtype=np.float32)),
    ]
    return to.graph.add("Clip", [*to.inputs(node), *bounds], node.name)


def _clipped_by_quantizer(node: fx.Node, low: float, high: float) -> bool:
    """Whether the quantizer behind a clip to ``low..high`` saturates at the same ends.

    The clip is then left out: integer kernels saturate for free, and runtimes do not recognise
    a quantized addition with a ReLU behind it.
    """
    (user, *others) = node.users
    if others or user.op != "call_module" or not isinstance(layer_of(user), FakeQuantize):
        return False
    edge = layer_of(user).edge
    assert isinstance(edge, QuantizedEdge)
    step = edge.scale
    above = high != float("inf") and round(high / step) + edge.zero_point < edge.grid.qmax
    return round(low / step) + edge.zero_point == edge.grid.qmin and not above


def _gelu(to: Emission, node: fx.Node) -> str:
    approximate = (
        getattr(layer_of(node), "approximate", "none")
        if node.op == "call_module"
        else node.kwargs.get("approximate", "none")
    )
    return to.graph.add("Gelu", to.inputs(node), node.name, approximate=str(approximate))


def _silu(to: Emission, node: fx.Node) -> str:
    (x,) = to.inputs(node)
    gate = to.graph.add("Sigmoid", [x], f"{node.name}_gate")
    return to.graph.add("Mul", [x, gate], node.name)


def _softmax(to: Emission, node: fx.Node) -> str:
    if node.op == "call_module":
        axis = getattr(layer_of(node), "dim", -1)
    else:
        axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else -1)
    return to.graph.add("Softmax", to.inputs(node), node.name, axis=_integer(axis))


# --- pooling and moving -------------------------------------------------------------------------


def _pool(op_type: str) -> Emitter:
    def emit(to: Emission, node: fx.Node) -> str:
        layer: Any = layer_of(node)
        dims = len(node.meta["shape"]) - 2
        kernel, padding = _spread(layer.kernel_size, dims), _spread(layer.padding, dims)
        attributes: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": _spread(layer.stride, dims),
            "pads": padding * 2,
            "ceil_mode": int(layer.ceil_mode),
        }
        if op_type == "AveragePool":
            attributes["count_include_pad"] = int(layer.count_include_pad)
        else:
            attributes["dilations"] = _spread(layer.dilation, dims)
        return to.graph.add(op_type, to.inputs(node), node.name, **attributes)

    return emit


def _global_pool(to: Emission, node: fx.Node) -> str:
    size = _spread(layer_of(node).output_size, len(node.meta["shape"]) - 2)
    if any(side != 1 for side in size):
        raise UnsupportedLayerError(
            f"Adaptive pooling {node.target!r} to {size} cannot be exported; only to 1.",
            hint="Use a pooling layer with a fixed window.",
        )
    return to.graph.add("GlobalAveragePool", to.inputs(node), node.name)


def _flatten(to: Emission, node: fx.Node) -> str:
    if node.op == "call_module":
        layer: Any = layer_of(node)
        start, end = layer.start_dim, layer.end_dim
    else:
        start = node.kwargs.get("start_dim", node.args[1] if len(node.args) > 1 else 0)
        end = node.kwargs.get("end_dim", node.args[2] if len(node.args) > 2 else -1)
    rank = len(node.all_input_nodes[0].meta["shape"])
    if _integer(end) not in (-1, rank - 1) or _integer(start) < 1:
        raise UnsupportedLayerError(
            f"Flatten {node.name!r} from {start} to {end} cannot be exported; "
            "the batch must stay and the last dimension must be included."
        )
    if _integer(start) == 1:
        return to.graph.add("Flatten", to.inputs(node), node.name, axis=1)
    return to.graph.reshape(to.inputs(node)[0], [0] * _integer(start) + [-1], node.name)


def _unflatten(to: Emission, node: fx.Node) -> str:
    return to.graph.reshape(to.inputs(node)[0], [0, *node.meta["shape"][1:]], node.name)


def _transpose(to: Emission, node: fx.Node) -> str:
    order = list(range(len(node.meta["shape"])))
    a, b = _integer(node.args[1]), _integer(node.args[2])
    order[a], order[b] = order[b], order[a]
    return to.graph.add("Transpose", to.inputs(node), node.name, perm=order)


def _mean(to: Emission, node: fx.Node) -> str:
    axis = node.kwargs["dim"] if "dim" in node.kwargs else node.args[1]
    axes = [axis] if isinstance(axis, int) else list(axis)  # type: ignore[arg-type]
    keep = bool(node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False))
    name = to.graph.constant(f"{node.name}_axes", np.array(axes, dtype=np.int64))
    return to.graph.add("ReduceMean", [*to.inputs(node), name], node.name, keepdims=int(keep))


def _channel_pad(to: Emission, node: fx.Node) -> str:
    """Write the parameter-free shortcut as a 1x1 convolution with weights 0 and 1.

    Slice and Pad say the same, but no integer or blocked-layout kernel takes them, so that the
    runtime converts back and forth around every shortcut.
    """
    layer = layer_of(node)
    assert isinstance(layer, ChannelPadShortcut)
    weight = np.zeros((layer.out_channels, layer.in_channels, 1, 1), dtype=np.float32)
    source = array(layer.source)
    live = np.flatnonzero(source >= 0)
    weight[live, source[live]] = 1
    name = f"{node.target}.weight"
    if grid_of(node) is not None:
        stored = to.graph.integers(f"{name}_quantized", weight, 4)
        stored = to.graph.add("Cast", [stored], f"{name}_int8", to=TensorProto.INT8)
        one = to.graph.constant(f"{name}_scale", np.array(1, dtype=np.float32))
        zero = to.graph.integers(f"{name}_zero_point", np.array(0), 8)
        value = to.graph.add("DequantizeLinear", [stored, one, zero], name)
    else:
        value = to.graph.constant(name, weight)
    return to.graph.add(
        "Conv",
        [*to.inputs(node), value],
        node.name,
        name=str(node.target),
        kernel_shape=[1, 1],
        **_unless(1, strides=[layer.stride] * 2),
    )


def _concat(to: Emission, node: fx.Node) -> str:
    axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    return to.graph.add("Concat", to.inputs(node), node.name, axis=_integer(axis))


def _get_attr(to: Emission, node: fx.Node) -> str:
    owner: Any = node.graph.owning_module
    for part in str(node.target).split("."):
        owner = getattr(owner, part)
    return to.graph.constant(str(node.target), array(owner))


def _spread(value: Any, dims: int) -> list[int]:
    return [int(value)] * dims if isinstance(value, int) else [int(v) for v in value]


def _integer(value: Any) -> int:
    return int(value)


def _quantizer_or_unsupported(to: Emission, node: fx.Node) -> str:
    if node.op == "call_module" and isinstance(layer_of(node), FakeQuantize):
        return _fake_quantize(to, node)
    what = type(layer_of(node)).__name__ if node.op == "call_module" else str(node.target)
    raise UnsupportedLayerError(
        f"{what} ({node.name!r}) cannot be exported to ONNX by this version.",
        hint="Replace it by a layer of the zoo, or export the model with torch.onnx yourself.",
    )


EMITTERS: dict[str, Emitter] = {
    **FUNCTION_EMITTERS,
    "conv": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "relu": _relu,
    "relu6": _relu6,
    "gelu": _gelu,
    "silu": _silu,
    "hardswish": simple("HardSwish"),
    "mish": simple("Mish"),
    "sigmoid": simple("Sigmoid"),
    "tanh": simple("Tanh"),
    "softmax": _softmax,
    "max_pool": _moves_values(_pool("MaxPool")),
    "avg_pool": _pool("AveragePool"),
    "global_avg_pool": _global_pool,
    "flatten": _moves_values(_flatten),
    "unflatten": _unflatten,
    "transpose": _transpose,
    "mean": _mean,
    "concat": _concat,
    "channel_pad": _moves_values(_channel_pad),
    "get_attr": _get_attr,
    "other": _quantizer_or_unsupported,
}


def emit_node(to: Emission, node: fx.Node) -> None:
    """Write one node and remember the name of its result."""
    to.values[node] = EMITTERS[kind_of(node)](to, node)
