"""The average error that rounded weights cause, and a bias that takes it back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.layers.graph import COMPUTE, kind_of, nodes_of, trace, with_parameters
from optim.layers.rewrite import replace_parameters
from optim.layers.table import QuantizedWeight

__all__ = ["mean_inputs", "mean_shifts", "shift_outputs"]


def mean_inputs(module: nn.Module, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """Return ``{layer: (1, ...) mean input}`` of every layer that multiplies.

    Args:
        module: A traceable module with float weights.
        batches: ``(N, ...)`` normalised inputs.
    """
    runner, count = _MeanInputs(trace(module)), 0
    with torch.inference_mode():
        for batch in batches:
            runner.run(batch)
            count += len(batch)
    return {name: total / count for name, total in runner.sums.items()}


def mean_shifts(
    module: nn.Module, weights: Mapping[str, QuantizedWeight], means: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return ``{layer: (O,) mean output of the rounded layer minus that of the exact one}``.

    A layer is linear in its input, so that the mean error is the error on the mean input.

    Args:
        module: A traceable module with float weights.
        weights: Quantized weights by layer name, for the batch-norm-folded weights.
        means: What :func:`mean_inputs` says of it.
    """
    traced = trace(module)
    shifts = {}
    for name, mean in means.items():
        if name not in weights:
            continue
        layer = traced.get_submodule(name)
        weight = layer.get_parameter("weight").detach()
        error = with_parameters(layer, weight=weights[name].apply(weight) - weight, bias=None)
        with torch.inference_mode():
            shift = error(mean)
        over = [d for d in range(shift.ndim) if d != _channel_axis(layer, shift)]
        shifts[name] = shift.mean(dim=over).clone()
    return shifts


def _channel_axis(layer: nn.Module, output: Tensor) -> int:
    return output.ndim - 1 if isinstance(layer, nn.Linear) else 1


class _MeanInputs(fx.Interpreter):
    """Runs a traced graph and adds up the inputs of its layers over the batch."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.sums: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run a node, its input added to the sum of its layer."""
        if kind_of(n) in COMPUTE:
            [given], name = self.fetch_args_kwargs_from_env(n)[0], str(n.target)
            total = given.sum(dim=0, keepdim=True)
            self.sums[name] = self.sums[name] + total if name in self.sums else total
        return super().run_node(n)


def shift_outputs(module: nn.Module, shifts: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of a module in which ``(O,)`` numbers are added to the outputs of layers.

    They go into the batch norm that follows a layer where there is one, else into its bias.
    """
    norms = _norm_behind(module)
    biases = {}
    for name, shift in shifts.items():
        holder = norms.get(name, name)
        bias = module.get_submodule(holder).bias
        biases[f"{holder}.bias"] = bias.detach() + shift if isinstance(bias, Tensor) else shift
    return replace_parameters(module, biases)


def _norm_behind(module: nn.Module) -> dict[str, str]:
    """Return ``{layer: the batch norm that folds into it}``."""
    return {
        str(node.all_input_nodes[0].target): str(node.target)
        for node in nodes_of(module)
        if kind_of(node) == "batch_norm"
        and kind_of(node.all_input_nodes[0]) in COMPUTE
        and len(node.all_input_nodes[0].users) == 1
        and getattr(module.get_submodule(str(node.target)), "affine", False)
    }
