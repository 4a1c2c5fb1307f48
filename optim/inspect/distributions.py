"""Values of a layer, before and after, and where they lie on the grid they are rounded to.

Weights are shown with batch norm folded in: what is stored is what is drawn. On its grid a value
is told by its *position*: in steps, counted as the integers that are stored. So all channels can be
drawn in one histogram, whatever their scales: the grid is the whole numbers, and what lies beyond
its ends is clipped.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim.graph.fold import fold
from optim.graph.layers import graph_layers, read_weights, stored_weights
from optim.inspect.propagation import Given
from optim.layers.grid import Granularity, Grid, to_rows
from optim.layers.rewrite import weights_of
from optim.layers.table import QuantizedWeight
from optim.models.bundle import GraphModel, ModelBundle
from optim.quantity import Quantity

__all__ = [
    "Histogram",
    "OnGrid",
    "Weight",
    "activations_on_grid",
    "histogram",
    "weights_inside",
    "weights_on_grid",
]

_BINS = 80
_MOST_BINS = 256
_BEYOND = 0.5
"""How far beyond its ends a grid is drawn, in its width; what is farther counts in the last bin."""


@dataclass(frozen=True)
class Histogram:
    """Values in two models, counted in the same bins.

    Attributes:
        edges: Ends of the bins.
        before: Counts of the original; None where it has no such values.
        after: Counts of the result.
    """

    edges: tuple[float, ...]
    before: tuple[int, ...] | None
    after: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True)
class OnGrid:
    """Values on their grid.

    Attributes:
        bits: Of an integer.
        qmin: Smallest integer.
        qmax: Largest integer.
        granularity: What shares one scale.
        step: Distance of two neighbours in units of the value; the median where there are several.
        edges: Ends of the bins, in steps.
        before: Counts before rounding; None where a file stores nothing but integers.
        after: Counts of the integers.
        used: Integers that occur.
        clipped: Share of the values beyond the grid's ends, by more than half a step.
    """

    bits: int
    qmin: int
    qmax: int
    granularity: Granularity
    step: float
    edges: tuple[float, ...]
    before: tuple[int, ...] | None
    after: tuple[int, ...]
    used: int
    clipped: Quantity | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "clipped": self.clipped.to_json() if self.clipped else None}


@dataclass(frozen=True, eq=False)
class Weight:
    """The weight of one layer.

    Attributes:
        deployed: ``(O, I, ...)`` as the layer multiplies with it.
        exact: Before rounding; None where a file stores nothing but integers.
        grid: Its grid; None in floating point.
    """

    deployed: Tensor
    exact: Tensor | None
    grid: QuantizedWeight | None


def weights_inside(bundle: ModelBundle) -> dict[str, Weight]:
    """Return the weights of all layers that multiply, batch norm folded in."""
    if isinstance(bundle.content, GraphModel):
        return _graph_weights(bundle)
    bare, table = bundle.deployable(), bundle.table.weights
    found = {}
    for name in weights_of(bundle.module):
        exact = bare.get_submodule(name).get_parameter("weight").detach()
        grid = table.get(name)
        found[name] = Weight(grid.apply(exact) if grid else exact, exact, grid)
    return found


def _graph_weights(bundle: ModelBundle) -> dict[str, Weight]:
    content = bundle.content
    assert isinstance(content, GraphModel)
    model = content.read() if content.is_folded else fold(content.read())
    weights, stored = read_weights(model), stored_weights(model)
    found = {}
    for layer in graph_layers(model):
        if layer.name in weights:
            exact, grid = weights[layer.name], bundle.table.weights.get(layer.name)
            found[layer.name] = Weight(grid.apply(exact) if grid else exact, exact, grid)
        elif layer.name in stored:
            entry = stored[layer.name]
            found[layer.name] = Weight(entry.apply(torch.zeros(layer.sizes)), None, entry)
    return found


def histogram(before: np.ndarray | None, after: np.ndarray) -> Histogram:
    """Count values of two models in the same bins, from the least to the largest of all."""
    both = [values for values in (before, after) if values is not None and values.size]
    low = min((float(values.min()) for values in both), default=0.0)
    high = max((float(values.max()) for values in both), default=0.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    return Histogram(
        tuple(edges.tolist()),
        None if before is None else _counts(before, edges),
        _counts(after, edges),
    )


def weights_on_grid(weight: Weight) -> OnGrid | None:
    """Return a layer's weights on their grid; None in floating point."""
    entry = weight.grid
    if entry is None:
        return None
    whole = weight.deployed if weight.exact is None else weight.exact
    # Groups that are shorter are filled with zeros, which are no weights.
    real = to_rows(torch.ones_like(whole), entry.grid).bool()
    integers = entry.integers(whole)[real]
    positions = None
    if weight.exact is not None:
        rows = to_rows(weight.exact, entry.grid)
        positions = (rows / entry.scale[:, None] + entry.zero_point[:, None])[real]
    return _on_grid(entry.grid, float(entry.scale.median()), positions, integers)


def activations_on_grid(given: Given) -> OnGrid | None:
    """Return a sample of what a layer is given on its grid; None in floating point."""
    edge = given.edge
    if edge is None:
        return None
    positions = given.after.values.flatten() / edge.scale + edge.zero_point
    integers = positions.round().clamp(edge.grid.qmin, edge.grid.qmax)
    return _on_grid(edge.grid, edge.scale, positions, integers)


def _on_grid(grid: Grid, step: float, positions: Tensor | None, integers: Tensor) -> OnGrid:
    exact = None if positions is None else positions.numpy()
    low, high = float(grid.qmin), float(grid.qmax)
    if exact is not None and exact.size:
        reach = _BEYOND * grid.levels
        low = max(grid.qmin - reach, min(low, math.floor(float(exact.min()))))
        high = min(grid.qmax + reach, max(high, math.ceil(float(exact.max()))))
    # Whole numbers lie in the middle of a bin; of narrow grids a step is several bins.
    per_step = max(1, _BINS // (2 * grid.levels)) | 1
    width = max(1.0, (high - low + 1) / _MOST_BINS) if per_step == 1 else 1 / per_step
    bins = math.ceil((high - low + 1) / width)
    edges = low - 0.5 + width * np.arange(bins + 1)
    clipped = None
    if exact is not None:
        n = exact.size
        beyond = int(((exact < grid.qmin - 0.5) | (exact > grid.qmax + 0.5)).sum())
        clipped = Quantity.exact(beyond / n if n else 0.0, "fraction")
    return OnGrid(
        bits=grid.bits,
        qmin=grid.qmin,
        qmax=grid.qmax,
        granularity=grid.granularity,
        step=step,
        edges=tuple(edges.tolist()),
        before=None if exact is None else _counts(np.clip(exact, edges[0], edges[-1]), edges),
        after=_counts(integers.numpy(), edges),
        used=len(integers.unique()),
        clipped=clipped,
    )


def _counts(values: np.ndarray, edges: np.ndarray) -> tuple[int, ...]:
    return tuple(np.histogram(values, edges)[0].tolist())
