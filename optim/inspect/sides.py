"""Two models side by side, so that the values inside of them can be read.

Either lane gives the same: the names of values around each layer, and those values for a batch. A
traced network is run by torch node by node, an ONNX graph by ONNX Runtime with what is wanted as
further outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor, fx

from optim.device import compute_device
from optim.graph.fold import fold, names_read
from optim.graph.layers import GraphLayer, graph_layers
from optim.graph.observe import exposed
from optim.graph.plan import GraphPlan
from optim.graph.skeleton import value_types
from optim.inspect.pair import Pair
from optim.layers.graph import COMPUTE, kind_of, layer_of
from optim.layers.quantized_graph import FakeQuantize, source_of
from optim.layers.table import CompressionTable, QuantizedEdge
from optim.models.bundle import GraphModel, ModelBundle, TorchModel
from optim.runtime.emit_graph import emit_graph
from optim.runtime.session import InferenceSession

__all__ = ["Side", "Sides", "Spots"]

_ACTIVATIONS = frozenset(
    {
        *("relu", "relu6", "gelu", "silu", "hardswish", "hardsigmoid", "leaky_relu", "prelu"),
        *("elu", "celu", "softplus", "softsign", "mish", "sigmoid", "tanh", "batch_norm"),
        *("Relu", "Clip", "Gelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu"),
        *("PRelu", "Elu", "Celu", "Selu", "Softplus", "Softsign", "Mish", "BatchNormalization"),
    }
)
"""What a channel goes through before anybody reads it, in the names of both lanes."""


@dataclass(frozen=True)
class Spots:
    """Where the values of one layer stand in a graph.

    Attributes:
        output: Name of what it gives.
        seen: Name of that behind the activation function.
        given: Name of what it is given, before it is rounded; empty if it cannot be read.
        axis: Dimension of the channels.
        edge: The grid its input is rounded on.
    """

    output: str
    seen: str
    given: str
    axis: int
    edge: QuantizedEdge | None = None

    @property
    def names(self) -> set[str]:
        """All that can be read."""
        return {self.output, self.seen, self.given} - {""}


class Side(Protocol):
    """One graph that runs and shows its values."""

    spots: Mapping[str, Spots]

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Return values by name for one batch."""


@dataclass(frozen=True, eq=False)
class Sides:
    """The graphs that run side by side.

    Attributes:
        original: The model compared with.
        deployed: The result.
        exact: The result before rounding; the original where it is the same, None where nothing is
            rounded.
        batch: Samples one run takes if a file fixes that, else 0.
    """

    original: Side
    deployed: Side
    exact: Side | None
    batch: int

    @classmethod
    def of(cls, pair: Pair) -> Sides:
        """Return the graphs of a pair; what is not rounded runs once."""
        original, deployed = _side(pair.original), _side(pair.result)
        table = pair.result.table
        exact: Side | None = None
        if table.weights or table.edges:
            bare = pair.result.with_table(replace(table, weights={}, edges={}))
            is_original = (
                bare.content is pair.original.content
                and not pair.original.table.is_quantized
                and not bare.table.codebooks
            )
            exact = original if is_original else _side(bare)
        interfaces = (pair.original.interface, pair.result.interface)
        return cls(original, deployed, exact, max((i.batch for i in interfaces if i), default=0))


def _side(bundle: ModelBundle) -> Side:
    if isinstance(bundle.content, TorchModel):
        return _TorchSide(bundle.simulated().to(compute_device()))
    return _GraphSide(bundle.content, bundle.table, bundle.spec.shape)


class _TorchSide(fx.Interpreter):
    """A traced graph, as torch runs it."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        nodes = [node for node in graph.graph.nodes if kind_of(node) in COMPUTE]
        self.spots: Mapping[str, Spots] = {str(n.target): _torch_spots(n) for n in nodes}
        self._wanted = {name for spots in self.spots.values() for name in spots.names}
        self._found: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Return the result of a node, and remember it where it is wanted."""
        value = super().run_node(n)
        if n.name in self._wanted and isinstance(value, Tensor):
            self._found[n.name] = value
        return value

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Return values by name for one batch."""
        self._found = {}
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        self.run(x.to(compute_device()))
        return {name: value.float().cpu() for name, value in self._found.items()}


def _torch_spots(node: fx.Node) -> Spots:
    given, edge = source_of(node.all_input_nodes[0]), None
    if given.op == "call_module" and isinstance(quantizer := layer_of(given), FakeQuantize):
        edge, given = quantizer.edge, given.all_input_nodes[0]
    seen = node
    while len(seen.users) == 1 and kind_of(next(iter(seen.users))) in _ACTIVATIONS:
        seen = next(iter(seen.users))
    axis = 1 if kind_of(node) == "conv" else -1
    return Spots(node.name, seen.name, given.name, axis, edge)


class _GraphSide:
    """An ONNX graph, as ONNX Runtime runs it operator by operator."""

    def __init__(
        self, content: GraphModel, table: CompressionTable, shape: tuple[int, ...]
    ) -> None:
        interface = content.interface
        kept = interface.inside if interface else ()
        model = content.read() if content.is_folded else fold(content.read(), kept)
        types = value_types(model, interface.sizes(shape) if interface else None)
        floats = {name for name, kind in types.items() if kind.kind == TensorProto.FLOAT}
        constants = {tensor.name for tensor in model.graph.initializer}
        self.spots: Mapping[str, Spots] = _graph_spots(model, table, floats - constants)
        self._names = sorted({name for spots in self.spots.values() for name in spots.names})
        run = model
        if table.weights or table.edges:
            # Activation functions that a quantizer takes over stay where somebody looks.
            run = emit_graph(model, table, (*kept, *self._names))
        opened = InferenceSession.open(
            exposed(run, self._names),
            torch.get_num_threads(),
            interface.unread() if interface else None,
            level="off",
        )
        self._session = replace(opened, interface=opened.interface.unread())

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Return values by name for one batch."""
        samples, n = x.numpy(), len(x)
        batch = self._session.batch
        if batch > n:  # the last one is repeated to fill it
            samples = np.concatenate([samples, np.repeat(samples[-1:], batch - n, axis=0)])
        found = self._session.values(samples)
        return {
            name: torch.from_numpy(np.asarray(value[:n] if len(value) == batch else value))
            for name, value in zip(self._names, found, strict=True)
            if np.ndim(value)
        }


def _graph_spots(
    model: onnx.ModelProto, table: CompressionTable, readable: set[str]
) -> dict[str, Spots]:
    plan, read = GraphPlan.of(model), names_read(model.graph)
    readers = {name: node for node in model.graph.node for name in node.input}
    found = {}
    for layer in graph_layers(model):
        output = model.graph.node[layer.node].output[0]
        if layer.kind not in ("conv", "conv_transpose", "linear") or output not in readable:
            continue
        seen = output
        while read[seen] == 1 and seen in readers and readers[seen].op_type in _ACTIVATIONS:
            if readers[seen].output[0] not in readable:
                break
            seen = readers[seen].output[0]
        edge = plan.inputs.get(layer.name, "")
        given = edge or _input_of(model, layer)
        axis = -1 if layer.kind == "linear" else 1
        found[layer.name] = Spots(
            output, seen, given if given in readable else "", axis, table.edges.get(edge)
        )
    return found


def _input_of(model: onnx.ModelProto, layer: GraphLayer) -> str:
    """Return the value that a layer multiplies with its weight."""
    names = list(model.graph.node[layer.node].input[:2])
    return next((name for name in names if name != layer.weight), "")
