"""Scales of batch norms: how strongly each channel is let through.

A channel whose scale is close to zero gives next to nothing, whatever it finds. Training with a
penalty on scales makes such channels on purpose, to remove them afterwards.

References:
    Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017,
    arXiv:1708.06519
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from onnx import numpy_helper

from optim.graph.skeleton import STANDARD
from optim.layers.rewrite import norm_layers
from optim.models.bundle import GraphModel, ModelBundle

__all__ = ["NormScales", "Scales", "norm_scales"]

_FAINT = 0.01
"""A scale is faint below so much of the median of its norm, of the original where there is one."""


@dataclass(frozen=True)
class Scales:
    """Absolute scales of one norm in one model.

    Attributes:
        channels: How many.
        quartiles: Least, lower quartile, median, upper quartile, largest.
        faint: Channels of a scale next to zero.
    """

    channels: int
    quartiles: tuple[float, float, float, float, float]
    faint: int


@dataclass(frozen=True)
class NormScales:
    """One batch norm in two models.

    Attributes:
        norm: Its name.
        before: In the original; None where it has no such norm.
        after: In the result.
    """

    norm: str
    before: Scales | None
    after: Scales

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def norm_scales(original: ModelBundle, result: ModelBundle) -> tuple[NormScales, ...]:
    """Return the batch norms of a model with scales, in order; of a folded graph there are none."""
    was, now = _scales(original), _scales(result)
    found = []
    for name, own in now.items():
        median = float(np.median(was.get(name, own)))
        before = _summary(was[name], median) if name in was else None
        found.append(NormScales(name, before, _summary(own, median)))
    return tuple(found)


def _scales(bundle: ModelBundle) -> dict[str, np.ndarray]:
    if not isinstance(bundle.content, GraphModel):
        return {
            name: norm.weight.detach().abs().numpy()
            for name, norm in norm_layers(bundle.module).items()
            if norm.affine
        }
    graph = bundle.graph().graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    return {
        node.name or node.output[0]: np.abs(numpy_helper.to_array(constants[node.input[1]]))
        for node in graph.node
        if node.op_type == "BatchNormalization"
        and node.domain in STANDARD
        and node.input[1] in constants
    }


def _summary(scales: np.ndarray, median: float) -> Scales:
    low, lower, middle, upper, high = np.quantile(scales, [0, 0.25, 0.5, 0.75, 1]).tolist()
    faint = int((scales < _FAINT * median).sum())
    return Scales(len(scales), (low, lower, middle, upper, high), faint)
