"""How the functions of a converted model are written in ONNX: arithmetic, cutting, repeating."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import TensorProto
from torch import fx, nn

from optim.errors import UnsupportedLayerError
from optim.layers.graph import layer_of
from optim.layers.token import Token
from optim.runtime.emission import Emission, Emitter, argument, array, number_like, simple
from optim.runtime.storing import layer_input

__all__ = ["FUNCTION_EMITTERS", "binary"]

_CONSTANT_PAD = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
_CONSTANT_PAD |= {"circular": "wrap"}
_INTERPOLATION = {"nearest": "nearest", "linear": "linear", "bilinear": "linear"}
_INTERPOLATION |= {"bicubic": "cubic"}


def binary(op_type: str) -> Emitter:
    """Return an emitter for an operation of two tensors, or of a tensor and a number."""

    def emit(to: Emission, node: fx.Node) -> str:
        names = [_operand(to, node, i) for i in (0, 1)]
        return to.graph.add(op_type, names, node.name)

    return emit


def _operand(to: Emission, node: fx.Node, index: int) -> str:
    part = node.args[index]
    if isinstance(part, fx.Node):
        return to.values[part]
    return to.graph.constant(f"{node.name}_number_{index}", number_like(node, part))


def _where(to: Emission, node: fx.Node) -> str:
    names = [_operand(to, node, i) for i in range(3)]
    return to.graph.add("Where", names, node.name)


def _clip(to: Emission, node: fx.Node) -> str:
    names = to.inputs(node)
    for i, name in ((1, "min"), (2, "max")):
        bound = argument(node, i, name)
        names.append(
            ""
            if bound is None
            else to.graph.constant(f"{node.name}_{name}", number_like(node, bound))
        )
    return to.graph.add("Clip", names, node.name)


def _cast(to: Emission, node: fx.Node) -> str:
    kinds = {
        torch.float32: TensorProto.FLOAT,
        torch.int64: TensorProto.INT64,
        torch.bool: TensorProto.BOOL,
    }
    dtype = argument(node, 1, "dtype")
    if dtype not in kinds:
        raise UnsupportedLayerError(f"A conversion to {dtype} ({node.name!r}) cannot be exported.")
    return to.graph.add("Cast", to.inputs(node), node.name, to=kinds[dtype])


def _whole(to: Emission, node: fx.Node, what: str, values: Any) -> str:
    return to.graph.constant(f"{node.name}_{what}", np.array(values, dtype=np.int64))


def _reduce(op_type: str) -> Emitter:
    def emit(to: Emission, node: fx.Node) -> str:
        axis, keep = argument(node, 1, "dim"), bool(argument(node, 2, "keepdim", False))
        axes = [axis] if isinstance(axis, int) else list(axis)
        names = [*to.inputs(node), _whole(to, node, "axes", axes)]
        return to.graph.add(op_type, names, node.name, keepdims=int(keep))

    return emit


def _argmax(to: Emission, node: fx.Node) -> str:
    axis, keep = argument(node, 1, "dim"), bool(argument(node, 2, "keepdim", False))
    return to.graph.add("ArgMax", to.inputs(node), node.name, axis=axis, keepdims=int(keep))


def _cumsum(to: Emission, node: fx.Node) -> str:
    axis = _whole(to, node, "axis", argument(node, 1, "dim"))
    return to.graph.add("CumSum", [*to.inputs(node), axis], node.name)


def _einsum(to: Emission, node: fx.Node) -> str:
    equation = str(node.args[0])
    return to.graph.add("Einsum", to.inputs(node), node.name, equation=equation)


def _log_softmax(to: Emission, node: fx.Node) -> str:
    axis = int(argument(node, 1, "dim"))
    return to.graph.add("LogSoftmax", to.inputs(node), node.name, axis=axis)


def _reshape(to: Emission, node: fx.Node) -> str:
    return to.graph.reshape(to.inputs(node)[0], list(argument(node, 1, "shape")), node.name)


def _permute(to: Emission, node: fx.Node) -> str:
    order = [axis % len(node.meta["shape"]) for axis in argument(node, 1, "dims")]
    return to.graph.add("Transpose", to.inputs(node), node.name, perm=order)


def _unsqueeze(to: Emission, node: fx.Node) -> str:
    axes = _whole(to, node, "axes", [argument(node, 1, "dim")])
    return to.graph.add("Unsqueeze", [*to.inputs(node), axes], node.name)


def _slice(to: Emission, node: fx.Node) -> str:
    parts: Any = node.args[1]
    if not isinstance(parts, tuple) or not all(isinstance(part, slice) for part in parts):
        raise UnsupportedLayerError(
            f"Indexing ({node.name!r}) by {parts} cannot be exported; only by slices."
        )
    shape = node.all_input_nodes[0].meta["shape"]
    cut = [i for i, part in enumerate(parts) if part != slice(None)]
    ranges = [parts[i].indices(shape[i]) for i in cut]
    names = [
        _whole(to, node, what, [limits[i] for limits in ranges])
        for i, what in enumerate(("starts", "ends"))
    ]
    axes = _whole(to, node, "axes", cut)
    steps = _whole(to, node, "steps", [limits[2] for limits in ranges])
    return to.graph.add("Slice", [*to.inputs(node), *names, axes, steps], node.name)


def _select(to: Emission, node: fx.Node) -> str:
    index = _whole(to, node, "index", argument(node, 2, "index"))
    axis = int(argument(node, 1, "dim"))
    return to.graph.add("Gather", [*to.inputs(node), index], node.name, axis=axis)


def _gather(to: Emission, node: fx.Node) -> str:
    return to.graph.add("Gather", to.inputs(node), node.name, axis=int(argument(node, 1, "dim")))


def _expand(to: Emission, node: fx.Node) -> str:
    sizes = [max(1, size) for size in argument(node, 1, "size")]
    shape = _whole(to, node, "shape", sizes)
    return to.graph.add("Expand", [*to.inputs(node), shape], node.name)


def _tile(to: Emission, node: fx.Node) -> str:
    repeats = _whole(to, node, "repeats", argument(node, 1, "dims"))
    return to.graph.add("Tile", [*to.inputs(node), repeats], node.name)


def _pad(to: Emission, node: fx.Node) -> str:
    widths = [int(n) for n in argument(node, 1, "pad")]
    mode = argument(node, 2, "mode", "constant")
    rank = len(node.meta["shape"])
    before, after = [0] * rank, [0] * rank
    for i in range(len(widths) // 2):
        before[rank - 1 - i], after[rank - 1 - i] = widths[2 * i], widths[2 * i + 1]
    names = [*to.inputs(node), _whole(to, node, "widths", before + after)]
    if mode == "constant":
        fill = argument(node, 3, "value") or 0.0
        names.append(to.graph.constant(f"{node.name}_fill", np.array(fill, dtype=np.float32)))
    return to.graph.add("Pad", names, node.name, mode=_CONSTANT_PAD[str(mode)])


def _resize(to: Emission, node: fx.Node) -> str:
    mode = str(argument(node, 3, "mode", "nearest"))
    if mode not in _INTERPOLATION or argument(node, 6, "antialias", False):
        raise UnsupportedLayerError(f"Interpolation {mode!r} ({node.name!r}) cannot be exported.")
    corners = bool(argument(node, 4, "align_corners"))
    before, sizes = node.all_input_nodes[0].meta["shape"][2:], node.meta["shape"][2:]
    attributes: dict[str, Any] = {
        "mode": _INTERPOLATION[mode],
        "coordinate_transformation_mode": "align_corners" if corners else "half_pixel",
    }
    if mode == "nearest":
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    factors = [new / old for new, old in zip(sizes, before, strict=True)]
    if all(factor.is_integer() for factor in factors):
        # ONNX Runtime moves transpositions through a quantized Resize and forgets its axes.
        scales = np.array([1, 1, *factors], dtype=np.float32)
        names = [*to.inputs(node), "", to.graph.constant(f"{node.name}_scales", scales)]
        return to.graph.add("Resize", names, node.name, **attributes)
    names = [*to.inputs(node), "", "", _whole(to, node, "sizes", sizes)]
    axes = list(range(2, 2 + len(sizes)))
    return to.graph.add("Resize", names, node.name, axes=axes, **attributes)


# --- layers -------------------------------------------------------------------------------------


def _conv_transpose(to: Emission, node: fx.Node) -> str:
    layer: Any = layer_of(node)
    assert isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
    names = [layer_input(to, node), to.graph.constant(f"{node.target}.weight", array(layer.weight))]
    if layer.bias is not None:
        names.append(to.graph.constant(f"{node.target}.bias", array(layer.bias)))
    padding = [int(n) for n in layer.padding]
    return to.graph.add(
        "ConvTranspose",
        names,
        node.name,
        name=str(node.target),
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=padding * 2,
        output_padding=list(layer.output_padding),
        dilations=list(layer.dilation),
        group=layer.groups,
    )


def _instance_norm(to: Emission, node: fx.Node) -> str:
    layer: Any = layer_of(node)
    size = layer.num_features
    tensors = {
        "weight": layer.weight if layer.affine else torch.ones(size),
        "bias": layer.bias if layer.affine else torch.zeros(size),
    }
    names = [to.graph.constant(f"{node.target}.{k}", array(t)) for k, t in tensors.items()]
    return to.graph.add(
        "InstanceNormalization", [*to.inputs(node), *names], node.name, epsilon=layer.eps
    )


def _local_response_norm(to: Emission, node: fx.Node) -> str:
    layer: Any = layer_of(node)
    return to.graph.add(
        "LRN",
        to.inputs(node),
        node.name,
        size=layer.size,
        alpha=layer.alpha,
        beta=layer.beta,
        bias=float(layer.k),
    )


def _embedding(to: Emission, node: fx.Node) -> str:
    table = to.graph.constant(
        f"{node.target}.weight", array(layer_of(node).get_parameter("weight"))
    )
    return to.graph.add("Gather", [table, *to.inputs(node)], node.name, axis=0)


def _prelu(to: Emission, node: fx.Node) -> str:
    slope = array(layer_of(node).get_parameter("weight"))
    spread = slope.reshape(-1, *[1] * (len(node.meta["shape"]) - 2))
    name = to.graph.constant(f"{node.target}.weight", spread)
    return to.graph.add("PRelu", [*to.inputs(node), name], node.name)


def _token(to: Emission, node: fx.Node) -> str:
    layer = layer_of(node)
    assert isinstance(layer, Token)
    value = to.graph.constant(f"{node.target}.weight", array(layer.weight))
    samples = to.graph.add("Shape", to.inputs(node), f"{node.name}_samples", start=0, end=1)
    rest = _whole(to, node, "sizes", list(layer.weight.shape[1:]))
    shape = to.graph.add("Concat", [samples, rest], f"{node.name}_shape", axis=0)
    return to.graph.add("Expand", [value, shape], node.name)


def _with_slope(op_type: str, name: str) -> Emitter:
    """Return an emitter for an activation function that has one number."""

    def emit(to: Emission, node: fx.Node) -> str:
        alpha = float(getattr(layer_of(node), name))
        return to.graph.add(op_type, to.inputs(node), node.name, alpha=alpha)

    return emit


FUNCTION_EMITTERS: dict[str, Emitter] = {
    "add": binary("Add"),
    "sub": binary("Sub"),
    "mul": binary("Mul"),
    "div": binary("Div"),
    "pow": binary("Pow"),
    "minimum": binary("Min"),
    "maximum": binary("Max"),
    "equal": binary("Equal"),
    "less": binary("Less"),
    "less_or_equal": binary("LessOrEqual"),
    "greater": binary("Greater"),
    "greater_or_equal": binary("GreaterOrEqual"),
    "logical_and": binary("And"),
    "logical_or": binary("Or"),
    "logical_xor": binary("Xor"),
    "logical_not": simple("Not"),
    "where": _where,
    "neg": simple("Neg"),
    "abs": simple("Abs"),
    "sqrt": simple("Sqrt"),
    "exp": simple("Exp"),
    "log": simple("Log"),
    "reciprocal": simple("Reciprocal"),
    "erf": simple("Erf"),
    "floor": simple("Floor"),
    "ceil": simple("Ceil"),
    "round": simple("Round"),
    "sign": simple("Sign"),
    "sin": simple("Sin"),
    "cos": simple("Cos"),
    "clip": _clip,
    "cast": _cast,
    "sum": _reduce("ReduceSum"),
    "amax": _reduce("ReduceMax"),
    "amin": _reduce("ReduceMin"),
    "argmax": _argmax,
    "cumsum": _cumsum,
    "matmul": simple("MatMul"),
    "einsum": _einsum,
    "log_softmax": _log_softmax,
    "reshape": _reshape,
    "permute": _permute,
    "unsqueeze": _unsqueeze,
    "slice": _slice,
    "select": _select,
    "gather": _gather,
    "expand": _expand,
    "tile": _tile,
    "pad": _pad,
    "resize": _resize,
    "conv_transpose": _conv_transpose,
    "instance_norm": _instance_norm,
    "local_response_norm": _local_response_norm,
    "embedding": _embedding,
    "prelu": _prelu,
    "token": _token,
    "hardsigmoid": simple("HardSigmoid", alpha=1 / 6, beta=0.5),
    "leaky_relu": _with_slope("LeakyRelu", "negative_slope"),
    "elu": _with_slope("Elu", "alpha"),
    "celu": _with_slope("Celu", "alpha"),
    "softplus": simple("Softplus"),
    "softsign": simple("Softsign"),
}
"""What writes each kind of call, and the layers only converted models have."""
