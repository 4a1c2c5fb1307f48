"""Content hashes: the identity of models, data, recipes and results.

Two things with one hash are the same thing. Caches, stored students, links and run artefacts all
go by these hashes, so every part that can change a result must be in them and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["digest", "digest_arrays", "digest_bytes", "digest_file"]

_LENGTH = 32


def digest(*parts: Any) -> str:
    """Hash plain data: strings, numbers, lists and mappings, in canonical JSON form.

    Returns:
        32 hexadecimal digits (128 bits).

    Example:
        >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def digest_arrays(arrays: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]) -> str:
    """Hash named arrays by name, type, shape and bytes; the order of the names is irrelevant."""
    state = hashlib.sha256()
    for name, array in sorted(dict(arrays).items()):
        array = np.asarray(array, order="C")
        state.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        state.update(array.data.cast("B") if array.size else b"")
    return state.hexdigest()[:_LENGTH]


def digest_bytes(content: bytes) -> str:
    """Hash a content as :func:`digest_file` hashes the file that holds it."""
    return hashlib.sha256(content).hexdigest()[:_LENGTH]


def digest_file(path: Path) -> str:
    """Hash the bytes of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_LENGTH]
