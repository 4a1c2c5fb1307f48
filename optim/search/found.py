"""What a search has found, as plain data and as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optim.errors import ExportError
from optim.search.candidate import Candidate
from optim.search.goals import Goals
from optim.storage import write_atomic

__all__ = ["WEIGHTS", "candidate_row", "own_files", "write_files"]

WEIGHTS = "model.safetensors"
"""File of the trained weights of the network that is taken."""


def candidate_row(candidate: Candidate, goals: Goals, text: str) -> dict[str, Any]:
    """Return what every search tells of a candidate.

    Args:
        candidate: What was tried.
        goals: What is asked for.
        text: Its figures in words.
    """
    return {
        "number": candidate.number,
        "parent": candidate.parent,
        "parents": list(candidate.parents),
        "title": candidate.title,
        "stage": candidate.stage,
        "outcome": candidate.outcome,
        "note": candidate.note,
        "keeps_limits": candidate.is_whole and not goals.misses(candidate.figures),
        "figures": {name: value.shown() for name, value in candidate.figures.items()},
        "quality": candidate.quality.shown() if candidate.quality else None,
        "text": text,
        "seconds": candidate.seconds,
    }


_OWN = ("model.onnx", "model.opack", WEIGHTS, "recipe.yaml")
_OF_FRONT = ("front-*.yaml", "front-*.safetensors")
"""Files that an earlier search may have left, which must not pass for the present result."""


def own_files(folder: Path) -> list[Path]:
    """Return the files of a folder that a search writes anew, or removes."""
    of_front = (path for pattern in _OF_FRONT for path in folder.glob(pattern))
    return [*(folder / name for name in _OWN), *of_front]


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write the files of a finished search into a folder, in place of those of an earlier one.

    Args:
        folder: Made where there is none.
        files: Content by name.

    Raises:
        ExportError: If the folder cannot be written.
    """
    try:
        for path in own_files(folder):
            path.unlink(missing_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise ExportError(
            f"{folder.name!r} cannot be written: {error.strerror}.",
            hint="Choose another folder, or free some space.",
        ) from error
    return folder
