"""The packed file of a model: its ONNX graph with short names, weights coded by what they are."""

from __future__ import annotations

from optim.codecs.opack import unpack
from optim.export.deploy import properties_of
from optim.graph.packed import pack_onnx
from optim.models.bundle import ModelBundle
from optim.models.interface import Interface
from optim.runtime.deployed import deployed_graph
from optim.runtime.onnx_graph import shorten_names_
from optim.runtime.session import InferenceSession

__all__ = ["open_packed", "packed_model"]


def packed_model(bundle: ModelBundle) -> bytes:
    """Return a model as a packed file.

    What is inside is the file that is exported as ONNX, without the recipe, and with short names
    for all that is neither an input nor an output.
    """
    model = deployed_graph(bundle, properties_of(bundle))
    kept = bundle.interface.inside if bundle.interface else ()
    shorten_names_(model, kept)
    return pack_onnx(model.SerializeToString(deterministic=True))


def open_packed(file: bytes, threads: int, interface: Interface | None = None) -> InferenceSession:
    """Unpack a file and load it in ONNX Runtime."""
    return InferenceSession.open(unpack(file), threads, interface)
