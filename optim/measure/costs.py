"""What a model costs, whichever lane it is in."""

from __future__ import annotations

from optim.graph.fold import fold
from optim.measure.graph_costs import graph_costs, graph_layer_costs
from optim.measure.macs import LayerCost, layer_costs
from optim.models.bundle import GraphModel, ModelBundle
from optim.quantity import Quantity

__all__ = ["model_costs", "static_costs"]


def model_costs(bundle: ModelBundle) -> list[LayerCost]:
    """Return the cost of every layer that multiplies, in order, batch norms folded in."""
    if isinstance(bundle.content, GraphModel):
        return graph_layer_costs(fold(bundle.graph()), bundle.interface, bundle.spec.shape)
    return layer_costs(bundle.module, bundle.spec.shape)


def static_costs(bundle: ModelBundle) -> tuple[Quantity, Quantity, Quantity]:
    """Return parameters, MACs for one sample, and the share of zeros in the weights."""
    if isinstance(bundle.content, GraphModel):
        params, macs, _ = graph_costs(bundle.content.onnx, bundle.interface, bundle.spec.shape)
        return params, macs, Quantity.exact(bundle.sparsity, "fraction")
    costs = layer_costs(bundle.module, bundle.spec.shape)
    return (
        Quantity.exact(sum(cost.params for cost in costs), "params"),
        Quantity.exact(sum(cost.macs for cost in costs), "macs"),
        Quantity.exact(bundle.sparsity, "fraction"),
    )
