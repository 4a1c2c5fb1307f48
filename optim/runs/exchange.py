"""What a run needs and makes besides its recipe, carried between machines.

A recipe names models and data. What was added on the machine that submits is offered under the hash
of its content, and a machine that computes takes what it lacks. What is trained there is given
back, so that the Lab and later runs find it wherever it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from optim.data.open import ending_of
from optim.errors import RunError
from optim.hashing import digest_file
from optim.runs.files import Files
from optim.storage import store_home, write_atomic

__all__ = ["Offer", "accept", "give_students", "library_name", "offers", "take_students"]

_FOLDERS = ("models", "data")
_STUDENTS = "students"


@dataclass(frozen=True)
class Offer:
    """A model or a data set that was added.

    Attributes:
        folder: ``models`` or ``data``.
        name: How recipes ask for it.
        card: What is known about it.
        file: Plain name of its file; empty if it is a folder, which is not carried.
        hash: Of the file.
    """

    folder: str
    name: str
    card: Mapping[str, Any]
    file: str = ""
    hash: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` wrote."""
        return cls(**data)


def offers(kept: Files, spec: Mapping[str, Any]) -> list[Offer]:
    """Return what a specification names and was added here; files not there yet are put there.

    Raises:
        RunError: If they cannot be.
    """
    made: dict[tuple[str, str], Offer] = {}
    names = set(_strings(spec))
    while names:
        found = [offer for name in sorted(names) for offer in _added(name)]
        fresh = [offer for offer, _ in found if (offer.folder, offer.name) not in made]
        made |= {(offer.folder, offer.name): offer for offer in fresh}
        for offer, path in found:
            if offer in fresh and path is not None:
                _put(kept, offer, path)
        names = {text for offer in fresh for text in _strings(offer.card)}
    return list(made.values())


def accept(kept: Files, offered: list[Offer]) -> None:
    """Add to this machine what is offered and not here.

    Raises:
        RunError: If something cannot be had.
    """
    for offer in offered:
        folder = store_home() / offer.folder
        card = dict(offer.card)
        try:
            if offer.file:
                path = folder / offer.file
                if not (path.is_file() and digest_file(path) == offer.hash):
                    write_atomic(path, kept.read(library_name(offer.hash)))
                if "path" in card:
                    card["path"] = str(path)
            elif not Path(card["path"]).exists():
                raise RunError(
                    f"The data {offer.name!r} is a folder that this machine does not have: "
                    f"{card['path']}.",
                    hint="Add it as a zip, or put it where all machines find it under one path.",
                )
            write_atomic(folder / f"{offer.name}.json", json.dumps(card, indent=1).encode())
        except OSError as error:
            raise RunError(
                f"{offer.name!r} cannot be fetched: {error.strerror or error}.",
                hint="Check that this machine reaches the place that OPTIM_FILES names.",
            ) from error


def give_students(kept: Files) -> None:
    """Put what was trained here where others find it.

    Raises:
        OSError: If it cannot be written.
    """
    there = set(kept.names(_STUDENTS))
    for path in sorted((store_home() / _STUDENTS).glob("*.safetensors")):
        if path.name not in there:
            kept.write(f"{_STUDENTS}/{path.name}", path.read_bytes())


def take_students(kept: Files) -> None:
    """Fetch what others have trained.

    Raises:
        OSError: If it cannot be read or written.
    """
    folder = store_home() / _STUDENTS
    for name in kept.names(_STUDENTS):
        if (
            name.endswith(".safetensors")
            and not name.startswith(".")
            and not (folder / name).exists()
        ):
            write_atomic(folder / name, kept.read(f"{_STUDENTS}/{name}"))


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _strings(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _strings(value)


def _added(name: str) -> Iterator[tuple[Offer, Path | None]]:
    """Return what was added under a name, each with its file."""
    if not name or len(name) > 80 or Path(name).name != name:
        return
    for folder in _FOLDERS:
        card_file = store_home() / folder / f"{name}.json"
        if not card_file.is_file():
            continue
        card = json.loads(card_file.read_text(encoding="utf-8"))
        path = Path(card["path"]) if "path" in card else card_file.with_suffix(".safetensors")
        if path.is_file():
            stat = path.stat()
            content_hash = _hash_of(path, stat.st_mtime_ns, stat.st_size)
            # What a file is opened as follows from its whole ending: .tar.gz is no .gz.
            ending = ending_of(path.name) or path.suffix
            yield Offer(folder, name, card, f"{name}{ending}", content_hash), path
        else:
            yield Offer(folder, name, card), None


@lru_cache(maxsize=64)
def _hash_of(path: Path, changed_at: int, size: int) -> str:
    return digest_file(path)


def library_name(content_hash: str) -> str:
    """Return the name under which a content is offered to other machines."""
    return f"library/{content_hash[:2]}/{content_hash}"


def _put(kept: Files, offer: Offer, path: Path) -> None:
    name = library_name(offer.hash)
    try:
        if not kept.has(name, path.stat().st_size, offer.hash):
            kept.write(name, path.read_bytes())
    except OSError as error:
        raise RunError(
            f"{offer.name!r} cannot be put where other machines find it: "
            f"{error.strerror or error}.",
            hint="Check that the place that OPTIM_FILES names can be written.",
        ) from error
