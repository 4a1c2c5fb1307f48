"""What a search has found, as plain data and as files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optim.errors import ConfigError, ExportError
from optim.search.candidate import Candidate
from optim.search.goals import Goals
from optim.storage import write_atomic

__all__ = ["ANSWERS", "WEIGHTS", "answer_bytes", "candidate_row", "own_files", "write_files"]

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


ANSWERS = ("search.json", "nas.json")
"""Files of answers. Each tells which files of its folder are its own."""
_NAMES = re.compile(r"model\.(onnx|opack|safetensors)|recipe\.yaml|front-\d+\.(yaml|safetensors)")
"""Every other file that a search writes."""


def own_files(folder: Path) -> list[Path]:
    """Return the files of a folder that a search writes anew, or removes.

    Raises:
        ConfigError: If there are files of such names that no answer in the folder tells of.
    """
    known = _told(folder)
    there = _there(folder)
    if others := sorted(there - known):
        named = ", ".join(others[:_MOST_NAMED])
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        raise ConfigError(
            f"{str(folder)!r} has {named}{more}, which no search in it tells of: it would be "
            "replaced.",
            hint="Choose another folder, or move what is in this one.",
            field="out",
        )
    names = {*ANSWERS, *there, "model.onnx", "model.opack", WEIGHTS, "recipe.yaml"}
    return [folder / name for name in sorted(names)]


def write_files(folder: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Write the files of a finished search into a folder, in place of those of an earlier one.

    Where nothing was found beside the answer, what an earlier search left stays, and the answer
    tells that it is there: under ``earlier``.

    Args:
        folder: Made where there is none.
        files: Content by name; the answer is one of :data:`ANSWERS`.

    Returns:
        The answer as it was written.

    Raises:
        ExportError: If the folder cannot be written.
    """
    (answer,) = (name for name in ANSWERS if name in files)
    before = (_told(folder) & _there(folder)) - files.keys()
    earlier = before if len(files) == 1 else set()
    told = {**json.loads(files[answer]), "earlier": sorted(earlier)}
    try:
        for name, content in files.items():
            write_atomic(folder / name, answer_bytes(told) if name == answer else content)
        for name in before - earlier:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(
            f"{folder.name!r} cannot be written: {error.strerror}.",
            hint="Choose another folder, or free some space.",
        ) from error
    return told


def answer_bytes(found: Mapping[str, Any]) -> bytes:
    """Return an answer as its file holds it."""
    return (json.dumps(found, indent=1) + "\n").encode()


_MOST_NAMED = 4


def _there(folder: Path) -> set[str]:
    """Return the names of files in a folder that are called as those of a search."""
    if not folder.is_dir():
        return set()
    names = (path.name for path in folder.iterdir())
    return {name for name in names if name in ANSWERS or _NAMES.fullmatch(name)}


def _told(folder: Path) -> set[str]:
    """Return the names of files that answers in a folder tell of, they themselves among them."""
    found: set[str] = set()
    for name in ANSWERS:
        try:
            told = json.loads((folder / name).read_bytes())
            names = [*told["files"], *told.get("earlier", ())]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # there is none, or it is somebody else's
        found |= {name, *(one for one in names if isinstance(one, str))}
    return found
