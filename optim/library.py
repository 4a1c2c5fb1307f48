"""Add models to those that pages can use.

A model that can be changed is stored as our own checkpoint, whatever it came as; an ONNX file that
cannot be converted is stored as it is.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optim.data.added import open_registered_data
from optim.data.generated import GENERATED
from optim.data.open import generated_by
from optim.data.task import Outputs
from optim.errors import ConfigError, UnsupportedModelError
from optim.hashing import digest, digest_file
from optim.measure.facts import facts
from optim.models.bundle import GraphModel, ModelBundle
from optim.models.checkpoint import save_checkpoint
from optim.models.open import file_ref, open_model
from optim.models.zoo import ZOO, architecture_to_json
from optim.runtime.session import InferenceSession
from optim.storage import ASSETS, checked_name, store_home, write_atomic
from optim.subject import fitting_data

__all__ = ["add_model"]


def add_model(
    path: Path,
    *,
    data: str = GENERATED,
    architecture: str = "",
    title: str = "",
    name: str = "",
    listed: bool = True,
    owner: str = "",
    task: str = "",
    trust: bool = False,
    opened: ModelBundle | None = None,
) -> str:
    """Add a model to those that pages can use.

    Args:
        path: A weights file, a checkpoint, or an ONNX file.
        data: Registered data the model belongs to; gives input size and class names. Without any
            the model has to say them itself.
        architecture: Name in the zoo; guessed from the shapes if empty. ONNX files need none.
        title: Name for a reader; the file's name if empty.
        name: How to ask for it; made from the content if empty.
        listed: Whether everybody sees it in lists.
        owner: Id of who uploaded it.
        task: What the outputs of an ONNX file mean, see ``optim.models.guessing``; guessed if
            empty.
        trust: Whether a program may be run to open it, see ``optim.models.programs``.
        opened: The model, where the file was opened for these data already.

    Returns:
        The name.

    Raises:
        ConfigError: If the name is not a plain one, or that of a model that ships.
        UnsupportedModelError: If the weights cannot be opened safely, fit no architecture, or
            cannot be run.
        DataError: If model and data do not fit.
    """
    path = path.resolve()
    dataset = None if generated_by(data) else open_registered_data(data)
    if path.suffix.lower() == ".onnx":
        architecture = ""
    ref = file_ref(path, architecture, task)
    bundle = opened or open_model(ref, data=dataset, trust=trust)
    if dataset is not None:
        fitting_data(bundle, dataset)
    _check_runs(bundle)
    name = checked_name(
        name
        or f"my-{digest(digest_file(path), data, architecture, *([task] if task else []))[:16]}"
    )
    if name in ZOO or (ASSETS / "models" / f"{name}.json").is_file():
        raise ConfigError(
            f"name={name!r} is already that of a model that ships.",
            hint="Choose another name.",
            field="name",
        )
    folder = store_home() / "models"
    bundle = replace(bundle, name=title or path.stem)
    checkpoint, graph = folder / f"{name}.safetensors", folder / f"{name}.onnx"
    content = bundle.content
    if isinstance(content, GraphModel):
        write_atomic(graph, content.onnx)
        checkpoint.unlink(missing_ok=True)
        built_from = None
    else:
        save_checkpoint(bundle, checkpoint)
        graph.unlink(missing_ok=True)
        built_from = content.architecture
    known = facts(bundle)
    card: dict[str, Any] = {
        "title": bundle.name,
        "data": data,
        "architecture": architecture_to_json(built_from) if built_from else {},
        "params": int(known.params.value),
        "macs": int(known.macs.value),
        "listed": listed,
        "input_shape": list(bundle.spec.shape),
    }
    if task:
        card["task"] = task
    if bundle.provenance.note:
        card["note"] = bundle.provenance.note
    if owner:
        card["owner"] = owner
    write_atomic(folder / f"{name}.json", json.dumps(card, indent=1).encode())
    return name


def _check_runs(bundle: ModelBundle) -> None:
    """Refuse a model that was read but whose parts do not belong together."""
    content = bundle.content
    if isinstance(content, GraphModel):
        interface = bundle.interface
        assert interface is not None, "opening it has found out how it is run"
        session = InferenceSession.open(content.onnx, 1, interface)
        found = session.run(interface.draw(bundle.spec.shape, interface.batch or 1))
        _check_finite(bundle, bool(np.isfinite(found).all()))
        return
    try:
        with torch.inference_mode():
            output = bundle.simulated()(torch.zeros(1, *bundle.spec.shape))
    except Exception as error:
        # Sizes that contradict each other make torch raise classes of many kinds.
        raise UnsupportedModelError(f"{bundle.name} cannot be run: {error}.") from error
    _check_finite(bundle, bool(torch.isfinite(output).all()))
    if isinstance(bundle.task, Outputs):
        return
    if output.shape != (1, bundle.task.n_numbers):
        raise UnsupportedModelError(
            f"{bundle.name} cannot be run: its outputs are not {bundle.task.n_numbers} numbers."
        )


def _check_finite(bundle: ModelBundle, is_finite: bool) -> None:
    if not is_finite:
        raise UnsupportedModelError(f"{bundle.name} cannot be run: its outputs are not finite.")
