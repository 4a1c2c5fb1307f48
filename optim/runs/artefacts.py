"""Files that runs have made, kept under the hash of their content: written once, never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from optim.errors import RunError
from optim.hashing import digest_file
from optim.runs.run import Artefact
from optim.storage import write_atomic

__all__ = ["is_intact", "keep", "path_of"]

_LENGTH = 32


def path_of(files: Path, content_hash: str) -> Path:
    """Return where the file with a content lies, or would lie."""
    return files / "artefacts" / content_hash[:2] / content_hash


def keep(
    files: Path,
    name: str,
    content: bytes,
    write: Callable[[Path, bytes], object] = write_atomic,
) -> Artefact:
    """Keep a file; a reader finds all of it or none.

    Args:
        files: Folder of the store's files.
        name: For a reader.
        content: The bytes.
        write: Writes them to a path, whole or not at all.

    Raises:
        RunError: If it cannot be written; everything kept before is untouched.
    """
    content_hash = hashlib.sha256(content).hexdigest()[:_LENGTH]
    path = path_of(files, content_hash)
    artefact = Artefact(name, content_hash, len(content), path)
    if not is_intact(artefact):
        try:
            write(path, content)
        except OSError as error:
            raise RunError(
                f"The file {name!r} cannot be kept: {error.strerror}.",
                hint="Free some space, or make the folder writable; then resume the run.",
            ) from error
    return artefact


def is_intact(artefact: Artefact) -> bool:
    """Whether the file is there and holds what it held when it was kept."""
    try:
        if artefact.path.stat().st_size != artefact.bytes:
            return False
        return digest_file(artefact.path) == artefact.hash
    except OSError:
        return False
