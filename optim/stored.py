"""Results of training steps, kept under the key of everything that led to them.

A step that trains is never run twice with the same model, data, seed and preceding steps: whoever
trained it stores the result here, and the Lab, the command line and other runs look it up.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from optim.models.bundle import ModelBundle
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.storage import ASSETS, store_home

__all__ = ["load_stored", "store_result", "stored_file"]


def stored_file(key: str) -> Path | None:
    """Return the file of a stored result, shipped or made here; None if there is none."""
    for folder in (ASSETS / "students", store_home() / "students"):
        path = folder / f"{key}.safetensors"
        if path.is_file():
            return path
    return None


def load_stored(key: str, before: ModelBundle) -> ModelBundle | None:
    """Return a stored result as a successor of the model it came from; None if there is none.

    Raises:
        UnsupportedModelError: If the file is damaged.
    """
    path = stored_file(key)
    if path is None:
        return None
    found = load_checkpoint(path)
    return replace(before, content=found.content, table=found.table, provenance=found.provenance)


def store_result(key: str, bundle: ModelBundle) -> Path:
    """Keep the result of a training step.

    Raises:
        OSError: If it cannot be written; what was stored before is untouched.
        UnsupportedModelError: If the model was not built from an architecture of the zoo.
    """
    return save_checkpoint(bundle, store_home() / "students" / f"{key}.safetensors")
