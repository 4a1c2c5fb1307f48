"""What a model costs, whichever lane it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from torch import fx

from optim.graph.fold import fold
from optim.layers.graph import propagate_shapes, trace
from optim.measure.graph_costs import graph_costs, graph_layer_costs
from optim.measure.macs import LayerCost, costs_of, layer_costs, parameters_in
from optim.models.bundle import GraphModel, ModelBundle
from optim.quantity import Quantity

__all__ = ["model_costs", "static_costs", "variant_costs"]


def model_costs(bundle: ModelBundle) -> list[LayerCost]:
    """Return the cost of every layer that multiplies, in order, batch norms folded in."""
    if isinstance(bundle.content, GraphModel):
        return graph_layer_costs(fold(bundle.graph()), bundle.interface, bundle.spec.shape)
    return layer_costs(bundle.module, bundle.spec.shape)


def variant_costs(costs: Sequence[LayerCost], bundle: ModelBundle) -> list[LayerCost]:
    """Return the costs of a variant of a model, from those of the model itself.

    Layers of the same names run at the same places, however many channels they have, so that their
    multiply-accumulates follow from the sizes of their weights; no shape has to be found out again.
    Where layers have other names the variant is looked at as a whole.

    Args:
        costs: Of the model.
        bundle: The variant.
    """
    if isinstance(bundle.content, GraphModel):
        return list(costs)  # of a graph nothing but values changes
    weights = {
        name.removesuffix(".weight"): parameter
        for name, parameter in bundle.module.named_parameters()
        if name.endswith(".weight")
    }
    shapes = {cost.name: cost.shape for cost in costs if cost.shape}
    if shapes.keys() - weights.keys():
        return model_costs(bundle)
    products = len(shapes) < len(costs)
    if products and any(tuple(weights[name].shape) != shape for name, shape in shapes.items()):
        return model_costs(bundle)  # products of activations have no weights to tell their size
    found = []
    for cost in costs:
        shape = tuple(weights[cost.name].shape) if cost.shape else ()
        if shape == cost.shape:
            found.append(cost)
            continue
        biases = cost.params - prod(cost.shape)
        outputs = 1 if cost.kind == "conv_transpose" else 0  # axis of the weight
        found.append(
            replace(
                cost,
                shape=shape,
                params=prod(shape) + biases // cost.shape[outputs] * shape[outputs],
                macs=cost.macs * prod(shape) // prod(cost.shape),
                activations=cost.activations // cost.shape[outputs] * shape[outputs],
            )
        )
    return found


def static_costs(
    bundle: ModelBundle, traced: fx.GraphModule | None = None
) -> tuple[Quantity, Quantity, Quantity]:
    """Return parameters, MACs for one sample, and the share of zeros in the weights.

    Args:
        bundle: The model.
        traced: What ``bundle.deployable()`` gave, where that is known.
    """
    if isinstance(bundle.content, GraphModel):
        params, macs, _ = graph_costs(bundle.content.onnx, bundle.interface, bundle.spec.shape)
        return params, macs, Quantity.exact(bundle.sparsity, "fraction")
    traced = trace(bundle.module) if traced is None else traced
    propagate_shapes(traced, bundle.spec.shape)
    costs = costs_of(traced)
    return (
        Quantity.exact(parameters_in(traced), "params"),
        Quantity.exact(sum(cost.macs for cost in costs), "macs"),
        Quantity.exact(bundle.sparsity, "fraction"),
    )
