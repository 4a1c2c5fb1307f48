"""What a model is, before it belongs to any data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optim.errors import OptimError, UnsupportedModelError
from optim.measure.chance import expected_by
from optim.measure.facts import facts
from optim.models.bundle import ModelBundle
from optim.models.file_facts import SAMPLES_ROLE
from optim.models.open import file_ref, open_model, open_registered_model
from optim.models.programs import uploads_are_trusted
from optim.models.weights import differences, nearest_architectures, read_state_dict
from optim.models.zoo import ZOO

__all__ = ["look_at_model"]

_NAMES = 12
"""Most names of a kind that are listed where weights and an architecture differ."""


def look_at_model(model: Path | str, *, architecture: str = "", task: str = "") -> dict[str, Any]:
    """Return what a model is, before it belongs to any data.

    Args:
        model: A file, or the name of a registered model.
        architecture: Name in the zoo; guessed from the shapes if empty.
        task: What the outputs of an ONNX file mean; guessed if empty.

    Returns:
        ``card`` (facts for a reader; None if the weights fit no architecture, or several),
        ``expected`` (what it says about its input) and ``architectures`` (those that the weights
        come closest to, or the one that was named, with what differs).

    Raises:
        UnsupportedModelError: If the file cannot be opened whatever the architecture.
    """
    try:
        bundle = _opened(model, architecture, task)
    except UnsupportedModelError:
        if isinstance(model, str) or model.suffix.lower() == ".onnx":
            raise
        near = _architectures(model, architecture)
        return {"card": None, "expected": None, "architectures": near}
    return {
        "card": facts(bundle).to_json(),
        "expected": replace(expected_by(bundle), shape=_asked_shape(bundle)).to_json(),
        "architectures": [],
    }


def _opened(model: Path | str, architecture: str, task: str) -> ModelBundle:
    if isinstance(model, str):
        return open_registered_model(model)
    return open_model(file_ref(model, architecture, task), trust=uploads_are_trusted())


def _asked_shape(bundle: ModelBundle) -> tuple[int, ...]:
    """Return the shape of a model's samples, 0 where other sizes would do as well."""
    shape = bundle.spec.shape
    if bundle.provenance.file is not None:
        given = next(t for t in bundle.provenance.file.inputs if t.role == SAMPLES_ROLE)
        is_free = any(not size.isdigit() for size in given.declared[1:])
        return (shape[0], *(0 for _ in shape[1:])) if is_free else shape
    architecture = getattr(bundle.content, "architecture", None)
    if architecture is None or len(shape) == 1:
        return shape
    other = (shape[0], *(2 * side for side in shape[1:]))
    try:
        architecture.check(other)
        differ = differences(bundle.module.state_dict(), architecture, other, bundle.task.n_classes)
    except OptimError:
        return shape
    return shape if differ.count else (shape[0], *(0 for _ in shape[1:]))


def _architectures(path: Path, named: str) -> list[dict[str, Any]]:
    """Return the named architecture, or those that weights come closest to, with what differs."""
    zoo = {named: ZOO[named]} if named else ZOO
    near = nearest_architectures(read_state_dict(path), zoo)
    return [
        {
            "name": name,
            "fitting": differ.fitting,
            "differing": differ.count,
            "missing": _named(differ.missing),
            "unexpected": _named(differ.unexpected),
            "misshapen": _named(
                [f"{key}: {_x(given)}, not {_x(wanted)}" for key, given, wanted in differ.misshapen]
            ),
        }
        for name, differ in near.items()
    ]


def _named(names: Sequence[str]) -> dict[str, Any]:
    return {"count": len(names), "names": list(names[:_NAMES])}


def _x(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
