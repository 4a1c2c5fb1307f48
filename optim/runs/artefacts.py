"""Files that runs have made, kept under the hash of their content: written once, never changed."""

from __future__ import annotations

import hashlib

from optim.errors import RunError
from optim.hashing import digest_file
from optim.runs.files import Files
from optim.runs.run import Artefact

__all__ = ["hash_of", "is_intact", "keep", "name_of"]

_LENGTH = 32


def hash_of(content: bytes) -> str:
    """Return the hash that names a content."""
    return hashlib.sha256(content).hexdigest()[:_LENGTH]


def name_of(content_hash: str) -> str:
    """Return the name under which a content is kept."""
    return f"artefacts/{content_hash[:2]}/{content_hash}"


def keep(files: Files, name: str, content: bytes) -> Artefact:
    """Keep a file; a reader finds all of it or none.

    Args:
        files: Where files of the store are kept.
        name: For a reader.
        content: The bytes.

    Raises:
        RunError: If it cannot be written; everything kept before is untouched.
    """
    content_hash = hash_of(content)
    kept = name_of(content_hash)
    try:
        if not files.has(kept, len(content), content_hash):
            files.write(kept, content)
    except OSError as error:
        raise RunError(
            f"The file {name!r} cannot be kept: {error.strerror or error}.",
            hint="Free some space, or make the folder writable; then resume the run.",
        ) from error
    return Artefact(name, content_hash, len(content), files.path(kept))


def is_intact(artefact: Artefact) -> bool:
    """Whether the file is there and holds what it held when it was kept."""
    try:
        if artefact.path.stat().st_size != artefact.bytes:
            return False
        return digest_file(artefact.path) == artefact.hash
    except OSError:
        return False
