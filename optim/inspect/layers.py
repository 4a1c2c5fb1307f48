"""All that is known of single layers, put together: cost, zeros, bits, errors, dead channels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.inspect.architecture import Drawing, drawing_of
from optim.inspect.distributions import (
    Histogram,
    OnGrid,
    Weight,
    activations_on_grid,
    histogram,
    weights_inside,
    weights_on_grid,
)
from optim.inspect.kept import SAMPLES
from optim.inspect.norms import NormScales, norm_scales
from optim.inspect.pair import Pair
from optim.inspect.propagation import Given, LayerError, look_inside
from optim.layers.statistics import Statistics
from optim.measure.costs import model_costs
from optim.measure.macs import LayerCost
from optim.measure.size import LayerSize, layer_sizes

__all__ = ["Distribution", "LayerRow", "Layers", "layers_of"]


@dataclass(frozen=True)
class LayerRow:
    """One layer of the result.

    Attributes:
        layer: Its name.
        kind: ``"conv"``, ``"linear"``, ...
        shape: Of its weight.
        shape_before: In the original; None where it has no such layer.
        params: Weights and biases.
        macs: Multiply-accumulates for one sample.
        macs_before: In the original; None where it has no such layer.
        bytes: Of the weight and bias at their bits.
        sparsity: Share of zero weights, in 0..1.
        bits: Of a weight; 32 in floating point.
        activation_bits: Of its input; 32 in floating point.
        error: What runs through it; None where its values cannot be read.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    shape_before: tuple[int, ...] | None
    params: int
    macs: int
    macs_before: int | None
    bytes: int
    sparsity: float
    bits: int
    activation_bits: int
    error: LayerError | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        shape = None if self.shape_before is None else list(self.shape_before)
        own = {"shape": list(self.shape), "shape_before": shape}
        return {**vars(self), **own, "error": self.error.to_json() if self.error else None}


@dataclass(frozen=True)
class Distribution:
    """Values of one layer.

    Attributes:
        weights: Before and after, batch norm folded in.
        weights_grid: On their grid; None in floating point.
        inputs: A sample of what it is given, before and after; None where that cannot be read.
        inputs_grid: On their grid; None in floating point.
    """

    weights: Histogram
    weights_grid: OnGrid | None
    inputs: Histogram | None
    inputs_grid: OnGrid | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            name: None if value is None else value.to_json() for name, value in vars(self).items()
        }


@dataclass(frozen=True)
class Layers:
    """The layers of a result beside those of its original.

    Attributes:
        rows: In order of execution.
        drawing: The graph they make up.
        distributions: ``{layer: its values}``.
        norms: Batch norms with their scales; empty where there are none, or where they are folded.
        omitted: Ids of training steps that were left out.
        n: Samples that ran through both models.
        part: Which samples.
        seconds: Time it took.
    """

    rows: tuple[LayerRow, ...]
    drawing: Drawing
    distributions: Mapping[str, Distribution]
    norms: tuple[NormScales, ...]
    omitted: tuple[str, ...]
    n: int
    part: str
    seconds: float

    def to_json(self, *, distributions: bool = True) -> dict[str, Any]:
        """Return plain data, with or without what is longest."""
        found = {
            "rows": [row.to_json() for row in self.rows],
            "drawing": self.drawing.to_json(),
            "norms": [norm.to_json() for norm in self.norms],
            "omitted": list(self.omitted),
            "n": self.n,
            "part": self.part,
            "seconds": self.seconds,
        }
        if not distributions:
            return found
        shown = {layer: one.to_json() for layer, one in self.distributions.items()}
        return {**found, "distributions": shown}


def layers_of(
    pair: Pair,
    *,
    samples: int = SAMPLES["layers"],
    told: Callable[[float, str], None] = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> Layers:
    """Look into every layer of a pair.

    Args:
        pair: Both models and their data.
        samples: How many run through both, at most.
        told: Called with a share in 0..1 and what is being done.
        check: Called at safe points; raises to stop.

    Raises:
        OptimError: If a model does not run or has no layer with weights.
    """
    began = time.monotonic()
    told(0.0, "counting")
    before = {cost.name: cost for cost in model_costs(pair.original)}
    costs = [cost for cost in model_costs(pair.result) if cost.shape]
    sizes = {size.name: size for size in layer_sizes(pair.result, check)}
    inside = look_inside(pair, samples=samples, told=_from(told, 0.2, 0.7), check=check)
    told(0.9, "weights")
    was, now = weights_inside(pair.original), weights_inside(pair.result)
    distributions = {}
    for name, weight in now.items():
        check()
        distributions[name] = _distribution(was.get(name), weight, inside.inputs.get(name))
    given = inside.inputs
    rows = [
        _row(cost, before.get(cost.name), sizes[cost.name], given.get(cost.name), inside.errors)
        for cost in costs
        if cost.name in sizes
    ]
    return Layers(
        rows=tuple(rows),
        drawing=drawing_of(pair.result),
        distributions=distributions,
        norms=norm_scales(pair.original, pair.result),
        omitted=pair.omitted,
        n=inside.n,
        part=pair.subject.part,
        seconds=time.monotonic() - began,
    )


def _from(
    told: Callable[[float, str], None], start: float, share: float
) -> Callable[[float, str], None]:
    return lambda done, what: told(start + share * done, what)


def _row(
    cost: LayerCost,
    before: LayerCost | None,
    size: LayerSize,
    given: Given | None,
    errors: Mapping[str, LayerError],
) -> LayerRow:
    return LayerRow(
        layer=cost.name,
        kind=cost.kind,
        shape=cost.shape,
        shape_before=before.shape if before else None,
        params=cost.params,
        macs=cost.macs,
        macs_before=before.macs if before else None,
        bytes=size.bytes["bit_width"],
        sparsity=size.sparsity,
        bits=size.bits,
        activation_bits=given.edge.grid.bits if given and given.edge else 32,
        error=errors.get(cost.name),
    )


def _distribution(before: Weight | None, after: Weight, given: Given | None) -> Distribution:
    return Distribution(
        histogram(
            before.deployed.flatten().numpy() if before else None, after.deployed.flatten().numpy()
        ),
        weights_on_grid(after),
        histogram(_values(given.before) if given.before else None, _values(given.after))
        if given
        else None,
        activations_on_grid(given) if given else None,
    )


def _values(statistics: Statistics) -> np.ndarray:
    found: np.ndarray = statistics.values.flatten().numpy()
    return found
