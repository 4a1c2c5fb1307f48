"""What a run needs and makes besides its recipe, carried between machines.

A recipe names models and data. What was added on the machine that submits is offered under the hash
of its content, and a machine that computes takes what it lacks. What is trained there is given
back, so that the Lab and later runs find it wherever it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from optim.data.open import ending_of
from optim.errors import RunError
from optim.hashing import digest_file
from optim.runs.files import Files
from optim.storage import card_file, store_home, write_atomic

__all__ = ["Offer", "accept", "give_students", "library_name", "offers", "take_students"]

_FOLDERS = ("models", "data")
_STUDENTS = "students"
_MOST_FILES = 2_000
_MOST_BYTES = 2 * 2**30
"""A folder with more is not carried: a zip of it is one file."""


@dataclass(frozen=True)
class Offer:
    """A model or a data set that was added.

    Attributes:
        folder: ``models`` or ``data``.
        name: How recipes ask for it.
        card: What is known about it.
        files: ``{place: hash}`` of its files; a place counts from the folder of models or data.
            None of a folder that is too large to be carried.
    """

    folder: str
    name: str
    card: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)

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
        RunError: If they cannot be, or a card is damaged.
    """
    made: dict[tuple[str, str], Offer] = {}
    names = set(_strings(spec))
    while names:
        found = [offer for name in sorted(names) for offer in _added(name)]
        fresh = [offer for offer, _ in found if (offer.folder, offer.name) not in made]
        made |= {(offer.folder, offer.name): offer for offer in fresh}
        for offer, paths in found:
            if offer in fresh:
                for content_hash, path in zip(offer.files.values(), paths, strict=True):
                    _put(kept, offer.name, content_hash, path)
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
            if not (
                "path" in card and Path(card["path"]).is_dir()
            ):  # a folder that is here as well
                _fetch(kept, offer, folder)
                if "path" in card:
                    card["path"] = str(folder / next(iter(offer.files)).partition("/")[0])
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


def _fetch(kept: Files, offer: Offer, folder: Path) -> None:
    """Get the files of an offer that are not here or are other ones."""
    if not offer.files:
        raise RunError(
            f"The data {offer.name!r} are a folder that this machine does not have, and that is "
            f"too large to be carried: at most {_MOST_FILES:,} files and "
            f"{_MOST_BYTES // 2**30} GiB are.",
            hint="Add it as a zip, or put it where all machines find it under one path.",
        )
    for place, content_hash in offer.files.items():
        path = folder / place
        if not (path.is_file() and digest_file(path) == content_hash):
            write_atomic(path, kept.read(library_name(content_hash)))


def _added(name: str) -> Iterator[tuple[Offer, list[Path]]]:
    """Return what was added under a name, each with its files.

    Raises:
        RunError: If its card is damaged or its files are gone.
    """
    if not name or len(name) > 80 or Path(name).name != name:
        return
    for folder in _FOLDERS:
        card_path = card_file(folder, name)
        if not card_path.is_file():
            continue
        try:
            card = json.loads(card_path.read_text(encoding="utf-8"))
            files = _files_of(name, card_path, card)
            hashes = {place: _hash(path) for place, path in files.items()}
        except (
            AttributeError,
            OSError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as fault:
            raise RunError(
                f"{name!r} cannot be given to other machines: its card is damaged, or its files "
                "are gone.",
                hint="Add it again under the same name.",
            ) from fault
        yield Offer(folder, name, card, hashes), list(files.values())


def _files_of(name: str, card_path: Path, card: Mapping[str, Any]) -> dict[str, Path]:
    """Return the files that a card is about, by the place they shall have elsewhere."""
    if "path" not in card:
        path = card_path.with_suffix(".safetensors")
        path = path if path.is_file() else path.with_suffix(".onnx")
        return {f"{name}{path.suffix}": path}
    path = Path(card["path"])
    if not path.is_dir():
        # What a file is opened as follows from its whole ending: .tar.gz is no .gz.
        return {f"{name}{ending_of(path.name) or path.suffix}": path}
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    if len(files) > _MOST_FILES or sum(file.stat().st_size for file in files) > _MOST_BYTES:
        return {}
    return {f"{name}/{file.relative_to(path).as_posix()}": file for file in files}


def _hash(path: Path) -> str:
    stat = path.stat()
    return _hash_of(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _hash_of(path: Path, changed_at: int, size: int) -> str:
    return digest_file(path)


def library_name(content_hash: str) -> str:
    """Return the name under which a content is offered to other machines."""
    return f"library/{content_hash[:2]}/{content_hash}"


def _put(kept: Files, whose: str, content_hash: str, path: Path) -> None:
    name = library_name(content_hash)
    try:
        if not kept.has(name, path.stat().st_size, content_hash):
            kept.write(name, path.read_bytes())
    except OSError as error:
        raise RunError(
            f"{whose!r} cannot be put where other machines find it: {error.strerror or error}.",
            hint="Check that the place that OPTIM_FILES names can be written.",
        ) from error
