"""The weights of a model whichever lane it is in, and copies of it with other ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from optim.errors import ConfigError
from optim.graph.layers import kept_layers, read_weights, replace_layer_weights
from optim.layers.rewrite import check_mentioned, replace_weights, weights_of
from optim.models.bundle import GraphModel, ModelBundle

__all__ = ["kept_weights", "model_weights", "with_weights"]


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
    weights, kept = read_weights(model), kept_layers(model)
    check_mentioned(mentioned, [*weights, *kept])
    for name in mentioned:
        if name in kept:
            raise ConfigError(f"Layer {name!r} cannot be set: {kept[name]}.", field="layers")
    return weights


def kept_weights(bundle: ModelBundle) -> dict[str, str]:
    """Return ``{layer: reason}`` of the layers whose weights are left as they are."""
    if not isinstance(bundle.content, GraphModel):
        return {}
    return kept_layers(bundle.graph())


def with_weights(bundle: ModelBundle, weights: Mapping[str, Tensor]) -> ModelBundle:
    """Return a model with other weights ``(O, I, ...)`` in some layers."""
    if not isinstance(bundle.content, GraphModel):
        return bundle.with_module(replace_weights(bundle.module, weights))
    return bundle.with_graph(replace_layer_weights(bundle.graph(), weights))
