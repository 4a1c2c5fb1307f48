"""Learn the rounding of weights and the steps of activations together, block after block.

A *block* is the shortest run of operations with weights in it that one value enters and one value
leaves: a residual block, an attention, a layer of a plain chain. Its outputs in the deployed model
are drawn towards those of the original, on calibration inputs and without labels. Errors of one
layer can so be made up for by another of the same block, and weights are rounded for activations
that are quantized. Every step of the optimiser passes half of the values by the quantizers, which
keeps what is learned from clinging to the samples (QDrop).

References:
    Li et al., BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction, 2021,
    arXiv:2102.05426; Wei et al., QDrop: Randomly Dropping Quantization for Extremely Low-bit
    Post-Training Quantization, 2022, arXiv:2203.05740
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from optim.layers.graph import (
    COMPUTE,
    attribute_of,
    kind_of,
    layer_of,
    trace,
    with_parameters,
)
from optim.layers.rounding import ROUNDING_RATE, SoftRounding
from optim.layers.table import CompressionTable, QuantizedWeight
from optim.layers.training_graph import LearnedEdge

__all__ = ["Block", "blocks_of", "reconstructed"]

_SHRINKING = frozenset({"avg_pool", "flatten", "global_avg_pool", "max_pool", "mean"})
"""What belongs to the block behind: a block is judged by all it knows, not by a mean of it."""
_PASSED_BY = 0.5
"""Share of the values that are not quantized while learning."""
_BATCH = 128
"""Samples that pass a block at once where nothing is learned."""
_STEP_RATE = 0.002
"""Learning rate of the step of an activation, in units of that step."""


@dataclass(frozen=True)
class Block:
    """A run of operations.

    Attributes:
        nodes: In order of execution.
        source: The node whose value enters.
        result: The node whose value leaves; None where there is more than one.
    """

    nodes: tuple[fx.Node, ...]
    source: fx.Node
    result: fx.Node | None


def blocks_of(traced: fx.GraphModule) -> list[Block]:
    """Return the blocks of a traced graph, which together are all of it."""
    runs = _runs(traced.graph)
    blocks: list[list[fx.Node]] = []
    waiting: list[fx.Node] = []
    for run in runs:
        computes = any(kind_of(node) in COMPUTE for node in run)
        if computes or any(kind_of(node) in _SHRINKING for node in run) or waiting or not blocks:
            waiting += run
            if computes:
                blocks.append(waiting)
                waiting = []
        else:
            blocks[-1] += run
    if waiting:
        blocks[-1:] = [[*(blocks[-1] if blocks else []), *waiting]]
    source = next(node for node in traced.graph.nodes if node.op == "placeholder")
    found = []
    for nodes in blocks:
        result = _only_result(nodes)
        found.append(Block(tuple(nodes), source, result))
        source = result if result is not None else source
    return found


def _runs(graph: fx.Graph) -> list[list[fx.Node]]:
    """Return the shortest runs of operations between places where a single value is alive."""
    skipped = ("placeholder", "output", "get_attr")
    nodes = [node for node in graph.nodes if node.op not in skipped]
    last = {node: i for i, user in enumerate(nodes) for node in user.all_input_nodes}
    end = next(node for node in graph.nodes if node.op == "output")
    last |= dict.fromkeys(end.all_input_nodes, len(nodes))
    runs: list[list[fx.Node]] = [[]]
    alive = {node for node in graph.nodes if node.op == "placeholder"}
    for i, node in enumerate(nodes):
        runs[-1].append(node)
        alive = {value for value in (*alive, node) if last.get(value, -1) > i}
        if alive == {node}:
            runs.append([])
    return [run for run in runs if run]


def _only_result(nodes: list[fx.Node]) -> fx.Node | None:
    inside = set(nodes)
    leaving = [node for node in nodes if any(user not in inside for user in node.users)]
    return leaving[0] if len(leaving) == 1 else None


class _SoftLayer(nn.Module):
    """A layer whose weight is being rounded."""

    def __init__(self, layer: nn.Module, quantized: QuantizedWeight, mask: Tensor | None) -> None:
        super().__init__()
        self.layer = layer
        self.weight = layer.get_parameter("weight").detach()
        self.quantized = quantized
        self.rounding = SoftRounding(self.weight, quantized, mask)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer with its weight as it is now."""
        weight, bias = self.rounding(), self.layer.bias
        assert bias is None or isinstance(bias, Tensor)
        if isinstance(self.layer, nn.Linear):
            return nn.functional.linear(x, weight, bias)
        assert isinstance(self.layer, nn.Conv1d | nn.Conv2d)
        return self.layer._conv_forward(x, weight, bias)


class _SoftEdge(nn.Module):
    """A quantizer that passes half of the values by."""

    def __init__(self, edge: LearnedEdge, generator: torch.Generator) -> None:
        super().__init__()
        self.edge, self.generator = edge, generator

    def forward(self, x: Tensor) -> Tensor:
        """Put some values on the grid."""
        return _mixed(self.edge(x), x, self.generator)


def _mixed(deployed: Tensor, exact: Tensor, generator: torch.Generator) -> Tensor:
    chosen = torch.rand(exact.shape, generator=generator) < _PASSED_BY
    return torch.where(chosen, exact, deployed)


def reconstructed(
    module: nn.Module,
    table: CompressionTable,
    inputs: Tensor,
    *,
    iterations: int,
    batch_size: int,
    generator: torch.Generator,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> CompressionTable:
    """Return a table with learned integers and steps.

    Args:
        module: A traceable module with float weights.
        table: Grids and integers of weights and grids of activations, from which learning starts,
            and masks.
        inputs: ``(N, ...)`` normalised.
        iterations: Steps of the optimiser for each block.
        batch_size: Samples in a step.
        generator: Draws batches, and the values that are not quantized.
        check: Called at every step; raises to stop.
        progress: Called with a share in 0..1 and the name of a layer.
    """
    edges = {name: LearnedEdge(name, edge) for name, edge in table.edges.items()}
    traced = trace(module, behind=edges)
    weights, exact, deployed = dict(table.weights), inputs, inputs
    blocks = blocks_of(traced)
    for i, block in enumerate(blocks):
        result = block.result
        if result is None:  # several values leave, as the last ones of a network may
            break
        layers = [str(n.target) for n in block.nodes if kind_of(n) in COMPUTE]
        progress(i / len(blocks), layers[0] if layers else str(result))
        entering = (exact, deployed)
        exact = _run(block, exact, _unquantized, check)
        soft = {
            name: _SoftLayer(traced.get_submodule(name), weights[name], table.masks.get(name))
            for name in dict.fromkeys(layers)
            if name in weights
        }
        _settle(traced, soft, weights)
        deployed = _run(block, entering[1], layer_of, check)
        if not soft:
            continue
        inside = [layer_of(n) for n in block.nodes if n.op == "call_module"]
        steps = [layer for layer in inside if isinstance(layer, LearnedEdge)]
        started = [step.scale.detach().clone() for step in steps]
        unit = (deployed - exact).square().mean()
        _learn(
            *(block, soft, steps, entering, exact, float(unit.clamp(min=1e-12))),
            *(iterations, batch_size, generator, check),
        )
        chosen = {
            name: layer.quantized.holding(layer.rounding.decided()) for name, layer in soft.items()
        }
        _settle(traced, soft, chosen)
        found = _run(block, entering[1], layer_of, check)
        if (found - exact).square().mean() < unit:
            deployed = found
            weights |= chosen
            continue
        _settle(traced, soft, weights)
        with torch.no_grad():
            for step, scale in zip(steps, started, strict=True):
                step.scale.copy_(scale)
    return table.with_quantization(weights, {name: edge.edge() for name, edge in edges.items()})


def _settle(
    traced: fx.GraphModule, soft: dict[str, _SoftLayer], weights: Mapping[str, QuantizedWeight]
) -> None:
    """Put layers with their weights on the grid into a traced graph."""
    for name, own in soft.items():
        on_grid = with_parameters(own.layer, weight=weights[name].apply(own.weight))
        traced.set_submodule(name, on_grid)


def _unquantized(node: fx.Node) -> nn.Module:
    layer = layer_of(node)
    return nn.Identity() if isinstance(layer, LearnedEdge) else layer


def _run(
    block: Block,
    given: Tensor,
    layer: Callable[[fx.Node], nn.Module],
    check: Callable[[], None],
) -> Tensor:
    """Return what a block gives for ``(N, ...)`` inputs."""
    results = []
    with torch.no_grad():
        for batch in given.split(_BATCH):
            check()
            results.append(_outputs(block, batch, layer))
    return torch.cat(results)


def _outputs(block: Block, given: Tensor, layer: Callable[[fx.Node], nn.Module]) -> Tensor:
    values: dict[fx.Node, Any] = {block.source: given}

    def value_of(node: fx.Node) -> Any:
        if node.op == "get_attr":
            owner = node.graph.owning_module
            assert owner is not None
            return attribute_of(owner, str(node.target))
        return values[node]

    for node in block.nodes:
        args, kwargs = map_arg(node.args, value_of), map_arg(node.kwargs, value_of)
        if node.op == "call_module":
            values[node] = layer(node)(*args, **kwargs)
        elif node.op == "call_method":
            values[node] = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        else:
            values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
    assert block.result is not None
    found: Tensor = values[block.result]
    return found


def _learn(
    block: Block,
    soft: dict[str, _SoftLayer],
    steps: list[LearnedEdge],
    entering: tuple[Tensor, Tensor],
    wanted: Tensor,
    unit: float,
    iterations: int,
    batch_size: int,
    generator: torch.Generator,
    check: Callable[[], None],
) -> None:
    """Move the roundings and steps of a block, in place."""
    dropping = {id(step): _SoftEdge(step, generator) for step in steps}

    def layer(node: fx.Node) -> nn.Module:
        found = soft.get(str(node.target)) or layer_of(node)
        return dropping.get(id(found), found)

    groups: list[dict[str, Any]] = [
        {"params": [x.rounding.position for x in soft.values()], "lr": ROUNDING_RATE / iterations},
        *(
            {"params": [step.scale], "lr": _STEP_RATE * float(step.scale.detach())}
            for step in steps
            if step.scale.requires_grad
        ),
    ]
    moving = [tensor for group in groups for tensor in group["params"]]
    optimiser = torch.optim.Adam(groups)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    for i in range(iterations):
        check()
        rows = torch.randint(len(wanted), (min(batch_size, len(wanted)),), generator=generator)
        exact, deployed = (side[rows] for side in entering)
        given = _mixed(deployed, exact, generator)
        with torch.enable_grad():
            error = (_outputs(block, given, layer) - wanted[rows]).square().mean()
            open_ = sum(
                (x.rounding.undecided(i / iterations) for x in soft.values()), torch.zeros(())
            )
            loss = error / unit + open_ / len(soft)
            optimiser.zero_grad()
            loss.backward(inputs=moving)
        optimiser.step()
        plan.step()
