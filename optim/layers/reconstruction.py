"""Refit the weights that pruning left, so that every layer gives what it gave before.

Layer after layer, in order of execution, the weights become the solution of a regression: from the
inputs the layer has now, what all layers before it have lost included, to the outputs it had in the
original. That is linear, needs no labels, and has a closed form.

What is fitted varies less than what it was fitted to, and batch norm would blow it up again as soon
as its statistics are measured anew. So the statistics are measured here, and scale and shift of the
norm take up the difference: the function stays the same, also for a training that starts from it.

References:
    He et al., Channel Pruning for Accelerating Very Deep Neural Networks, 2017, arXiv:1707.06168
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.layers.columns import at_places, columns_at, outputs_of, places_of, sampled_places
from optim.layers.graph import COMPUTE, kind_of, layer_of, propagate_shapes, trace, with_parameters

__all__ = ["most_samples", "original_outputs", "refitted"]

_PLACES = 32
"""Positions of each sample, at most, that a layer is fitted at."""
_RIDGE = 0.01
"""Pull towards the weights as they were, in units of the mean energy of an input."""
_CHUNK_BYTES = 2**26
_ACTIVATION_BYTES = 2**28


def most_samples(module: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return how many samples can pass at once without taking too much memory."""
    traced = trace(module, fold=False)
    propagate_shapes(traced, input_shape)
    largest = max(torch.Size(n.meta.get("shape", ())).numel() for n in traced.graph.nodes)
    return max(8, _ACTIVATION_BYTES // (4 * largest))


def original_outputs(module: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Return ``{layer: (N, channels, places)}`` of a module before anything is removed.

    Args:
        module: A traceable module in evaluation mode.
        inputs: ``(N, ...)`` normalised.
    """
    recorder = _Recorder(trace(module, fold=False))
    with torch.no_grad():
        recorder.run(inputs)
    return recorder.found


def refitted(
    pruned: nn.Module,
    inputs: Tensor,
    wanted: Mapping[str, Tensor],
    kept: Mapping[tuple[str, str], Tensor],
    masks: Mapping[str, Tensor],
    check: Callable[[], None] = lambda: None,
    behind: Iterable[str] = (),
) -> dict[str, nn.Module]:
    """Return ``{name: layer}`` to put in place of the layers of a pruned module.

    Batch norms are among them where the layer before has no bias to hold a shift.

    Args:
        pruned: The smaller module.
        inputs: ``(N, ...)`` normalised, those of :func:`original_outputs`.
        wanted: What that returned for the module as it was.
        kept: ``{(layer, side): positions}`` of the layers that lost some, side ``in`` or ``out``.
        masks: ``{layer: mask}`` of weights that must stay zero.
        check: Called between layers; raises to stop.
        behind: Layers whose inputs differ for another reason: they lie behind what is gone.
    """
    traced = trace(pruned, fold=False)
    layers = _layers_behind(traced, {name for name, _ in kept}, set(behind))
    chosen = {
        name: wanted[name][:, kept[name, "out"]] if (name, "out") in kept else wanted[name]
        for name in layers
        if name in wanted
    }
    fitter = _Fitter(traced, chosen, masks, check)
    with torch.no_grad():
        fitter.run(inputs)
    return fitter.found


def _fits(layer: nn.Module) -> bool:
    """Whether a layer's outputs are plain products of its weights with its inputs."""
    if isinstance(layer, nn.Linear):
        return True
    return (
        isinstance(layer, nn.Conv1d | nn.Conv2d)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def _layers_behind(traced: fx.GraphModule, sliced: set[str], others: set[str]) -> list[str]:
    """Return the layers with weights whose inputs differ from the original's, called once."""
    calls = [str(node.target) for node in traced.graph.nodes if node.op == "call_module"]
    differing: set[fx.Node] = set()
    found = []
    for node in traced.graph.nodes:
        behind = any(source in differing for source in node.all_input_nodes)
        behind = behind or (node.op == "call_module" and str(node.target) in others)
        if behind or str(node.target) in sliced:
            differing.add(node)
        if behind and kind_of(node) in COMPUTE and calls.count(str(node.target)) == 1:
            found.append(str(node.target))
    return found


class _Recorder(fx.Interpreter):
    """Runs a traced graph and keeps some outputs of every layer that could be fitted."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if kind_of(n) in COMPUTE and _fits(layer_of(n)):
            outputs = outputs_of(layer_of(n), result)
            places = sampled_places(str(n.target), len(outputs), outputs.shape[2], _PLACES)
            self.found[str(n.target)] = at_places(outputs, places)
        return result


class _Fitter(fx.Interpreter):
    """Runs a traced graph and replaces layers before they are used."""

    def __init__(
        self,
        traced: fx.GraphModule,
        wanted: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        check: Callable[[], None],
    ) -> None:
        super().__init__(traced)
        self.wanted, self.masks, self.check = wanted, masks, check
        self.found: dict[str, nn.Module] = {}

    def run_node(self, n: fx.Node) -> Any:
        name = str(n.target)
        if n.op == "call_module" and name in self.wanted:
            self.check()
            (given,), _ = self.fetch_args_kwargs_from_env(n)
            self._fit(n, name, given)
        result = super().run_node(n)
        if kind_of(n) == "batch_norm" and str(n.all_input_nodes[0].target) in self.found:
            (given,), _ = self.fetch_args_kwargs_from_env(n)
            self._replace(name, _measured(layer_of(n), given))
        return result

    def _fit(self, node: fx.Node, name: str, given: Tensor) -> None:
        layer, wanted = layer_of(node), self.wanted[name]
        norm = _norm_behind(node)
        bias = layer.bias if isinstance(layer.bias, Tensor) else None
        moves = bias is not None or norm is not None
        weight, shift = _regression(layer, name, given, wanted, self.masks.get(name), moves)
        fitted = with_parameters(
            layer, weight=weight, bias=None if bias is None else bias.detach() + shift
        )
        self._replace(name, fitted)
        if bias is None and norm is not None:
            old = layer_of(norm)
            mean = old.get_buffer("running_mean") - shift
            self._replace(str(norm.target), _with_buffers(old, running_mean=mean))

    def _replace(self, name: str, layer: nn.Module) -> None:
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(True)
        self.found[name] = layer
        self.module.set_submodule(name, layer)


def _norm_behind(node: fx.Node) -> fx.Node | None:
    """Return the batch norm that alone takes a layer's outputs, if there is one."""
    users = list(node.users)
    if len(users) != 1 or kind_of(users[0]) != "batch_norm":
        return None
    return users[0] if layer_of(users[0])._buffers.get("running_mean") is not None else None


def _with_buffers(norm: nn.Module, **buffers: Tensor) -> nn.Module:
    clone = with_parameters(norm)
    object.__setattr__(clone, "_buffers", {**norm._buffers, **buffers})
    return clone


def _measured(norm: nn.Module, given: Tensor) -> nn.Module:
    """Return a batch norm that does the same, with the statistics of its inputs ``(N, C, ...)``."""
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or not norm.affine:
        return norm
    over = [axis for axis in range(given.ndim) if axis != 1]
    var, mean = torch.var_mean(given, over)
    old_mean, old_var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    weight, bias = norm.weight.detach(), norm.bias.detach()
    slope = weight * torch.rsqrt(old_var + norm.eps)
    same = with_parameters(
        norm, weight=slope * torch.sqrt(var + norm.eps), bias=bias + slope * (mean - old_mean)
    )
    return _with_buffers(same, running_mean=mean, running_var=var)


def _regression(
    layer: nn.Module,
    name: str,
    given: Tensor,
    wanted: Tensor,
    mask: Tensor | None,
    moves: bool,
) -> tuple[Tensor, Tensor]:
    """Return the weight that fits best, and the shift ``(O,)`` of the outputs that goes with it.

    Args:
        layer: As it is.
        name: Decides the places.
        given: Its inputs ``(N, ...)``.
        wanted: Outputs ``(N, O, places)`` it shall have.
        mask: Weights that must stay zero.
        moves: Whether its outputs can be shifted.
    """
    weight = layer.get_parameter("weight").detach()
    flat = weight.flatten(1)
    samples, size = len(given), flat.shape[1]
    rows, errors = [], []
    places = sampled_places(name, samples, prod(places_of(layer, given)), _PLACES)
    step = max(1, _CHUNK_BYTES // (4 * size * places.shape[1]))
    for start in range(0, samples, step):
        chunk = slice(start, start + step)
        columns = columns_at(layer, given[chunk], places[chunk])
        rows.append(columns.movedim(1, 2).reshape(-1, size))
        error = wanted[chunk] - torch.einsum("od,ndp->nop", flat, columns)
        errors.append(error.movedim(1, 2).reshape(-1, len(flat)))
    x, y = torch.cat(rows), torch.cat(errors)
    if isinstance(layer.bias, Tensor):
        y = y - layer.bias.detach()
    centre, offset = (
        (x.mean(0), y.mean(0)) if moves else (x.new_zeros(size), y.new_zeros(len(flat)))
    )
    x, y = x - centre, y - offset
    gram = (x.T @ x).double()
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean().clamp(min=1e-12))
    change = torch.linalg.solve(gram, (x.T @ y).double()).T.to(weight.dtype)
    if mask is not None:
        change = change * mask.flatten(1)
    return (flat + change).reshape(weight.shape), offset - change @ centre
