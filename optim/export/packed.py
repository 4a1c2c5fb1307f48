"""The packed file of a model: its ONNX graph with short names, weights coded by what they are."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from optim.codecs.opack import unpack
from optim.export.deploy import properties_of
from optim.graph.packed import pack_onnx
from optim.models.bundle import ModelBundle
from optim.models.interface import Interface
from optim.runtime.deployed import deployed_graph
from optim.runtime.session import InferenceSession

__all__ = ["open_packed", "packed_model", "shorten_names_"]


def packed_model(bundle: ModelBundle) -> bytes:
    """Return a model as a packed file.

    What is inside is the file that is exported as ONNX, without the recipe, and with short names
    for all that is neither an input nor an output.
    """
    model = deployed_graph(bundle, properties_of(bundle))
    kept = bundle.interface.inside if bundle.interface else ()
    shorten_names_(model, frozenset(kept))
    return pack_onnx(model.SerializeToString(deterministic=True))


def open_packed(file: bytes, threads: int, interface: Interface | None = None) -> InferenceSession:
    """Unpack a file and load it in ONNX Runtime."""
    return InferenceSession.open(unpack(file), threads, interface)


def shorten_names_(model: onnx.ModelProto, kept: frozenset[str] = frozenset()) -> None:
    """Give the values of a graph names of a letter or two, and its nodes none, in place.

    A graph with branches or loops is left as it is: their bodies refer to its values by name.

    Args:
        model: What is changed.
        kept: Names that stay, besides those of inputs and outputs.
    """
    graph = model.graph
    if any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute):
        return
    fixed = {"", *kept, *(value.name for value in (*graph.input, *graph.output))}
    fresh = (name for name in _names() if name not in fixed)
    short: dict[str, str] = {name: name for name in fixed}
    for node in graph.node:
        node.ClearField("name")
        node.ClearField("doc_string")
        for field in (node.input, node.output):
            for i, name in enumerate(field):
                if name not in short:
                    short[name] = next(fresh)
                field[i] = short[name]
    for tensor in graph.initializer:
        tensor.name = short.get(tensor.name, tensor.name)
    del graph.value_info[:]


def _names() -> Iterator[str]:
    """Return short names without end."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    yield from letters
    for first in _names():
        yield from (first + letter for letter in letters)
