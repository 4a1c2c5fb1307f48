"""Residual blocks: what is added to a stream, and taking it out of the network.

A *block* is everything that computes one side of an addition and nothing else. Without it the other
side goes on alone: the shortcut, whether it is the stream itself or a projection of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.layers.graph import COMPUTE, as_program, kind_of, nodes_of, propagate_shapes

__all__ = [
    "Block",
    "find_blocks",
    "influence_of",
    "layers_behind",
    "output_errors",
    "without_blocks",
]


@dataclass(frozen=True)
class Block:
    """One side of a residual addition.

    Attributes:
        name: Its first layer with weights.
        layers: All its layers with weights, in order of execution.
        addition: Node of the traced module that adds it to the stream.
        shortcut: Node of the other side, which stays.
    """

    name: str
    layers: tuple[str, ...]
    addition: str
    shortcut: str


def find_blocks(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[Block, ...]:
    """Find the residual blocks of a module, in order of execution.

    Where both sides of an addition hold layers of their own, the block is the one with more of
    them; a side that holds further blocks is none itself.

    Args:
        module: A traceable module in evaluation mode; unchanged.
        input_shape: Shape of one sample.
    """
    program = as_program(module)
    propagate_shapes(program, input_shape)
    nodes = list(program.graph.nodes)
    found: list[tuple[Block, set[str]]] = []
    for place, node in enumerate(nodes):
        sides = [side for side in node.args if isinstance(side, fx.Node)]
        if kind_of(node) != "add" or len(sides) != 2:
            continue
        both = [_block(nodes[:place], node, *pair) for pair in (sides, sides[::-1])]
        block, gone = max(both, key=lambda one: len(one[0].layers))
        if block.layers:
            found.append((block, gone))
    additions = {block.addition for block, _ in found}
    return tuple(block for block, gone in found if not gone & additions)


def _block(
    before: Sequence[fx.Node], addition: fx.Node, shortcut: fx.Node, branch: fx.Node
) -> tuple[Block, set[str]]:
    """Return one side of an addition, and the nodes that serve nothing else.

    It has no layers where it is no block: the rest of the network must go on from the same source.
    """
    gone: set[str] = set()
    if shortcut.meta.get("shape") == addition.meta.get("shape") and shortcut is not branch:
        for node in reversed(before):
            serves = {user.name for user in node.users}
            is_own = node is not shortcut and node.op != "placeholder"
            if is_own and serves and serves <= gone | {addition.name}:
                gone.add(node.name)
    own = [node for node in before if node.name in gone]
    sources = {n for node in own for n in node.all_input_nodes if n.name not in gone}
    if not sources <= _leading_to(shortcut) or all(n.op == "get_attr" for n in sources):
        own = []
    layers = tuple(str(node.target) for node in own if kind_of(node) in COMPUTE)
    return Block(layers[0] if layers else "", layers, addition.name, shortcut.name), gone


def _leading_to(node: fx.Node) -> set[fx.Node]:
    """Return a node and all that it is computed from."""
    found, left = set[fx.Node](), [node]
    while left:
        if (one := left.pop()) not in found:
            found.add(one)
            left += one.all_input_nodes
    return found


def without_blocks(module: nn.Module, blocks: Iterable[Block]) -> fx.GraphModule:
    """Return a copy of a module without some of its blocks, as a graph of its own."""
    graph = copy.deepcopy(nodes_of(module)[0].graph)
    by_name = {node.name: node for node in graph.nodes}
    place = {name: i for i, name in enumerate(by_name)}
    for block in sorted(blocks, key=lambda block: place[block.addition]):
        addition = by_name[block.addition]
        addition.replace_all_uses_with(by_name[block.shortcut])
        by_name[block.addition] = by_name[block.shortcut]  # the next may stand right on it
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
    graph.lint()
    program = fx.GraphModule(module, graph)
    program.eval()
    return program


def layers_behind(module: nn.Module, blocks: Iterable[Block]) -> list[str]:
    """Return the layers with weights that what blocks add to the stream reaches."""
    additions = {block.addition for block in blocks}
    reached: set[fx.Node] = set()
    found = []
    for node in nodes_of(module):
        if node.name in additions or any(n in reached for n in node.all_input_nodes):
            reached.add(node)
            if kind_of(node) in COMPUTE:
                found.append(str(node.target))
    return list(dict.fromkeys(found))


def influence_of(
    module: nn.Module,
    blocks: Sequence[Block],
    x: Tensor,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Return how far each block turns its stream: one less the cosine, mean over samples.

    Args:
        module: In evaluation mode.
        blocks: Of :func:`find_blocks`.
        x: Normalised inputs ``(N, ...)``.
        check: Called between batches; raises to stop.

    Returns:
        0 where nothing is changed, 1 where nothing of the direction is left, by name of the block.

    References:
        Men et al., ShortGPT: Layers in Large Language Models are More Redundant Than You Expect,
        2024, arXiv:2403.03853
    """
    names = {name for block in blocks for name in (block.addition, block.shortcut)}
    total = dict.fromkeys((block.name for block in blocks), 0.0)
    seen = _Watching(as_program(module), names)
    for batch in x.split(128):
        check()
        with torch.no_grad():
            seen.run(batch)
            for block in blocks:
                before, behind = (
                    seen.values[n].flatten(1) for n in (block.shortcut, block.addition)
                )
                cosine = nn.functional.cosine_similarity(before, behind)
                still = (before == behind).all(1)  # a stream of zeros has no direction
                total[block.name] += float((1 - cosine).masked_fill(still, 0).sum())
    return {name: value / len(x) for name, value in total.items()}


def output_errors(
    module: nn.Module,
    blocks: Sequence[Block],
    gone: Collection[str],
    x: Tensor,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Return how far outputs are from the module's own without each block, by name of the block.

    Args:
        module: In evaluation mode.
        blocks: Of :func:`find_blocks`.
        gone: Names of the blocks that are left out in any case; no errors are given for them.
        x: Normalised inputs ``(N, ...)``.
        check: Called between batches; raises to stop.

    Returns:
        Mean squared error over the mean square of the outputs; 0 where nothing is lost.
    """
    left = [block for block in blocks if block.name not in gone]
    always = [block for block in blocks if block.name in gone]
    programs = {block.name: without_blocks(module, [*always, block]) for block in left}
    errors, power = dict.fromkeys(programs, 0.0), 0.0
    for batch in x.split(128):
        with torch.no_grad():
            wanted = _joined(module(batch))
            power += float(wanted.square().sum())
            for name, program in programs.items():
                check()
                errors[name] += float((_joined(program(batch)) - wanted).square().sum())
    return {name: error / max(power, 1e-30) for name, error in errors.items()}


def _joined(outputs: Any) -> Tensor:
    """Return all outputs ``(N, numbers)`` of a module that may have several."""
    several = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return torch.cat([output.flatten(1).float() for output in several], 1)


class _Watching(fx.Interpreter):
    """Keeps the results of some nodes."""

    def __init__(self, program: fx.GraphModule, names: set[str]) -> None:
        super().__init__(program)
        self.values: dict[str, Tensor] = {}
        self._names = names

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self._names:
            self.values[n.name] = result
        return result
