"""Run many variants of one model, and compute only what each has changed.

A model with one other layer computes the same as the original up to that layer. So the original
runs once, operation by operation, and wherever a variant begins to differ, the rest of it starts
from what is there. With one changed layer at a time that is half of the work, on average; a variant
that differs from its first operation on, and an ONNX graph, is run as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from optim.device import compute_device
from optim.measure.costs import model_costs, variant_costs
from optim.measure.evaluate import runner_of
from optim.models.bundle import ModelBundle, TorchModel
from optim.models.interface import rows_of

__all__ = ["Variants", "first_difference"]


class Variants:
    """A model and variants of it, ready to run together.

    Args:
        original: The model that the variants were made of.
        variants: Models of the same inputs. Layers they share with the original are kept once.

    Attributes:
        computed: Share of the variants' multiply-accumulates that are computed, in 0..1; 1 where
            nothing could be shared.
    """

    def __init__(self, original: ModelBundle, variants: Sequence[ModelBundle]) -> None:
        self._original = original
        self._variants = list(variants)
        self.computed = 1.0
        self._graph: fx.GraphModule | None = None
        if isinstance(original.content, TorchModel):
            self._prepare()

    def _prepare(self) -> None:
        graph = self._original.simulated().to(compute_device())
        self._graph = graph
        self._graphs = []
        self._starting: dict[int, list[int]] = defaultdict(list)
        own = model_costs(self._original)
        done = total = 0
        for number, variant in enumerate(self._variants):
            other = variant.simulated().to(compute_device())
            start = first_difference(graph, other)
            self._graphs.append(other)
            self._starting[start].append(number)
            behind = {str(node.target) for node in list(other.graph.nodes)[start:]}
            for cost in variant_costs(own, variant):
                total += cost.macs
                done += cost.macs if cost.name in behind else 0
        self.computed = done / total if total else 1.0
        self._last_needed = self._needed()

    def _needed(self) -> dict[str, int]:
        """Return the last position at which somebody asks for the result of a node."""
        assert self._graph is not None
        last: dict[str, int] = {}
        for position, node in enumerate(self._graph.graph.nodes):
            for source in node.all_input_nodes:
                last[source.name] = position
        for start, numbers in self._starting.items():
            for number in numbers:
                for name in _inputs(self._graphs[number], start):
                    last[name] = max(last.get(name, 0), start)
        return last

    def outputs(
        self, x: Tensor, check: Callable[[], None] = lambda: None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the outputs ``(N, numbers)`` of the original and of every variant.

        Args:
            x: ``(N, ...)`` normalised inputs.
            check: Called between variants; raises to stop.
        """
        if self._graph is None:
            found = []
            for bundle in (self._original, *self._variants):
                check()
                found.append(runner_of(bundle)(x))
            return found[0], found[1:]
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return self._run(self._graph, x.to(compute_device()), check)

    def _run(
        self, graph: fx.GraphModule, x: Tensor, check: Callable[[], None]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        found: dict[int, np.ndarray] = {}
        known: dict[str, Any] = {}
        result = None
        interpreter = fx.Interpreter(graph, garbage_collect_values=False)
        for position, node in enumerate(graph.graph.nodes):
            for number in self._starting.get(position, ()):
                check()
                found[number] = _rows(_finish(self._graphs[number], position, known, x))
            value = x if node.op == "placeholder" else interpreter.run_node(node)
            if node.op == "output":
                result = value
            interpreter.env[node] = known[node.name] = value
            for name in [n for n in known if self._last_needed.get(n, -1) <= position]:
                del known[name]
            for source in node.all_input_nodes:
                if source.name not in known:
                    interpreter.env.pop(source, None)
        assert result is not None
        for number in self._starting.get(len(graph.graph.nodes), ()):
            found[number] = _rows(result)  # it differs in nothing
        return _rows(result), [found[number] for number in range(len(self._variants))]


def _finish(graph: fx.GraphModule, start: int, known: dict[str, Any], x: Tensor) -> Any:
    """Run a graph from a position on; what is before is known by name."""
    interpreter = fx.Interpreter(graph, garbage_collect_values=False)
    nodes = list(graph.graph.nodes)
    interpreter.env = {node: known[node.name] for node in nodes[:start] if node.name in known}
    for node in nodes[start:]:
        value = x if node.op == "placeholder" else interpreter.run_node(node)
        if node.op == "output":
            return value
        interpreter.env[node] = value
    raise AssertionError("a traced graph ends in its output")


def _inputs(graph: fx.GraphModule, start: int) -> set[str]:
    """Return what a graph needs of the nodes before a position."""
    nodes = list(graph.graph.nodes)
    before = set(nodes[:start])
    return {
        source.name for node in nodes[start:] for source in node.all_input_nodes if source in before
    }


def first_difference(graph: fx.GraphModule, other: fx.GraphModule) -> int:
    """Return the position from which two graphs differ, in what is called or in its numbers.

    Layers before it are replaced by those of the first graph, which frees the memory of copies.
    """
    pairs = zip(graph.graph.nodes, other.graph.nodes, strict=False)
    for position, (node, twin) in enumerate(pairs):
        if _call_of(node) != _call_of(twin):
            return position
        if node.op == "call_module":
            name = str(node.target)
            layer, copied = graph.get_submodule(name), other.get_submodule(name)
            if not _are_equal(layer, copied):
                return position
            other.set_submodule(name, layer)
        elif node.op == "get_attr" and not _is_same(
            _attribute(graph, str(node.target)), _attribute(other, str(node.target))
        ):
            return position
    return len(graph.graph.nodes)


def _call_of(node: fx.Node) -> tuple[Any, ...]:
    """Return what a node does with which results, as something that can be compared."""
    return node.name, node.op, str(node.target), str(node.args), str(node.kwargs)


def _attribute(graph: fx.GraphModule, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(graph.get_submodule(owner), name)


def _are_equal(layer: nn.Module, other: nn.Module) -> bool:
    if layer is other:
        return True
    if type(layer) is not type(other) or layer.extra_repr() != other.extra_repr():
        return False
    mine, theirs = _tensors(layer), _tensors(other)
    return mine.keys() == theirs.keys() and all(_is_same(mine[n], theirs[n]) for n in mine)


def _tensors(layer: nn.Module) -> dict[str, Any]:
    return {**dict(layer.named_parameters()), **dict(layer.named_buffers())}


def _is_same(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return one is other
    return one is other or (one.shape == other.shape and torch.equal(one, other))


def _rows(value: Tensor) -> np.ndarray:
    return rows_of([value.float().cpu().numpy()])
