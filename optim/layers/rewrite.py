"""Read the weights of a module and make copies with other ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, fx, nn

from optim.errors import ConfigError
from optim.layers.graph import (
    COMPUTE,
    as_program,
    fork,
    kind_of,
    nodes_of,
    propagate_shapes,
    trace,
)
from optim.layers.low_rank import Shapes

__all__ = [
    "check_mentioned",
    "folded_weights",
    "layer_shapes",
    "norm_layers",
    "replace_layers",
    "replace_parameters",
    "replace_weights",
    "untreated_layers",
    "weights_of",
]

_UNTREATED = {
    "conv_transpose": "transposed convolutions are left as they are where a model can be trained",
    "embedding": "tables to look up in are left as they are where a model can be trained",
}
"""Kinds of layers with weights that nothing but training changes, and what is said of them."""
_LISTED = 20
"""Names of layers that a message lists at most."""


def weights_of(module: nn.Module, mentioned: Iterable[str] = ()) -> dict[str, Tensor]:
    """Return the weight of every layer that can be changed, in order of execution.

    Args:
        module: A traceable module.
        mentioned: Layer names a recipe mentions; each must be one of them.

    Raises:
        ConfigError: If a mentioned layer does not exist, or is one of :func:`untreated_layers`.
    """
    weights = {}
    for node in nodes_of(module):
        if kind_of(node) in COMPUTE:
            weights[str(node.target)] = module.get_parameter(f"{node.target}.weight").detach()
    if mentioned:
        check_mentioned(mentioned, weights, untreated_layers(module))
    return weights


def untreated_layers(module: nn.Module) -> dict[str, str]:
    """Return ``{layer: reason}`` of the layers whose weights are trained and not changed else."""
    return {
        str(node.target): _UNTREATED[kind_of(node)]
        for node in nodes_of(module)
        if node.op == "call_module" and kind_of(node) in _UNTREATED
    }


def folded_weights(
    module: nn.Module, traced: fx.GraphModule, mentioned: Iterable[str] = ()
) -> dict[str, Tensor]:
    """Return the weights of :func:`weights_of` as a traced form has them, batch norm folded in."""
    names = weights_of(module, mentioned)
    return {name: traced.get_parameter(f"{name}.weight").detach() for name in names}


def check_mentioned(
    mentioned: Iterable[str], known: Iterable[str], kept: Mapping[str, str] | None = None
) -> None:
    """Refuse layer names that a recipe mentions and that nothing can be set for.

    Args:
        mentioned: Names of layers.
        known: Those that something can be set for.
        kept: ``{layer: reason}`` of those that are left as they are.

    Raises:
        ConfigError: With the names that come closest, or those there are.
    """
    names, kept = list(known), kept or {}
    for name in mentioned:
        if name in kept:
            raise ConfigError(
                f"Layer {name!r} cannot be set: {kept[name]}.", hint=_listed(names), field="layers"
            )
        if name not in names:
            close = difflib.get_close_matches(name, names, n=3)
            raise ConfigError(
                f"The model has no layer {name!r}.",
                hint=f"Did you mean {' or '.join(close)}?" if close else _listed(names),
                field="layers",
            )


def _listed(names: Sequence[str]) -> str:
    """Say which layers there are; nothing where there are none."""
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return f"Layers that can be set: {', '.join(names[:_LISTED])}{more}." if names else ""


def replace_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of a module with other weights in some layers."""
    return replace_parameters(module, {f"{name}.weight": w for name, w in weights.items()})


def replace_parameters(module: nn.Module, values: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of a module with other values in some parameters; a missing one is made."""
    changed = fork(module)
    for name, value in values.items():
        layer, _, parameter = name.rpartition(".")
        changed.get_submodule(layer).register_parameter(parameter, nn.Parameter(value.detach()))
    return changed


def replace_layers(module: nn.Module, layers: Mapping[str, nn.Module]) -> fx.GraphModule:
    """Return a copy of a module with other layers in place of some, as a graph of its own.

    The copy no longer has the architecture of the module; its graph says all there is.
    """
    changed = fork(module)
    changed.__dict__.pop("_optim_graph", None)  # it calls what is replaced
    for name, layer in layers.items():
        changed.set_submodule(name, layer)
    return as_program(changed)


def layer_shapes(module: nn.Module, input_shape: tuple[int, ...]) -> dict[str, Shapes]:
    """Return the sizes that every layer with weights reads and writes, in order of execution."""
    traced = trace(module, fold=False)
    propagate_shapes(traced, input_shape)
    found = {}
    for node in traced.graph.nodes:
        if kind_of(node) in COMPUTE:
            given, made = node.all_input_nodes[0].meta["shape"], node.meta["shape"]
            # The batch is of one sample and counts for nothing: it need not be the first axis,
            # as in attention that takes tokens first, nor is the first one always the batch.
            if kind_of(node) == "linear":
                found[str(node.target)] = Shapes(given[:-1], made[:-1])
            else:
                found[str(node.target)] = Shapes(given[2:], made[2:], maps=made[0])
    return found


def norm_layers(module: nn.Module) -> dict[str, nn.BatchNorm1d | nn.BatchNorm2d]:
    """Return the batch norms with running statistics by name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.track_running_stats
    }
