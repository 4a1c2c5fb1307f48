"""The graph a model is deployed as, whichever lane it is in."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from torch import fx

from optim.graph.dataflow import Dataflow, dataflow
from optim.models.bundle import GraphModel, ModelBundle
from optim.runtime.emit import INPUT, emit_onnx, kernel_owners
from optim.runtime.emit_graph import graph_bytes, graph_kernel_owners

__all__ = ["deployed_dataflow", "deployed_graph", "deployed_owners", "deployed_sizes"]


def deployed_graph(
    bundle: ModelBundle,
    metadata: Mapping[str, str] | None = None,
    traced: fx.GraphModule | None = None,
) -> onnx.ModelProto:
    """Return the ONNX graph of a model, quantized where its table says so.

    Args:
        bundle: Torch model or graph.
        metadata: Properties of the file; a graph keeps its own beside them.
        traced: What ``bundle.deployable()`` gave, where that is known.

    Raises:
        UnsupportedLayerError: If an operation has no ONNX form here.
    """
    content = bundle.content
    if not isinstance(content, GraphModel):
        traced = bundle.deployable() if traced is None else traced
        return emit_onnx(traced, bundle.table, bundle.spec.shape, metadata or {})
    model = onnx.load_from_string(graph_bytes(content.onnx, bundle.table, bundle.interface))
    if metadata:
        others = {p.key: p.value for p in model.metadata_props}
        onnx.helper.set_model_props(model, {**others, **metadata})
    return model


def deployed_dataflow(bundle: ModelBundle) -> Dataflow:
    """Return the kernels of a deployed model and the values between them, for one inference.

    Raises:
        UnsupportedModelError: If the size of a value is not known before it is computed.
    """
    return dataflow(deployed_graph(bundle), deployed_sizes(bundle))


def deployed_sizes(bundle: ModelBundle) -> dict[str, tuple[int, ...]]:
    """Return ``{input: shape}`` of one inference with as few samples as it takes."""
    shape = bundle.spec.shape
    return bundle.interface.sizes(shape) if bundle.interface else {INPUT: (1, *shape)}


def deployed_owners(bundle: ModelBundle) -> dict[str, str]:
    """Return ``{name a runtime may give to a kernel: layer}`` of a deployed model."""
    if isinstance(bundle.content, GraphModel):
        return graph_kernel_owners(bundle.graph())
    return kernel_owners(bundle.deployable())
