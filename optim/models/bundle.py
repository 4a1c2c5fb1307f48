"""A model with everything that belongs to it: content, input, task, origin, compression table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Self

from onnx import ModelProto, load_from_string
from torch import Tensor, fx, nn

from optim.data.task import ModelTask, task_to_json
from optim.errors import UnsupportedModelError
from optim.graph.layers import read_weights
from optim.hashing import digest, digest_arrays, digest_bytes
from optim.layers.quantized_graph import deployable_graph, simulated_graph
from optim.layers.table import CompressionTable
from optim.models.architecture import Architecture
from optim.models.convert.program import describe
from optim.models.file_facts import FileFacts
from optim.models.input_spec import InputSpec
from optim.models.interface import Interface

__all__ = ["GraphModel", "ModelBundle", "Provenance", "TorchModel", "named_tensors"]


@dataclass(frozen=True, eq=False)
class TorchModel:
    """A module that can be pruned, quantized and trained.

    Attributes:
        module: Plain layers with float parameters, in evaluation mode. Never changed in place by
            anyone who did not make it.
        architecture: The configuration it was built from; its layers may have fewer channels now.
            None for what was converted from an ONNX file: its graph module says all there is.
    """

    module: nn.Module
    architecture: Architecture | None = None


@dataclass(frozen=True, eq=False)
class GraphModel:
    """An ONNX graph that stays one: its weights can be changed, its layers cannot be trained.

    Attributes:
        onnx: The file's bytes.
        interface: How it is run; None for one float32 input whose first output is read.
        is_folded: Whether it is as :func:`optim.graph.fold.fold` leaves it.
    """

    onnx: bytes = field(repr=False)
    interface: Interface | None = None
    is_folded: bool = False

    @cached_property
    def hash(self) -> str:
        """Content hash."""
        return digest_bytes(self.onnx)

    def read(self) -> ModelProto:
        """Return the model that the bytes hold, a new one for each caller."""
        return load_from_string(self.onnx)


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from.

    Attributes:
        source: How it was asked for, without any path of this machine.
        seen: Part hashes of the samples it was trained on (see ``optim.data.splits.part_hash``);
            ``None`` if unknown.
        note: A sentence for the reader.
        file: What the ONNX file says that it came from.
    """

    source: str
    seen: tuple[str, ...] | None = None
    note: str = ""
    file: FileFacts | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class ModelBundle:
    """A model and all that travels with it. Steps take one and return another.

    Attributes:
        name: Short name for a reader.
        content: :class:`TorchModel` or :class:`GraphModel`.
        spec: Shape and normalisation of its input.
        task: What it predicts.
        provenance: Where it comes from.
        table: What compression knows beside the weights.
    """

    name: str
    content: TorchModel | GraphModel
    spec: InputSpec
    task: ModelTask
    provenance: Provenance
    table: CompressionTable = field(default_factory=CompressionTable)

    @property
    def module(self) -> nn.Module:
        """The module of a torch model.

        Raises:
            UnsupportedModelError: If the content is an ONNX graph.
        """
        if isinstance(self.content, TorchModel):
            return self.content.module
        raise UnsupportedModelError(
            f"{self.name} is an ONNX graph, and this needs layers that torch can train. "
            f"{self.provenance.note}".strip(),
            hint="Its weights can be pruned and quantized. For more, open them in an architecture.",
        )

    @property
    def interface(self) -> Interface | None:
        """How its file is run, see :class:`GraphModel`."""
        return self.content.interface if isinstance(self.content, GraphModel) else None

    @cached_property
    def hash(self) -> str:
        """Content hash: weights, table, input and task decide it; names and origin do not."""
        return digest(
            self._content_hash(),
            digest_arrays({k: t.numpy() for k, t in self.table.tensors().items()}),
            {name: repr(edge) for name, edge in self.table.edges.items()},
            {name: repr(entry.grid) for name, entry in self.table.weights.items()},
            self.spec.to_json(),
            self.task.class_names or task_to_json(self.task),
        )

    def _content_hash(self) -> str:
        if isinstance(self.content, GraphModel):
            return self.content.hash
        module = self.content.module
        tensors = named_tensors(module)
        values = digest_arrays({k: t.cpu().numpy() for k, t in tensors.items() if not t.is_meta})
        if sizes := {name: list(t.shape) for name, t in tensors.items() if t.is_meta}:
            values = digest(values, sizes)
        if isinstance(module, fx.GraphModule):
            return digest(describe(module), values)
        return digest([(name, type(m).__name__) for name, m in module.named_modules()], values)

    @property
    def lane(self) -> Literal["torch", "graph"]:
        """What kind of content it is: decides which techniques can change it."""
        return "torch" if isinstance(self.content, TorchModel) else "graph"

    @property
    def sparsity(self) -> float:
        """Share of zeros in the weights, in 0..1."""
        weights: list[Tensor]
        if isinstance(self.content, GraphModel):
            weights = list(read_weights(self.content.read()).values())
        else:
            weights = [p for p in self.module.parameters() if p.ndim > 1]
        total = sum(w.numel() for w in weights)
        return 1 - sum(int(w.count_nonzero()) for w in weights) / total if total else 0.0

    def with_module(self, module: nn.Module, table: CompressionTable | None = None) -> Self:
        """Return a bundle with another module (and table) and everything else the same."""
        assert isinstance(self.content, TorchModel)
        content = replace(self.content, module=module.eval())
        return replace(self, content=content, table=self.table if table is None else table)

    def with_program(self, program: fx.GraphModule) -> Self:
        """Return a bundle with a graph of layers that no architecture describes any more.

        What the table says of layers that are gone is left out.
        """
        paths = {name for name, _ in program.named_modules()}
        masks = {name: mask for name, mask in self.table.masks.items() if name in paths}
        content = TorchModel(program.eval())
        return replace(self, content=content, table=replace(self.table, masks=masks))

    def graph(self) -> ModelProto:
        """Return the graph of an ONNX model, a new one for each caller.

        Raises:
            UnsupportedModelError: If the content is a torch module.
        """
        if isinstance(self.content, GraphModel):
            return self.content.read()
        raise UnsupportedModelError(f"{self.name} is a torch module, and this needs an ONNX graph.")

    def with_graph(self, graph: ModelProto | GraphModel) -> Self:
        """Return a bundle with another ONNX graph and everything else the same."""
        assert isinstance(self.content, GraphModel)
        if isinstance(graph, ModelProto):
            graph = replace(self.content, onnx=graph.SerializeToString())
        return replace(self, content=graph)

    def with_table(self, table: CompressionTable) -> Self:
        """Return a bundle with another compression table."""
        return replace(self, table=table)

    def without_grids(self) -> Self:
        """Return a bundle whose weights and activations may have any value again; masks stay."""
        return self.with_table(replace(self.table, weights={}, edges={}, codebooks={}))

    def having_seen(self, parts: tuple[str, ...]) -> Self:
        """Return a bundle that was also trained on these parts; unknown stays unknown."""
        seen = self.provenance.seen
        known = None if seen is None else tuple(dict.fromkeys((*seen, *parts)))
        return replace(self, provenance=replace(self.provenance, seen=known))

    def simulated(self) -> fx.GraphModule:
        """Return the traced graph that computes, in floating point, what will be deployed."""
        return simulated_graph(self.module, self.table)

    def deployable(self) -> fx.GraphModule:
        """Return the traced graph with float weights and quantizers on its edges, to be emitted."""
        return deployable_graph(self.module, self.table)


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and all buffers by name, also those a state dict leaves out."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in module.named_parameters():
        tensors[name] = parameter.detach()
    for name, buffer in module.named_buffers():
        if not name.endswith("num_batches_tracked"):
            tensors[name] = buffer
    return tensors
