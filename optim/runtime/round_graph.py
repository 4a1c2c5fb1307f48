"""Round the weights of a graph that stays as it is, by what its layers are given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from optim.graph.layers import read_weights
from optim.graph.observe import value_batches
from optim.graph.plan import GraphPlan
from optim.graph.products import Product, products_of
from optim.layers.quantized_graph import FakeQuantize
from optim.layers.rounding import MOST_INPUTS, Choose, Moments, moments_of
from optim.layers.surgeon import refitted_weight
from optim.layers.table import QuantizedWeight
from optim.models.bundle import ModelBundle
from optim.runtime.run_graph import observing

__all__ = ["graph_moments", "refitted_graph", "rounded_graph"]

T = TypeVar("T")

_BYTES = 2**29
"""Moments that are held at once; a graph of more is run several times."""


def rounded_graph(
    folded: ModelBundle,
    inputs: Tensor,
    choose: Choose,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> dict[str, QuantizedWeight]:
    """Return the quantized weights of a graph, each layer rounded by a method.

    As :func:`optim.layers.rounding.rounded_layers`, with one difference: a layer sees what the
    original computes, put on the grids of activations, and not what the layers before it have lost.
    Layers that are no plain product, and those with too many inputs, keep their integers.

    Args:
        folded: A folded graph with its grids.
        inputs: ``(N, ...)`` normalised.
        choose: The method.
        check: Called between batches and layers; raises to stop.
        progress: Called with a share in 0..1 and the name of a layer.
    """
    table, weights = folded.table, read_weights(folded.graph())

    def rounded(name: str, moments: Moments) -> QuantizedWeight:
        entry = table.weights[name]
        chosen = choose(weights[name], entry, moments, table.masks.get(name))
        return entry.holding(chosen)

    found = graph_moments(folded, table.weights, inputs, rounded, check, progress)
    return {**table.weights, **found}


def refitted_graph(
    folded: ModelBundle,
    masks: Mapping[str, Tensor],
    inputs: Tensor,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Tensor]:
    """Return the weights of a graph under masks, each layer refitted to its own outputs.

    A layer sees what the original computes; see :func:`rounded_graph`. Those that are no plain
    product are left out.
    """
    weights = read_weights(folded.graph())

    def refitted(name: str, moments: Moments) -> Tensor:
        return refitted_weight(weights[name], masks[name], moments)

    return graph_moments(folded, masks, inputs, refitted, check)


def graph_moments(
    folded: ModelBundle,
    names: Collection[str],
    inputs: Tensor,
    use: Callable[[str, Moments], T],
    check: Callable[[], None] = lambda: None,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> dict[str, T]:
    """Return what is made of the moments of each layer's inputs, put on the grids of activations.

    Layers that are no plain product, and those with too many inputs, are left out.

    Args:
        folded: A folded graph, maybe with grids of activations.
        names: The layers.
        inputs: ``(N, ...)`` normalised.
        use: Given name and moments; all moments at once would take too much memory.
        check: Called between batches and layers; raises to stop.
        progress: Called with a share in 0..1 and the name of a layer.
    """
    model = folded.graph()
    weights = read_weights(model)
    products = [
        product
        for product in products_of(model)
        if product.name in names and weights[product.name][0].numel() <= MOST_INPUTS
    ]
    found: dict[str, T] = {}
    for together in _held_at_once(products, weights):
        moments = _moments(folded, together, inputs, check)
        for product in together:
            check()
            progress(len(found) / len(products), product.name)
            found[product.name] = use(product.name, moments.pop(product.name))
    return found


def _held_at_once(products: list[Product], weights: dict[str, Tensor]) -> list[list[Product]]:
    parts: list[list[Product]] = []
    left = 0
    for product in products:
        size = getattr(product.layer, "groups", 1) * weights[product.name][0].numel() ** 2 * 8
        if size > left:
            parts.append([])
            left = _BYTES
        parts[-1].append(product)
        left -= size
    return parts


def _moments(
    folded: ModelBundle, products: Sequence[Product], inputs: Tensor, check: Callable[[], None]
) -> dict[str, Moments]:
    model, edges = folded.graph(), folded.table.edges
    plan = GraphPlan.of(model)
    names = list(dict.fromkeys(product.value for product in products))
    session = observing(folded, names)
    sums: dict[str, Moments] = {}
    with torch.no_grad():
        for values, _ in value_batches(session.values, inputs, batch=session.batch, check=check):
            by_name = dict(zip(names, values, strict=True))
            for product in products:
                exact = by_name[product.value]
                edge = edges.get(plan.inputs.get(product.name, ""))
                deployed = FakeQuantize(edge)(exact) if edge else exact
                sides = (product.padded(side) for side in (exact, deployed))
                own, share = (
                    moments_of(product.layer, product.name, *sides),
                    len(exact) / len(inputs),
                )
                empty = Moments(torch.zeros_like(own.inner), torch.zeros_like(own.cross))
                total = sums.setdefault(product.name, empty)
                total.inner.add_(own.inner, alpha=share)
                total.cross.add_(own.cross, alpha=share)
    return sums
