"""Open an ONNX file to measure and verify it as it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import onnx

from optim.data.task import Classification
from optim.errors import UnsupportedModelError
from optim.models.bundle import GraphModel, ModelBundle, Provenance
from optim.models.input_spec import InputSpec

__all__ = ["METADATA_KEY", "open_onnx"]

METADATA_KEY = "optim"
"""Property of our own files that holds input, classes and recipe as JSON."""

_MAX_BYTES = 2**31 - 1


def open_onnx(path: Path) -> ModelBundle:
    """Return an ONNX file as a bundle of the graph lane.

    Input normalisation and class names are read from the properties of files this program wrote;
    other files are taken to want values in 0..1.

    Raises:
        UnsupportedModelError: If it is not a single-file ONNX classifier with one input.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise UnsupportedModelError(f"{path.name!r} is larger than 2 GB.")
    data = path.read_bytes()
    try:
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
    except Exception as error:
        # onnx and protobuf raise classes of their own for every kind of damage.
        raise UnsupportedModelError(f"{path.name!r} is not a valid ONNX file.") from error
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        raise UnsupportedModelError(
            f"{path.name!r} keeps its weights in other files.", hint="Save it as a single file."
        )
    known = _properties(model, path)
    n_outputs = _n_outputs(model, path.name)
    names = known.names or tuple(map(str, range(n_outputs)))
    if len(names) != n_outputs:
        raise UnsupportedModelError(
            f"{path.name!r} names {len(names)} classes and has {n_outputs} outputs.",
            hint="Export it again.",
        )
    return ModelBundle(
        name=path.stem,
        content=GraphModel(data),
        spec=known.spec or _input_spec(model, path),
        task=Classification(names),
        provenance=Provenance(path.name, known.seen),
    )


@dataclass(frozen=True)
class _Properties:
    """What a file says about itself, as far as it says it."""

    spec: InputSpec | None
    names: tuple[str, ...]
    seen: tuple[str, ...] | None


def _properties(model: onnx.ModelProto, path: Path) -> _Properties:
    text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), "{}")
    try:
        known = json.loads(text)
        if not isinstance(known, dict):
            raise TypeError(f"it is a {type(known).__name__}")
        seen = known.get("seen")
        return _Properties(
            spec=InputSpec.from_json(known["spec"]) if "spec" in known else None,
            names=tuple(str(name) for name in known.get("class_names", ())),
            seen=None if seen is None else tuple(str(part) for part in seen),
        )
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UnsupportedModelError(
            f"The property {METADATA_KEY!r} of {path.name!r} makes no sense: {error}.",
            hint="Export the file again, or remove the property.",
        ) from error


def _input_spec(model: onnx.ModelProto, path: Path) -> InputSpec:
    weights = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    if len(inputs) != 1:
        raise UnsupportedModelError(f"{path.name!r} has {len(inputs)} inputs; one is needed.")
    shape = tuple(d.dim_value for d in inputs[0].type.tensor_type.shape.dim)[1:]
    if not shape or any(size <= 0 for size in shape):
        raise UnsupportedModelError(
            f"{path.name!r} does not say the size of its input: got {shape}.",
            hint="Export it with fixed sizes; only the batch may be dynamic.",
        )
    return InputSpec(shape, scale=255.0 if len(shape) == 3 else 1.0)


def _n_outputs(model: onnx.ModelProto, name: str) -> int:
    dims = model.graph.output[0].type.tensor_type.shape.dim if model.graph.output else []
    if len(dims) != 2 or dims[1].dim_value <= 1:
        raise UnsupportedModelError(
            f"{name!r} does not end in one number a class; only classifiers can be measured."
        )
    return int(dims[1].dim_value)
