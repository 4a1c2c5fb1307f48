"""The model card: what is known about a model before anything is done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from optim.data.task import ModelTask, Outputs, task_to_json
from optim.measure.graph_costs import graph_costs
from optim.measure.macs import layer_costs
from optim.models.bundle import ModelBundle, TorchModel
from optim.models.file_facts import FileFacts, TensorFacts
from optim.models.input_spec import InputSpec
from optim.quantity import Quantity

__all__ = ["ModelFacts", "facts"]


@dataclass(frozen=True)
class ModelFacts:
    """What a model is.

    Attributes:
        name: For a reader.
        task: What its outputs mean.
        spec: Shape and normalisation of its input.
        lane: ``"trainable"`` if it is a module that everything can be done with, ``"graph"`` if it
            stays an ONNX file.
        note: Why it is in that lane, and what was guessed when it was opened.
        params: Number of parameters.
        macs: Multiply-accumulates for one sample.
        file: What the ONNX file says that it came from; None if it came from elsewhere.
    """

    name: str
    task: ModelTask
    spec: InputSpec
    lane: Literal["trainable", "graph"]
    note: str
    params: Quantity
    macs: Quantity
    file: FileFacts | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys; see ``docs/schemas/card-1.json``."""
        return {
            "name": self.name,
            "task": self.task.kind,
            "outputs": task_to_json(self.task),
            "n_classes": self.task.n_classes,
            "input_shape": list(self.spec.shape),
            "input": self.spec.to_json(),
            "params": self.params.shown(),
            "macs": self.macs.shown(),
            "lane": self.lane,
            "note": self.note,
            "file": self.file.to_json() if self.file else None,
        }

    def text(self) -> str:
        """Return the facts for a reader, a line each."""
        rows = [
            ("task", _task_words(self.task)),
            ("input", f"{_sizes(self.spec.shape)}, {_values(self.spec)}"),
            ("parameters", str(self.params)),
            ("MACs", f"{self.macs} for a sample"),
            ("lane", self.lane),
        ]
        if self.file:
            wrote = f" by {self.file.producer}" if self.file.producer else ""
            rows += [("why", self.file.task), ("written", f"in opset {self.file.opset}{wrote}")]
            rows += [("takes", _tensor_words(tensor)) for tensor in self.file.inputs]
            rows += [("gives", _tensor_words(tensor)) for tensor in self.file.outputs]
            rows += [("unusual", what) for what in self.file.unusual]
        rows += [("note", self.note)] if self.note else []
        return "\n".join(f"{name:12} {value}" for name, value in rows)


def facts(bundle: ModelBundle) -> ModelFacts:
    """Return what is known about a model before anything is done with it."""
    content = bundle.content
    if isinstance(content, TorchModel):
        costs = layer_costs(content.module, bundle.spec.shape)
        params = Quantity.exact(sum(p.numel() for p in content.module.parameters()), "params")
        macs = Quantity.exact(sum(cost.macs for cost in costs), "macs")
    else:
        params, macs, _ = graph_costs(content.onnx, content.interface, bundle.spec.shape)
    return ModelFacts(
        name=bundle.name,
        task=bundle.task,
        spec=bundle.spec,
        lane="trainable" if isinstance(content, TorchModel) else "graph",
        note=bundle.provenance.note,
        params=params,
        macs=macs,
        file=bundle.provenance.file,
    )


def _task_words(task: ModelTask) -> str:
    if isinstance(task, Outputs):
        return f"{task.guess} outputs, judged by fidelity to the original"
    if task.class_names:
        return f"{task.kind}, {task.n_classes:,} classes"
    return f"{task.kind}, {task.n_outputs:,} quantities"


def _values(spec: InputSpec) -> str:
    by = f"divided by {spec.scale:g}" if spec.scale != 1 else "taken as they are"
    return f"values {by}{', then normalised by channel' if spec.mean else ''}"


def _tensor_words(tensor: TensorFacts) -> str:
    free = any(not size.isdigit() for size in tensor.declared)
    names = (size if len(size) <= _LONG_NAME else "?" for size in tensor.declared)
    declared = f" (declared {' x '.join(names)})" if free else ""
    sizes = _sizes(tensor.used) if tensor.used else "one number"
    shape = f": {tensor.dtype} {sizes}{declared}" if tensor.dtype else ""
    return f"{tensor.name!r}{shape}, {tensor.role}"


_LONG_NAME = 24
"""Longer names of sizes are formulas of what wrote the file."""


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
