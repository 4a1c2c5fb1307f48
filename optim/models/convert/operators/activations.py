"""Activation functions and softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from optim.models.convert.builder import Builder, Handler, Value
from optim.models.convert.reader import Operation

__all__ = ["ACTIVATIONS"]


def _plain(fallback: str, make: Callable[[Operation], nn.Module]) -> Handler:
    """Return what makes a layer of an activation function without weights."""

    def handle(to: Builder, op: Operation) -> Value:
        return to.layer(op, fallback, lambda: make(op), to.traced(op))

    return handle


def _hard_sigmoid(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    alpha, beta = float(op.get("alpha", 0.2)), float(op.get("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-5 and beta == 0.5:
        return to.layer(op, "hardsigmoid", nn.Hardsigmoid, x)
    return to.call("clip", to.call("add", to.call("mul", x, alpha), beta), min=0.0, max=1.0)


def _clip(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    low, high = (_bound(to, op, index, name) for index, name in ((1, "min"), (2, "max")))
    if (low, high) == (0.0, 6.0):
        return to.layer(op, "relu6", nn.ReLU6, x)
    if low == 0.0 and high is None:
        return to.layer(op, "relu", nn.ReLU, x)
    bounds = {name: v for name, v in (("min", low), ("max", high)) if v is not None}
    return to.call("clip", x, **bounds) if bounds else x


def _bound(to: Builder, op: Operation, index: int, name: str) -> float | None:
    found: Any = op.get(name) if op.opset < 11 else to.array(op, index, name)
    if found is None:
        return None
    value = float(np.asarray(found).reshape(()))
    # Exporters write "no limit" as the largest number there is.
    return None if abs(value) >= float(np.finfo(np.float32).max) else value


def _prelu(to: Builder, op: Operation) -> Value:
    x, slope = to.traced(op), to.needed(op, 1, "its slope")
    channels = slope.size
    by_channel = slope.shape[-(x.rank - 1) :] == (channels, *[1] * (x.rank - 2))
    if channels != 1 and (not by_channel or channels != x.shape[1]):
        raise op.refuse("has slopes that are not one a channel")

    def make() -> nn.Module:
        layer = nn.PReLU(channels)
        layer.weight = nn.Parameter(torch.from_numpy(np.array(slope.reshape(-1))))
        return layer

    return to.layer(op, "prelu", make, x, weight=1)


def _softmax(kind: str) -> Handler:
    def handle(to: Builder, op: Operation) -> Value:
        x = to.traced(op)
        axis = int(op.get("axis", -1 if op.opset >= 13 else 1)) % x.rank
        if op.opset >= 13 or all(size == 1 for size in x.shape[axis + 1 :]):
            return _normalised(to, op, kind, axis)
        if axis != 1 or x.batch_axes not in ((), (0,)):
            raise op.refuse(f"normalises over all dimensions from {axis} on")
        flat = to.call(kind, to.call("flatten", x, 1), -1)
        return to.reshape(op, flat, [sample.shape for sample in x.samples])

    return handle


def _normalised(to: Builder, op: Operation, kind: str, axis: int) -> Value:
    x = to.traced(op)
    axis = -1 if axis == x.rank - 1 else axis
    if kind == "softmax":
        return to.layer(op, "softmax", lambda: nn.Softmax(axis), x)
    return to.call(kind, x, axis)


def _swish(to: Builder, op: Operation) -> Value:
    x, alpha = to.traced(op), float(op.get("alpha", 1.0))
    if alpha == 1:
        return to.layer(op, "silu", nn.SiLU, x)
    return to.call("mul", x, to.layer(op, "sigmoid", nn.Sigmoid, to.call("mul", x, alpha)))


ACTIVATIONS: dict[str, Handler] = {
    "Relu": _plain("relu", lambda op: nn.ReLU()),
    "LeakyRelu": _plain("leaky_relu", lambda op: nn.LeakyReLU(float(op.get("alpha", 0.01)))),
    "Elu": _plain("elu", lambda op: nn.ELU(float(op.get("alpha", 1.0)))),
    "Celu": _plain("celu", lambda op: nn.CELU(float(op.get("alpha", 1.0)))),
    "Sigmoid": _plain("sigmoid", lambda op: nn.Sigmoid()),
    "Tanh": _plain("tanh", lambda op: nn.Tanh()),
    "Softplus": _plain("softplus", lambda op: nn.Softplus()),
    "Softsign": _plain("softsign", lambda op: nn.Softsign()),
    "HardSwish": _plain("hardswish", lambda op: nn.Hardswish()),
    "Mish": _plain("mish", lambda op: nn.Mish()),
    "Gelu": _plain("gelu", lambda op: nn.GELU(op.get("approximate", "none"))),
    "HardSigmoid": _hard_sigmoid,
    "Clip": _clip,
    "PRelu": _prelu,
    "Swish": _swish,
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
}
