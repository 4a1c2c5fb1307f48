"""Open a model by name or file."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from optim.data.added import open_registered_data
from optim.data.dataset import Dataset
from optim.data.open import generated_by
from optim.data.task import Classification, Detection
from optim.errors import UnsupportedModelError
from optim.models.architecture import Architecture
from optim.models.bundle import ModelBundle, Provenance, TorchModel
from optim.models.cards import model_cards
from optim.models.checkpoint import load_checkpoint
from optim.models.hub import located
from optim.models.input_spec import InputSpec
from optim.models.onnx_file import open_onnx
from optim.models.programs import is_factory, is_program, open_program
from optim.models.weights import (
    check_weights_fit,
    fit_to_module,
    interface_of,
    matching_architectures,
    read_state_dict,
)
from optim.models.zoo import ZOO

__all__ = ["check_pair", "file_ref", "fresh_model", "open_model", "open_registered_model"]

_BYTES = 255.0
_LOOKED_AT = 4096
"""Training samples that tell mean and deviation, at most."""
_CENTRED = 0.1
"""Channels whose mean is this close to 0, and whose deviation to 1, count as standardised."""


def open_model(
    ref: str,
    *,
    base: Path = Path(),
    data: Dataset | None = None,
    seed: int = 0,
    as_graph: bool = False,
    trust: bool = False,
) -> ModelBundle:
    """Open a model.

    Args:
        ref: The name of a trained model, the name of an architecture of the zoo (fresh weights),
            ``architecture:weights-file``, a checkpoint, an ONNX file, packed or not (with
            ``?task=`` behind it if its outputs mean something else than it seems), a weights file
            that fits one architecture of the zoo, or a program (see ``optim.models.programs``).
            A file may lie on the Hugging Face Hub (see ``optim.models.hub``).
        base: Folder that relative files are looked up in.
        data: Data set the model shall take; gives input size and class names where the model does
            not say them itself.
        seed: Initial weights of a fresh architecture.
        as_graph: Whether an ONNX file stays as it is, to be measured, even if it could be trained.
        trust: Whether a program may be run to open it; refused otherwise.

    Raises:
        UnsupportedModelError: If there is no such model, or it cannot be opened safely.
        AccessError: If it would have to be fetched, and that is not switched on.
        MissingDependencyError: If a program, or fetching, needs a package that is not installed.
    """
    if ref in model_cards():
        return open_registered_model(ref)
    if ref in ZOO:
        return fresh_model(ZOO[ref], data, seed, source=ref)
    architecture, separator, file = ref.partition(":")
    if separator and architecture in ZOO:
        return _from_weights(located(file, base), architecture, data)
    file, _, query = ref.partition("?")
    options = _options(query)
    path = located(file, base)
    if not path.is_file() and is_factory(file):
        return open_program(file, data, trust=trust, as_graph=as_graph, **options)
    if not path.is_file():
        known = [*model_cards(), *ZOO]
        close = difflib.get_close_matches(ref, known, n=3)
        raise UnsupportedModelError(
            f"There is no model or file {ref!r}.",
            hint=f"Did you mean {' or '.join(close)}?" if close else "See: python -m optim models.",
        )
    if is_program(path):
        return open_program(path, data, trust=trust, as_graph=as_graph, **options)
    if path.suffix.lower() in (".onnx", ".opack") and "shape" not in options:
        return open_onnx(path, data, as_graph=as_graph, **options)
    if options:
        raise UnsupportedModelError(
            f"{path.name!r} says its {' and '.join(options)} itself.", hint="Leave that out."
        )
    return _from_weights_file(path, data)


def file_ref(path: Path, architecture: str = "", task: str = "") -> str:
    """Return how :func:`open_model` is asked for a file of an architecture or a task."""
    if architecture:
        return f"{architecture}:{path}"
    return f"{path}?task={task}" if task else str(path)


def _options(query: str) -> dict[str, Any]:
    """Return what stands behind a file's name, as in ``model.onnx?task=regression``."""
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := [name for name in options if name not in ("shape", "task")]:
        raise UnsupportedModelError(
            f"A model has no option {unknown[0]!r}.",
            hint="There are task, what its outputs mean, and shape, the size of a sample.",
        )
    if "shape" in options:
        sides = str(options["shape"]).split("x")
        if not all(side.isdigit() and int(side) for side in sides):
            raise UnsupportedModelError(
                f"shape must be whole numbers, as in 3x224x224: got {options['shape']!r}."
            )
        options["shape"] = InputSpec(tuple(map(int, sides))).shape
    return options


def open_registered_model(name: str) -> ModelBundle:
    """Open a trained model by name, and nothing else: what a link from anybody may ask for.

    Raises:
        UnsupportedModelError: If there is no such model.
    """
    card = model_cards().get(name)
    if card is None:
        raise UnsupportedModelError(
            f"There is no registered model {name!r}.", hint="Choose one from the list."
        )
    if card.is_trainable:
        bundle = load_checkpoint(card.weights)
        provenance = replace(bundle.provenance, source=name)
    else:
        data = None if generated_by(card.data) else open_registered_data(card.data)
        bundle = open_onnx(card.weights, data, as_graph=True, task=card.task, alone=True)
        provenance = replace(bundle.provenance, source=name, note=card.note)
    return replace(bundle, name=card.title, provenance=provenance)


def check_pair(teacher: ModelBundle, student: ModelBundle) -> None:
    """Refuse a teacher whose answers a student cannot take over.

    Raises:
        UnsupportedModelError: If inputs or classes differ, or detectors answer for other places.
    """
    if teacher.spec.shape != student.spec.shape:
        raise UnsupportedModelError(
            f"The teacher {teacher.provenance.source} takes inputs of shape {teacher.spec.shape}, "
            f"and {student.name} takes {student.spec.shape}.",
            hint="Choose a teacher that was trained on the same data.",
        )
    for model in (teacher, student):
        if not isinstance(model.task, Classification | Detection):
            raise UnsupportedModelError(
                f"{model.name} tells no classes, and a student learns how likely its teacher finds "
                "each of them.",
                hint="Distil classifiers or detectors; prune or quantize this model instead.",
            )
    if _answer(teacher) != _answer(student):
        raise UnsupportedModelError(
            f"The teacher {teacher.provenance.source} answers {_answer(teacher)}, and "
            f"{student.name} {_answer(student)}.",
            hint="Choose a teacher that was trained on the same data.",
        )


def _answer(model: ModelBundle) -> str:
    task = model.task
    if isinstance(task, Detection):
        rows, columns = task.raster
        return f"with boxes of {task.n_classes} classes in {rows} x {columns} places"
    return f"with one of {task.n_classes} classes"


def _from_weights_file(path: Path, data: Dataset | None) -> ModelBundle:
    if path.suffix == ".safetensors" and _is_checkpoint(path):
        return load_checkpoint(path)
    matches = matching_architectures(read_state_dict(path), ZOO)
    if len(matches) != 1:
        found = f"{' and '.join(matches)} fit" if matches else "no architecture of the zoo fits"
        raise UnsupportedModelError(
            f"{path.name!r} does not say its architecture, and {found}.",
            hint=f"Name it, as in resnet20:{path.name}.",
        )
    return _from_weights(path, matches[0], data)


def _is_checkpoint(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return "optim" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def fresh_model(
    architecture: Architecture, data: Dataset | None, seed: int = 0, *, source: str = ""
) -> ModelBundle:
    """Return an architecture with fresh weights, for the data it shall learn.

    Args:
        architecture: What is built.
        data: Gives input size and class names; the architecture's own, and ten classes, if None.
            Data without labels give the size only.
        seed: Initial weights.
        source: How it was asked for.

    Raises:
        UnsupportedModelError: If the architecture cannot take such inputs.
    """
    shape = data.input_shape if data else architecture.spec.shape
    # Where nobody says how many classes there are, there are ten.
    names = data.task.class_names if data and data.task.class_names else tuple("0123456789")
    task = architecture.task(shape, names)
    return ModelBundle(
        name=architecture.title,
        content=TorchModel(architecture.build(shape, task.n_outputs, seed).eval(), architecture),
        spec=_fresh_spec(architecture, data) if data else architecture.spec,
        task=task,
        provenance=Provenance(
            source or architecture.title, seen=(), note="Fresh weights; it has not been trained."
        ),
    )


def _fresh_spec(architecture: Architecture, data: Dataset) -> InputSpec:
    """Return how fresh weights take samples: centred, and with a spread of about one.

    Bytes are taken as is usual for the architecture, floats with mean and deviation of the channels
    on training samples. Those that somebody has standardised stay as they are.
    """
    if data.is_generated:  # made for the architecture's own input
        return _for_shape(architecture.spec, data.input_shape)
    part = "train" if "train" in data.parts else next(iter(data.parts))
    inputs = data.part(part).inputs
    if inputs.dtype.kind != "f":
        own = architecture.spec
        centred = own if own.scale == _BYTES else InputSpec(own.shape, (0.5,), (0.25,), _BYTES)
        return _for_shape(centred, data.input_shape)
    some = np.asarray(inputs[:: -(-len(inputs) // _LOOKED_AT)], np.float64)
    others = (0, *range(2, some.ndim))
    mean, std = some.mean(others), some.std(others)
    if (abs(mean) < _CENTRED).all() and (abs(std - 1) < _CENTRED).all():
        return InputSpec(data.input_shape)
    std = np.where(std > np.finfo(np.float32).tiny, std, 1.0)  # a constant is only centred
    return InputSpec(data.input_shape, tuple(mean.tolist()), tuple(std.tolist()))


def _from_weights(path: Path, name: str, data: Dataset | None) -> ModelBundle:
    architecture = ZOO[name]
    state = read_state_dict(path)
    shape, n_outputs = interface_of(state, architecture)
    if data and len(data.input_shape) == len(shape) and data.input_shape[0] == shape[0]:
        shape = data.input_shape
    architecture.check(shape)
    check_weights_fit(state, architecture, shape, n_outputs)
    module = architecture.build(shape, n_outputs)
    fit_to_module(state, module)
    count = n_outputs - architecture.task(shape, ()).n_outputs
    names = (
        data.task.class_names
        if data and data.task.n_classes == count
        else tuple(str(i) for i in range(count))
    )
    return ModelBundle(
        name=f"{architecture.title} · {path.stem}",
        content=TorchModel(module.eval(), architecture),
        spec=_for_shape(architecture.spec, shape),
        task=architecture.task(shape, names),
        provenance=Provenance(f"{name}:{path.name}", seen=None),
    )


def _for_shape(spec: InputSpec, shape: tuple[int, ...]) -> InputSpec:
    """Return an input for another shape; channel-wise means must still fit."""
    if len(spec.mean) in (0, 1) or len(spec.mean) == shape[0]:
        return replace(spec, shape=shape)
    mean, std = sum(spec.mean) / len(spec.mean), sum(spec.std) / len(spec.std)
    return InputSpec(shape, (mean,), (std,), spec.scale)
