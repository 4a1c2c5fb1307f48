"""What an ONNX file is: where it comes from, what it takes and gives, what is unusual about it.

Plain data, kept with the model: they are still known once the file has become a module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Self

import onnx

from optim.graph.skeleton import STANDARD, opset_of
from optim.models.convert.kinds import (
    CONTROL_FLOW,
    DATA_DEPENDENT,
    INTEGER_KERNELS,
    QUANTIZERS,
    RECURRENT,
)
from optim.models.convert.reader import OLDEST_OPSET
from optim.models.probing import Probed
from optim.models.run_plans import GraphInput

__all__ = ["SAMPLES_ROLE", "FileFacts", "TensorFacts", "file_facts"]

SAMPLES_ROLE = "samples"
"""Role of the input that samples feed."""

_LARGE_BYTES = 100_000_000
_NAMED = 4
_KINDS = {
    "it decides at run time what is computed, which MACs leave out": CONTROL_FLOW,
    "it has recurrent layers": RECURRENT,
    "it stores integers": (*QUANTIZERS, *INTEGER_KERNELS),
    "the size of a result depends on its values": DATA_DEPENDENT,
    "it draws random numbers": (
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
    ),
}
"""What is remarkable about a graph that has one of these operators."""
_TYPES = {
    onnx.TensorProto.FLOAT16: "16-bit floats",
    onnx.TensorProto.BFLOAT16: "16-bit brain floats",
    onnx.TensorProto.DOUBLE: "64-bit floats",
    onnx.TensorProto.INT8: "8-bit integers",
    onnx.TensorProto.UINT8: "8-bit integers",
    onnx.TensorProto.INT4: "4-bit integers",
    onnx.TensorProto.UINT4: "4-bit integers",
}


@dataclass(frozen=True)
class TensorFacts:
    """An input or output.

    Attributes:
        name: Its name.
        dtype: Type of its numbers, as NumPy calls it.
        declared: Its sizes as the file declares them; names and ``?`` where they are free.
        used: The sizes it was run with.
        role: What it is given, or what is done with it.
    """

    name: str
    dtype: str
    declared: tuple[str, ...]
    used: tuple[int, ...]
    role: str

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "declared": list(self.declared), "used": list(self.used)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            name=str(data["name"]),
            dtype=str(data["dtype"]),
            declared=tuple(map(str, data["declared"])),
            used=tuple(map(int, data["used"])),
            role=str(data["role"]),
        )


@dataclass(frozen=True)
class FileFacts:
    """What an ONNX file says about itself.

    Attributes:
        opset: Version of the standard operators.
        producer: Program that wrote it, with version; empty if it does not say.
        nodes: How many operators it has, by name, the most frequent first.
        inputs: What it takes.
        outputs: What is read of it.
        task: Why its outputs were taken for what they are.
        unusual: What a reader should know, a clause each.
    """

    opset: int
    producer: str
    nodes: Mapping[str, int]
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    task: str
    unusual: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "opset": self.opset,
            "producer": self.producer,
            "nodes": dict(self.nodes),
            "inputs": [tensor.to_json() for tensor in self.inputs],
            "outputs": [tensor.to_json() for tensor in self.outputs],
            "task": self.task,
            "unusual": list(self.unusual),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            opset=int(data["opset"]),
            producer=str(data["producer"]),
            nodes={str(name): int(count) for name, count in data["nodes"].items()},
            inputs=tuple(map(TensorFacts.from_json, data["inputs"])),
            outputs=tuple(map(TensorFacts.from_json, data["outputs"])),
            task=str(data["task"]),
            unusual=tuple(map(str, data["unusual"])),
        )


def file_facts(model: onnx.ModelProto, probed: Probed, task: str) -> FileFacts:
    """Return the facts of a file that was run.

    Args:
        model: The file.
        probed: How it is run.
        task: Why its outputs were taken for what they are.
    """
    counts = Counter(node.op_type for node in model.graph.node)
    return FileFacts(
        opset=opset_of(model),
        producer=f"{model.producer_name} {model.producer_version}".strip()[:80],
        nodes=dict(counts.most_common()),
        inputs=tuple(_input(given, probed) for given in probed.inputs),
        outputs=_outputs(model.graph, probed),
        task=task,
        unusual=tuple(_unusual(model, counts)),
    )


def _input(given: GraphInput, probed: Probed) -> TensorFacts:
    interface = probed.interface
    declared = tuple("?" if size is None else str(size) for size in given.sizes)
    used = interface.sizes(probed.shape)[given.name]
    why = {feed.name: feed.why for feed in interface.feeds}
    return TensorFacts(given.name, given.dtype, declared, used, why.get(given.name, SAMPLES_ROLE))


def _outputs(graph: onnx.GraphProto, probed: Probed) -> tuple[TensorFacts, ...]:
    own = {value.name: value.type.tensor_type for value in graph.output}
    found = []
    for name, shape in probed.outputs.items():
        kind = own.get(name)
        sizes = (
            [] if kind is None else [d.dim_param or str(d.dim_value or "?") for d in kind.shape.dim]
        )
        role = "compared" if kind is not None else "compared, a tensor inside the graph"
        found.append(TensorFacts(name, probed.dtypes[name], tuple(sizes), shape, role))
    read = set(probed.outputs)
    found += [TensorFacts(name, "", (), (), "not read") for name in own if name not in read]
    return tuple(found)


def _unusual(model: onnx.ModelProto, counts: Mapping[str, int]) -> Iterator[str]:
    graph = model.graph
    if opset_of(model) < OLDEST_OPSET:
        yield f"it is written in opset {opset_of(model)}, older than {OLDEST_OPSET}"
    foreign = sorted({n.domain for n in graph.node if n.domain not in STANDARD})
    for domain in foreign[:_NAMED]:
        names = sorted({node.op_type for node in graph.node if node.domain == domain})
        yield f"it uses operators of {domain!r}: {_listed(names)}"
    for what, operators in _KINDS.items():
        if names := [name for name in operators if name in counts]:
            yield f"{what}: {_listed([f'{counts[name]} {name}' for name in names])}"
    yield from _weights(graph)
    if model.functions:
        yield f"it has {len(model.functions)} functions of its own"


def _weights(graph: onnx.GraphProto) -> Iterator[str]:
    kinds = Counter[str]()
    for tensor in graph.initializer:
        if len(tensor.dims) > 1 and tensor.data_type in _TYPES:
            kinds[_TYPES[tensor.data_type]] += prod(tensor.dims)
    for kind, numbers in kinds.items():
        yield f"{numbers:,} of its weights are {kind}"
    for tensor in graph.initializer:
        if len(tensor.raw_data) >= _LARGE_BYTES:
            yield f"{tensor.name!r} alone takes {len(tensor.raw_data) / 1e6:.0f} MB"
    read = set(_read_names(graph)) | {value.name for value in graph.output}
    dead = [tensor for tensor in graph.initializer if tensor.name not in read]
    if dead:
        size = sum(len(tensor.raw_data) or 4 * prod(tensor.dims) for tensor in dead)
        yield f"nothing reads {len(dead)} of its constants, {size:,} bytes"


def _read_names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield every name that a node reads, in the bodies of branches and loops as well."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from _read_names(body)
                yield from (value.name for value in body.output)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
