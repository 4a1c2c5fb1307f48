"""What models said about samples, kept on disk under everything that the answers depend on.

Two models are compared sample by sample whenever what both said is here, whoever asked for it and
however long ago. All of it can be made again.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from optim.hashing import digest
from optim.measure.predictions import Predictions
from optim.quantity import How
from optim.storage import cache_home, checked_name, write_atomic

__all__ = ["common", "forget_predictions", "keep_predictions", "kept_predictions", "vector_key"]

_VERSION = 1
_MOST_BYTES = 500_000_000
"""Of all vectors; what was used longest ago goes first."""


def vector_key(model: str, subject: str, n: int) -> str:
    """Return under which name answers are kept.

    Args:
        model: Identity of the model, after all steps.
        subject: Identity of model, data and order of the samples.
        n: How many samples were asked about.
    """
    return digest(_VERSION, model, subject, n)


def keep_predictions(key: str, said: Predictions) -> None:
    """Keep what a model said; the oldest answers make room."""
    path = _file(key)

    def write(file: object) -> None:
        np.savez(
            file,  # type: ignore[arg-type]
            ids=said.ids,
            outputs=said.outputs.astype(np.float32, copy=False),
            targets=said.targets,
            how=np.array(str(said.how)),
        )

    write_atomic(path, write)
    _make_room(path)


def kept_predictions(key: str) -> Predictions | None:
    """Return what a model said; None if nobody asked, or the file is damaged."""
    path = _file(key)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            how = How(str(found["how"]))
            said = Predictions(found["ids"], found["outputs"], found["targets"], how)
        path.touch()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return said


def common(one: Predictions, other: Predictions) -> tuple[Predictions, Predictions]:
    """Return both on the samples that both were asked about, in one order.

    Their samples have to be of the same data: ids of others mean something else.
    """
    ids, mine, theirs = np.intersect1d(one.ids, other.ids, return_indices=True)
    first = Predictions(ids, one.outputs[mine], one.targets[mine], one.how)
    return first, Predictions(ids, other.outputs[theirs], other.targets[theirs], other.how)


def forget_predictions(unused_since: float | None = None) -> int:
    """Remove answers, all or those that nobody has used since; return how many bytes."""
    freed = 0
    for path in _folder().glob("*.npz"):
        try:
            found = path.stat()
            if unused_since is None or found.st_mtime < unused_since:
                path.unlink()
                freed += found.st_size
        except OSError:
            continue  # somebody else has removed it
    return freed


def _make_room(newest: Path) -> None:
    found = []
    for path in _folder().glob("*.npz"):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= _MOST_BYTES:
            return
        if path != newest:
            path.unlink(missing_ok=True)
            total -= size


def _folder() -> Path:
    return cache_home() / "predictions"


def _file(key: str) -> Path:
    return _folder() / f"{checked_name(key)}.npz"
