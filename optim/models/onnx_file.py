"""Open an ONNX file: as a module that can be changed where that is possible, or as it is.

There are two lanes. In the *trainable* lane the graph becomes a torch module; it is taken only if
the module computes what ONNX Runtime computes from the file. Everything else stays in the *graph*
lane: it is measured, verified and timed as it is. The bundle's note says which lane it is and why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from optim.codecs.opack import is_packed, unpack
from optim.data.dataset import Dataset
from optim.data.task import Classification, ModelTask, task_from_json
from optim.errors import OptimError, UnsupportedModelError, first_line
from optim.graph.skeleton import opset_of
from optim.graph.whole import external_tensors
from optim.layers.table import CompressionTable
from optim.models.bundle import GraphModel, ModelBundle, Provenance, TorchModel
from optim.models.convert.converter import convert, takes_channels_last
from optim.models.convert.parity import largest_difference, random_inputs, runtime_outputs
from optim.models.convert.reader import MAX_NODES, OLDEST_OPSET
from optim.models.file_facts import file_facts
from optim.models.guessing import guess_task
from optim.models.input_spec import InputSpec
from optim.models.probing import Probed, probe

__all__ = ["METADATA_KEY", "open_onnx"]

METADATA_KEY = "optim"
"""Property of our own files that holds input, classes and recipe as JSON."""

_MAX_BYTES = 2**31 - 1
_MAX_DIFFERENCE = {False: 1e-3, True: 2e-2}
"""Largest difference between module and file, in units of the largest output; 16-bit or not."""
_ROUNDED = 2e-2
"""The same where activations are rounded to grids of 8 bits or more."""
_SAMPLES, _FEWEST, _NUMBERS = 16, 2, 2**20
"""Samples of the data that module and file are compared on; fewer where they hold more numbers."""


def open_onnx(
    path: Path,
    data: Dataset | None = None,
    *,
    as_graph: bool = False,
    task: str = "",
    alone: bool = False,
) -> ModelBundle:
    """Return an ONNX file as a bundle.

    Input normalisation and class names are read from the properties of files this program wrote;
    other files are taken to want images in 0..1. Inputs and sizes that nobody says anything about
    are found by running the file; the note says what was found.

    Args:
        path: The file, packed or not; its weights may lie in further files of the same folder.
        data: What the model shall take: resolves sizes that the file leaves free, and gives samples
            on which a converted module is compared with the file.
        as_graph: Whether it stays as it is even if it could be converted.
        task: What its outputs mean, one of :data:`~optim.models.guessing.TASKS`; guessed if empty.
        alone: Whether nothing beside the file may be read: what lies there is not its owner's.

    Raises:
        UnsupportedModelError: If ONNX Runtime cannot run it, or its outputs cannot mean what was
            asked for.
        DataError: If a packed file is damaged.
    """
    try:
        return _opened(path, data, as_graph=as_graph, task=task, alone=alone)
    except UnicodeDecodeError as error:
        raise UnsupportedModelError(
            f"{path.name!r} holds names that are not UTF-8.", hint="Export it again."
        ) from error


def _opened(
    path: Path, data: Dataset | None, *, as_graph: bool, task: str, alone: bool
) -> ModelBundle:
    model = _read(path, alone=alone)
    known = _properties(model, path)
    spec = _checked_input(known.spec, model, path)
    file = model.SerializeToString()
    wanted = spec.shape if spec else data.input_shape if data is not None else None
    try:
        probed = probe(model, file, wanted)
        spec = spec or InputSpec(probed.shape, scale=_scale(probed))
        meaning, why = guess_task(model, probed, data, known.names, task)
    except OptimError as error:
        opset = opset_of(model)
        to = f"to {OLDEST_OPSET} or newer"
        old = f"It is written in opset {opset}; convert it with onnx.version_converter, {to}."
        hint = error.hint or (old if opset < OLDEST_OPSET else "")
        raise UnsupportedModelError(f"{path.name!r}: {error.message}", hint=hint) from error
    if known.task and not task:
        meaning, why = known.task, "The file says what its outputs mean."
    notes = probed.notes if isinstance(meaning, Classification) else (why, *probed.notes)
    bundle = ModelBundle(
        name=path.stem,
        content=GraphModel(file, probed.interface),
        spec=spec,
        task=meaning,
        provenance=Provenance(
            path.name, known.seen, " ".join(notes), file_facts(model, probed, why)
        ),
    )
    return bundle if as_graph else _converted(bundle, model, probed, data)


def _scale(probed: Probed) -> float:
    is_image = len(probed.shape) == 3 and np.dtype(probed.interface.dtype).kind == "f"
    return 255.0 if is_image else 1.0


def _converted(
    bundle: ModelBundle, model: onnx.ModelProto, probed: Probed, data: Dataset | None
) -> ModelBundle:
    """Return the bundle in the trainable lane, or as it is with the reason why it stays there."""
    assert isinstance(bundle.content, GraphModel)
    last = probed.interface.channels_last
    if reason := _no_module(model, probed):
        return _noted(bundle, bundle.content, f"Kept as an ONNX graph: {reason}.")
    inputs, about = _inputs(bundle.spec, data)
    given = inputs.permute(0, 2, 3, 1).contiguous() if last else inputs
    expected = runtime_outputs(bundle.content.onnx, given)
    is_flat = isinstance(bundle.task, Classification) and expected.ndim > 2
    if is_flat:
        expected = expected.reshape(len(expected), -1)
    shape = bundle.spec.shape
    try:
        sizes = {probed.interface.name: (*shape[1:], shape[0]) if last else shape}
        converted = convert(model, sizes, channels_first=last, flat=is_flat)
    except UnsupportedModelError as error:
        return _noted(bundle, bundle.content, f"Kept as an ONNX graph: {error.message}")
    module, table = converted.module, converted.table
    changed = replace(bundle, content=TorchModel(module), table=table)
    difference = largest_difference(changed.simulated(), inputs, expected)
    if table.is_quantized:
        # Integer kernels round otherwise than the operators they stand for: both are asked.
        defined = runtime_outputs(bundle.content.onnx, given, optimised=False)
        defined = defined.reshape(expected.shape)
        difference = max(difference, largest_difference(changed.simulated(), inputs, defined))
    is_half = any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer)
    said = f"outputs differ from ONNX Runtime's by at most {difference:.1e} of the largest, {about}"
    if not difference <= max(_MAX_DIFFERENCE[is_half], _rounding(table)):
        return _noted(bundle, bundle.content, f"Kept as an ONNX graph: as a module, its {said}.")
    note = f"Converted from ONNX ({_origin(model)}): its {said}."
    if last:
        note += " It takes channels first; the file took them last."
    if table.is_quantized:
        note += (
            f" It came quantized: {_counted(len(table.weights), 'weight')} and "
            f"{_counted(len(table.edges), 'activation')} keep their grids."
        )
    return _noted(changed, changed.content, note)


def _rounding(table: CompressionTable) -> float:
    """Return what values between two steps of a grid may make of outputs; 0 without grids.

    The last digit of a float decides to which side they are rounded: so much as two steps of the
    coarsest grid of an activation, and not less than 2 %.
    """
    levels = [edge.grid.levels for edge in table.edges.values()]
    return max(_ROUNDED, 2 / (min(levels) - 1)) if levels else 0.0


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _no_module(model: onnx.ModelProto, probed: Probed) -> str:
    """Say why a graph cannot become a module whatever it computes; empty if it may."""
    interface = probed.interface
    if interface.feeds:
        return f"it has {1 + len(interface.feeds)} inputs, and a module takes one"
    if len(model.graph.output) != 1:
        return f"it has {len(model.graph.output)} outputs, and a module gives one"
    if np.dtype(interface.dtype).kind != "f":
        return "its input takes whole numbers, and a module takes fractions"
    if not interface.has_samples_axis or (
        interface.channels_last and not takes_channels_last(model)
    ):
        return "the axes of its input lie otherwise than those of a module's"
    return ""


def _noted(bundle: ModelBundle, content: GraphModel | TorchModel, note: str) -> ModelBundle:
    note = f"{note} {bundle.provenance.note}".strip()
    return replace(bundle, content=content, provenance=replace(bundle.provenance, note=note))


def _origin(model: onnx.ModelProto) -> str:
    opset = opset_of(model)
    maker = f"{model.producer_name} {model.producer_version}".strip()[:40]
    return f"opset {opset}, {maker}" if maker else f"opset {opset}"


def _inputs(spec: InputSpec, data: Dataset | None) -> tuple[Tensor, str]:
    """Return what module and file are compared on, and what that is in words."""
    drawn = random_inputs(spec.shape)
    if data is None or data.input_shape != spec.shape:
        return drawn, f"on {len(drawn)} random inputs"
    part = next((p for p in ("validation", "train", "all") if p in data.parts), None)
    if part is None:
        return drawn, f"on {len(drawn)} random inputs"
    count = min(_SAMPLES, max(_FEWEST, _NUMBERS // prod(spec.shape) - len(drawn)))
    samples = data.part(part).inputs[:count]
    inputs = torch.cat([drawn, spec.normalise(samples)])
    return inputs, f"on {len(drawn)} random inputs and {len(samples)} samples"


# --- the file -----------------------------------------------------------------------------------


def _read(path: Path, *, alone: bool) -> onnx.ModelProto:
    """Return a checked model that holds its weights itself."""
    if path.stat().st_size > _MAX_BYTES:
        raise UnsupportedModelError(f"{path.name!r} is larger than 2 GB.")
    content = path.read_bytes()
    if is_packed(content):
        content = unpack(content)
    try:
        model = onnx.load_from_string(content)
    except Exception as error:
        # protobuf raises classes of its own for every kind of damage.
        raise UnsupportedModelError(f"{path.name!r} is not a valid ONNX file.") from error
    if len(model.graph.node) > MAX_NODES:
        raise UnsupportedModelError(
            f"{path.name!r} has {len(model.graph.node):,} nodes; at most {MAX_NODES:,} are read."
        )
    model.DiscardUnknownFields()  # another reader might know them
    _load_external(model, path, alone=alone)
    _declare_free_constants(model)
    shapeless = [
        value.type.tensor_type
        for value in model.graph.output
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")
    ]
    for kind in shapeless:  # the checker wants a shape of every output, runtimes do not
        kind.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        # onnx raises classes of its own that share no base but Exception.
        raise UnsupportedModelError(
            f"{path.name!r} is not a valid ONNX file: {first_line(error, 160)}."
        ) from error
    for kind in shapeless:
        kind.ClearField("shape")
    if any(t.data_type == onnx.TensorProto.STRING for t in model.graph.initializer):
        raise UnsupportedModelError(f"{path.name!r} holds text; only numbers are read.")
    return model


def _declare_free_constants(model: onnx.ModelProto) -> None:
    """Let old files have constants that are no inputs: runtimes take them, the checker does not."""
    inputs = {value.name for value in model.graph.input}
    if any(tensor.name not in inputs for tensor in model.graph.initializer):
        model.ir_version = max(model.ir_version, _FREE_CONSTANTS)


_FREE_CONSTANTS = 4
"""Oldest version of the format in which constants need not be inputs."""


def _load_external(model: onnx.ModelProto, path: Path, *, alone: bool) -> None:
    """Read weights that lie in other files of the same folder; nothing outside it is touched."""
    own = path.resolve()
    folder, total = own.parent, 0
    for tensor in external_tensors(model):
        if alone:
            raise UnsupportedModelError(
                f"{path.name!r} keeps its weights in other files, and only this one is read.",
                hint="Save it as a single file.",
            )
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = folder / location
        if not location or not _lies_in(folder, file) or file.resolve() == own:
            raise UnsupportedModelError(
                f"{path.name!r} keeps its weights in other files, and {Path(location).name!r} does "
                "not lie beside it.",
                hint="Save it as a single file.",
            )
        size = file.stat().st_size
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", size - offset))
        except ValueError:
            offset, length = -1, 0
        total += length
        if offset < 0 or length < 0 or offset + length > size or total > _MAX_BYTES:
            raise UnsupportedModelError(
                f"{path.name!r} asks for more weights than {file.name!r} holds, or than 2 GB."
            )
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _lies_in(folder: Path, file: Path) -> bool:
    """Whether there is such a file, and no link leads out of the folder on the way to it."""
    try:
        return file.is_file() and not file.is_symlink() and file.resolve().is_relative_to(folder)
    except (OSError, ValueError):  # a name that no file can have
        return False


def _graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {t.name for t in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in weights]


@dataclass(frozen=True)
class _Properties:
    """What a file says about itself, as far as it says it."""

    spec: InputSpec | None
    names: tuple[str, ...]
    seen: tuple[str, ...] | None
    task: ModelTask | None


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
            task=task_from_json(known["task"]) if "task" in known else None,
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UnsupportedModelError(
            f"The property {METADATA_KEY!r} of {path.name!r} makes no sense: {error}.",
            hint="Export the file again, or remove the property.",
        ) from error


def _checked_input(known: InputSpec | None, model: onnx.ModelProto, path: Path) -> InputSpec | None:
    """Return what the properties say of the input; refused where the graph says otherwise."""
    if known is None:
        return None
    sizes = [
        [d.dim_value for d in given.type.tensor_type.shape.dim][1:]
        for given in _graph_inputs(model)
    ]
    if (
        len(sizes) != 1
        or len(sizes[0]) != len(known.shape)
        or any(size not in (0, wanted) for size, wanted in zip(sizes[0], known.shape, strict=True))
    ):
        raise UnsupportedModelError(
            f"The property {METADATA_KEY!r} of {path.name!r} says that samples have the shape "
            f"{known.shape}, and the graph takes others.",
            hint="Export the file again, or remove the property.",
        )
    return known
