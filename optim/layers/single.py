"""How much the outputs of a model change when one layer alone has another weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.layers.graph import propagate_shapes, trace, with_parameters

__all__ = ["single_harms"]

_HELD_BYTES = 2**28
"""Values of the unchanged model that are held at once."""


def single_harms(
    module: nn.Module,
    variants: Mapping[str, Mapping[Any, Tensor]],
    inputs: Tensor,
    check: Callable[[], None] = lambda: None,
) -> dict[str, dict[Any, float]]:
    """Return ``{layer: {variant: harm}}`` of every layer with each of its other weights.

    Harm is the squared error of the outputs, in units of their mean square. For small errors it
    adds up over layers, and it goes on growing where class probabilities are saturated. Only what
    lies behind a layer is computed again.

    Args:
        module: A traceable module with float weights and one tensor as its result.
        variants: ``{layer: {name: folded weight}}``.
        inputs: ``(N, ...)`` normalised.
        check: Called before each pass; raises to stop.
    """
    traced = trace(module)
    propagate_shapes(traced, tuple(inputs.shape[1:]))
    held = sum(4 * prod(node.meta.get("shape", ())) for node in traced.graph.nodes)
    behind = {name: _behind(traced, name) for name in variants}
    sums = {name: dict.fromkeys(options, 0.0) for name, options in variants.items()}
    size = 0.0
    with torch.no_grad():
        for batch in inputs.split(max(1, _HELD_BYTES // max(1, held))):
            plain = fx.Interpreter(traced, garbage_collect_values=False)
            exact = plain.run(batch)
            size += float(exact.square().sum())
            for name, options in variants.items():
                before = {n: v for n, v in plain.env.items() if n not in behind[name]}
                layer = traced.get_submodule(name)
                for option, weight in options.items():
                    check()
                    traced.set_submodule(name, with_parameters(layer, weight=weight))
                    again = fx.Interpreter(traced).run(batch, initial_env=dict(before))
                    sums[name][option] += float((again - exact).square().sum())
                traced.set_submodule(name, layer)
    return {
        name: {option: total / max(size, 1e-12) for option, total in options.items()}
        for name, options in sums.items()
    }


def _behind(traced: fx.GraphModule, name: str) -> set[fx.Node]:
    """Return the calls of a layer and every node that depends on one."""
    found: set[fx.Node] = set()
    for node in traced.graph.nodes:
        is_call = node.op == "call_module" and node.target == name
        if is_call or any(source in found for source in node.all_input_nodes):
            found.add(node)
    return found
