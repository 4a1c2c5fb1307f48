"""The weights of a model whichever lane it is in, and copies of it with other ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from optim.graph.fold import fold
from optim.graph.layers import (
    graph_layers,
    kept_layers,
    read_weights,
    replace_layer_weights,
    stored_weights,
)
from optim.layers.rewrite import (
    check_mentioned,
    replace_weights,
    untreated_layers,
    weights_of,
)
from optim.models.bundle import GraphModel, ModelBundle

__all__ = ["NO_WEIGHTS", "deployed_weight", "kept_weights", "model_weights", "with_weights"]


NO_WEIGHTS = "No layer has constant weights, outside of the bodies of branches and loops."
"""What a report says of a model in which there is nothing to change."""


def model_weights(bundle: ModelBundle, mentioned: Collection[str] = ()) -> dict[str, Tensor]:
    """Return ``{layer: (O, I, ...) weight}`` of the layers whose weights can be changed.

    Args:
        bundle: Of either lane.
        mentioned: Layer names a recipe mentions; each must exist and be changeable.

    Raises:
        ConfigError: If a mentioned layer is not there or is left as it is.
    """
    if not isinstance(bundle.content, GraphModel):
        return weights_of(bundle.module, mentioned)
    model = bundle.graph()
    weights = read_weights(model)
    check_mentioned(mentioned, weights, kept_layers(model))
    return weights


def kept_weights(bundle: ModelBundle) -> dict[str, str]:
    """Return ``{layer: reason}`` of the layers whose weights are left as they are."""
    if not isinstance(bundle.content, GraphModel):
        return untreated_layers(bundle.module)
    return kept_layers(bundle.graph())


def deployed_weight(bundle: ModelBundle, layer: str) -> Tensor | None:
    """Return the weight of a layer as it is deployed, batch norm folded in and on its grid.

    Returns:
        ``(O, I, ...)``, or None if there is no such layer.
    """
    if not isinstance(bundle.content, GraphModel):
        names = dict(bundle.simulated().named_parameters())
        return names[f"{layer}.weight"].detach() if f"{layer}.weight" in names else None
    model = fold(bundle.graph())
    weights, table = read_weights(model), bundle.table.weights
    if layer in weights:
        return table[layer].apply(weights[layer]) if layer in table else weights[layer]
    stored, sizes = stored_weights(model), {x.name: x.sizes for x in graph_layers(model)}
    return stored[layer].apply(torch.zeros(sizes[layer])) if layer in stored else None


def with_weights(bundle: ModelBundle, weights: Mapping[str, Tensor]) -> ModelBundle:
    """Return a model with other weights ``(O, I, ...)`` in some layers."""
    if not isinstance(bundle.content, GraphModel):
        return bundle.with_module(replace_weights(bundle.module, weights))
    return bundle.with_graph(replace_layer_weights(bundle.graph(), weights))
