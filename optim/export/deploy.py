"""The file a model is deployed as: plain ONNX with input, classes and recipe in its properties."""

from __future__ import annotations

import json
from typing import Any

from torch import fx

from optim.data.task import Classification, ModelTask, task_to_json
from optim.models.bundle import GraphModel, ModelBundle
from optim.models.onnx_file import METADATA_KEY
from optim.runtime.deployed import deployed_graph
from optim.runtime.onnx_graph import slim_

__all__ = ["onnx_bytes", "properties_of"]


def onnx_bytes(
    bundle: ModelBundle, recipe: str = "", *, traced: fx.GraphModule | None = None
) -> bytes:
    """Return a model as the bytes of an ONNX file; an unchanged one is returned as it is.

    Args:
        bundle: What to write; quantized where its table says so.
        recipe: The recipe's link text, stored in the file.
        traced: What ``bundle.deployable()`` gave, where that is known.

    Raises:
        UnsupportedLayerError: If an operation has no ONNX form here.
    """
    content = bundle.content
    if isinstance(content, GraphModel) and not (recipe or bundle.table.is_quantized):
        return content.onnx
    model = deployed_graph(bundle, properties_of(bundle, recipe), traced)
    if not isinstance(content, GraphModel):  # names of a file from outside are its own
        slim_(model)
    return model.SerializeToString()


def properties_of(bundle: ModelBundle, recipe: str = "") -> dict[str, str]:
    """Return the properties of a file: input, what outputs mean, origin and recipe."""
    properties = {
        "spec": bundle.spec.to_json(),
        **_task_properties(bundle.task),
        "seen": bundle.provenance.seen,
        "source": bundle.provenance.source,
        "recipe": recipe,
    }
    return {METADATA_KEY: json.dumps(properties, separators=(",", ":"))}


def _task_properties(task: ModelTask) -> dict[str, Any]:
    if isinstance(task, Classification):
        return {"class_names": list(task.class_names)}
    return {"task": task_to_json(task)}
