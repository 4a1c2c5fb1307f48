"""Weights in 4 bits by groups, activations in floating point: what memory-bound models want."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from optim.layers.grid import Grid, to_rows
from optim.layers.rewrite import folded_weights
from optim.layers.table import QuantizedWeight
from optim.models.bundle import ModelBundle
from optim.models.weighted import model_weights

__all__ = ["GROUP_SIZE", "deployed_weights", "four_bit_weights"]

GROUP_SIZE = 32
"""Weights that share a scale."""


def four_bit_weights(bundle: ModelBundle) -> ModelBundle:
    """Return a model whose weights have at most 4 bits and whose activations are floats.

    Weights that lie on a grid of 4 bits or fewer already stay on it; all others are rounded to the
    nearest of 16 levels between the extremes of their group.
    """
    bundle = bundle.with_table(bundle.table.with_codebooks({}))
    known = bundle.table.weights
    weights = {
        name: known[name]
        if name in known and known[name].grid.bits <= 4
        else _rounded(weight, Grid.for_weights(4, True, "per_group", GROUP_SIZE))
        for name, weight in deployed_weights(bundle).items()
    }
    return bundle.with_table(replace(bundle.table, weights=weights, edges={}))


def deployed_weights(bundle: ModelBundle) -> dict[str, Tensor]:
    """Return the weights with batch norm folded in, as they are deployed."""
    if bundle.lane == "graph":
        return model_weights(bundle)
    return folded_weights(bundle.module, bundle.deployable())


def _rounded(weight: Tensor, grid: Grid) -> QuantizedWeight:
    grid = grid.within(weight)
    rows = to_rows(weight, grid)
    return QuantizedWeight(grid, *grid.parameters(rows.amin(1), rows.amax(1)))
